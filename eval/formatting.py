"""Figures as people read them; shared by every form of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from assistant.quoting import NAME as QUOTATION
from eval.recommend import label
from eval.scoring import MEASURES, Measure
from eval.summary import mode_of

COSTS = (("peak_memory_mb", "peak memory MB"), ("kwh_per_1000", "kWh of 1,000"),
         ("price_per_1000", "price of 1,000"))  # fmt: skip
"""Costs of a column under `times`, and how they are headed."""
NOTHING = "–"
"""Stands where nothing was measured."""
COST_NOTE = (
    "Memory is that of the process while batches were answered, engine and all. Energy and price "
    "of 1,000 questions are estimates: the time in batches at the power and prices given."
)
DEPTH_NOTE = (
    "Share of the answerable questions whose evidence the search returns among its first passages, "
    "however many of them a prompt has room for."
)


def cost(timing: Mapping[str, Any], key: str) -> str:
    """A cost of one column; a dash where it was not measured or no rate was given."""
    value = timing.get(key)
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if key == "peak_memory_mb" else f"{value:.3g}"


def judge_line(judge: Mapping[str, Any]) -> str:
    """What the judge did and how it agrees with the grading by short answers."""
    if "error" in judge:
        return (
            f"The judge '{judge['judge']}' gave no judgement: {judge['error']} "
            f"All {judge['missing']} judgements are missing; they are no zeros."
        )
    agreed = "not defined" if judge["kappa"] is None else f"{judge['kappa']:.2f}"
    return (
        f"Engine {judge['judge']}, rubric {judge['rubric']}: {judge['judged']} answers judged, "
        f"{judge['missing']} judgements missing and in no figure. Agreement of its 'right' with "
        f"the grading by short answers: Cohen's kappa {agreed}. A second opinion that is not "
        "validated; the verdict does not use it."
    )


def headline(summary: Mapping[str, Any]) -> str:
    """What was measured, failed rows first of all."""
    found = summary["counts"]
    line = f"{found['questions']} questions on {found['facts']} facts, {found['rows']} answers"
    if found["failed"]:
        line += f"; {found['failed']} rows failed and are excluded"
    return line + "."


def reading_line(configurations: Mapping[str, Mapping[str, Any]]) -> str:
    """Say what read in the modes without a chosen adapter: the plain model or the reader.

    Args:
        configurations: of the columns by name, as under `reproduce`.

    Returns:
        A sentence, or '' where no such mode was measured.
    """
    own = {name: c for name, c in configurations.items() if not mode_of(name).uses_adapter}
    plain = [label(name) for name, c in own.items() if not c.get("reader")]
    read = [(label(name), c) for name, c in own.items() if c.get("reader")]
    parts = [f"{_listed(plain)} used the plain model"] if plain else []
    for name, configuration in read:
        digest = str(configuration.get("adapter_hash"))[:12]
        quoted = configuration["reader"] == QUOTATION
        by = "quoted, without a language model"
        parts.append(
            f"{name} was {by if quoted else f'read by the built-in reader (weights {digest})'}"
        )
    return f"{'; '.join(parts)}." if parts else ""


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def shown_measures(summary: Mapping[str, Any]) -> list[Measure]:
    """Measures that at least one arm has a figure for."""
    tables = summary["modes"].values()
    return [m for m in MEASURES if any(table[m.key]["value"] is not None for table in tables)]


def figure(estimate: Mapping[str, Any], unit: str) -> str:
    """A figure with its interval, as text: '62% (55 to 68)'."""
    if estimate["value"] is None:
        return NOTHING
    scale, digits, sign = (100, 0, "%") if unit == "share" else (1, 2, "")
    if unit == "tokens":
        digits = 0
    text = f"{scale * estimate['value']:.{digits}f}{sign}"
    if estimate["low"] is None:
        return text
    low, high = (f"{scale * estimate[end]:.{digits}f}" for end in ("low", "high"))
    return f"{text} ({low} to {high})"
