"""Reports of evaluations made comparable."""

import json
from pathlib import Path

TIMES = "times"
"""The one field of report.json that may differ between equal evaluations."""
TIME_HEADING = "## Time"
"""The one chapter of report.md."""
TIME_SECTION = "<h2>Time and cost</h2>"
"""The one section of report.html; its head also says the day, in a <time> element."""


def without_times(folder: Path) -> list[str]:
    """report.json, report.md (two parts) and report.html of `folder`, times taken out."""
    document = json.loads((folder / "report.json").read_text("utf-8"))
    del document[TIMES]
    before, _, after = (folder / "report.md").read_text("utf-8").partition(TIME_HEADING)
    page = (folder / "report.html").read_text("utf-8")
    start = page.index(TIME_SECTION)
    end = page.index("</section>", start)
    day = page.index("<time "), page.index("</time>")
    page = page[: day[0]] + page[day[1] : start] + page[end:]
    return [json.dumps(document), before, after.partition("## To reproduce")[2], page]
