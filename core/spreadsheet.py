"""Tables that people open in a spreadsheet: no cell is a formula there, whoever wrote its text.

A spreadsheet runs what begins like a formula, also after spaces, quotes or a control character.
Such a cell gets an apostrophe before it, the mark of a text; reading takes it off again.
"""

import csv
import io
from collections.abc import Iterable

_FORMULA = "=+-@＝＋－＠"
_CONTROL = "\t\r\n"
_PASSED_OVER = "'\"`´‘’“”«»\ufeff\u200b\u2060\x00"
_MARK = "'"


def write_table(rows: Iterable[Iterable[str]]) -> bytes:
    """Write CSV, with the mark by which spreadsheets know UTF-8."""
    table = io.StringIO(newline="")
    # All in quotes: where the comma parts no cells, what stands behind one begins none either.
    csv.writer(table, quoting=csv.QUOTE_ALL).writerows([map(defused, row) for row in rows])
    return table.getvalue().encode("utf-8-sig")


def defused(text: str) -> str:
    """Return a text as a cell that no spreadsheet runs."""
    return _MARK + text if _is_formula(text) else text


def restored(cell: str) -> str:
    """Return the text of a cell: `restored(defused(text)) == text` for every text."""
    return cell[1:] if cell.startswith(_MARK) and _is_formula(cell[1:]) else cell


def _is_formula(text: str) -> bool:
    # Marks before it change nothing, which is why each of them can be taken off again.
    bare = text.lstrip(_MARK)
    if bare[:1] in tuple(_CONTROL):
        return True
    while bare and (bare[0].isspace() or bare[0] in _PASSED_OVER):
        bare = bare[1:]
    return bare[:1] in tuple(_FORMULA)
