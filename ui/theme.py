"""The look of Gradio's components: our own colours, the system's fonts, nothing fetched."""

from typing import Any

import gradio as gr

_COLOURS = {
    "body_background_fill": "var(--paper)",
    "body_text_color": "var(--ink)",
    "body_text_color_subdued": "var(--soft)",
    "background_fill_primary": "var(--surface)",
    "background_fill_secondary": "var(--paper)",
    "border_color_primary": "var(--line)",
    "border_color_accent": "var(--accent-line)",
    "color_accent": "var(--accent)",
    "color_accent_soft": "var(--accent-wash)",
    "link_text_color": "var(--accent)",
    "link_text_color_hover": "var(--accent)",
    "link_text_color_visited": "var(--accent)",
    "link_text_color_active": "var(--accent)",
    "block_background_fill": "transparent",
    "block_border_color": "var(--line)",
    "block_label_background_fill": "var(--surface)",
    "block_label_text_color": "var(--soft)",
    "block_title_text_color": "var(--ink)",
    "block_info_text_color": "var(--soft)",
    "input_background_fill": "var(--surface)",
    "input_background_fill_focus": "var(--surface)",
    "input_border_color": "var(--line-strong)",
    "input_border_color_focus": "var(--accent)",
    "input_placeholder_color": "var(--faint)",
    "button_primary_background_fill": "var(--accent)",
    "button_primary_background_fill_hover": "var(--accent)",
    "button_primary_border_color": "var(--accent)",
    "button_primary_text_color": "var(--accent-ink)",
    "button_secondary_background_fill": "var(--surface)",
    "button_secondary_background_fill_hover": "var(--sunken)",
    "button_secondary_border_color": "var(--line-strong)",
    "button_secondary_text_color": "var(--ink)",
    "button_cancel_background_fill": "var(--danger-wash)",
    "button_cancel_background_fill_hover": "var(--danger-wash)",
    "button_cancel_border_color": "var(--danger)",
    "button_cancel_text_color": "var(--danger)",
    "checkbox_background_color": "var(--surface)",
    "checkbox_background_color_selected": "var(--accent)",
    "checkbox_border_color": "var(--line-strong)",
    "checkbox_border_color_selected": "var(--accent)",
    "checkbox_label_background_fill": "var(--surface)",
    "checkbox_label_background_fill_hover": "var(--sunken)",
    "checkbox_label_background_fill_selected": "var(--accent-wash)",
    "checkbox_label_text_color": "var(--ink)",
    "checkbox_label_text_color_selected": "var(--accent)",
    "checkbox_label_border_color": "var(--line)",
    "slider_color": "var(--accent)",
    "table_even_background_fill": "var(--surface)",
    "table_odd_background_fill": "var(--surface)",
    "panel_background_fill": "var(--surface)",
    "accordion_text_color": "var(--ink)",
}
"""Gradio's names for colours, and our variables."""


def theme() -> Any:
    """Return the theme; colours are variables of `static/inhouse.css`, so dark mode follows."""
    base = gr.themes.Base(
        primary_hue="teal", neutral_hue="stone", radius_size="md", spacing_size="md",
        text_size="md",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    )  # fmt: skip
    known = set(base.set.__code__.co_varnames)
    both = {name: value for name, value in _COLOURS.items() if name in known}
    both |= {f"{name}_dark": value for name, value in _COLOURS.items() if f"{name}_dark" in known}
    return base.set(
        **both,
        block_border_width="0px",
        block_padding="0px",
        block_shadow="none",
        block_label_text_size="*text_sm",
        block_title_text_weight="550",
        block_title_text_size="*text_sm",
        button_large_text_weight="600",
        button_large_padding="9px 16px",
        button_medium_padding="7px 14px",
        button_border_width="1px",
        button_border_width_dark="1px",
        button_transition="none",
        input_border_width="1px",
        input_shadow="none",
        input_shadow_focus="none",
        input_padding="9px 12px",
        section_header_text_weight="600",
        form_gap_width="0px",
        layout_gap="14px",
        block_radius="8px",
        container_radius="8px",
    )
