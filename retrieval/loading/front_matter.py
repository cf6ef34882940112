"""The YAML that many Markdown and HTML files begin with."""

import re
from typing import Any

import yaml

FENCED = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.M)
TITLE = re.compile(r"^title:[ \t]*(\S.*)$", re.M)
LARGEST = 64 * 1024
"""In characters; PyYAML needs a second for more."""
DEEPEST = 20


class _PlainYaml(yaml.BaseLoader):
    """YAML as written: every value a text, no aliases (few bytes of which name billions)."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not followed")
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.YAMLError(f"nested more than {DEEPEST} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def split_front_matter(text: str) -> tuple[str, str]:
    """Return the title in a file's YAML front matter ('' without one) and the text after it."""
    found = FENCED.match(text)
    if not found:
        return "", text
    written, rest = found.group(1), text[found.end() :]
    if len(written) > LARGEST:
        return "", text  # So much is no head: dropping it would lose it.
    try:
        fields: Any = yaml.load(written, Loader=_PlainYaml)  # noqa: S506 - builds texts only
    except yaml.YAMLError:
        # Front matter with a slip in it, as a colon within a title, is still no text.
        titled = TITLE.search(written)
        return (titled.group(1).strip() if titled else ""), rest
    if fields and not isinstance(fields, dict):
        return "", text  # Text between two rules: dropping it would lose it.
    title = fields.get("title") if isinstance(fields, dict) else None
    return (str(title) if title else ""), rest
