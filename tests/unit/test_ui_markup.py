"""What people see is escaped, whatever a model or a document says."""

import re

from hypothesis import given
from hypothesis import strategies as st

from ui.markup import answer_html, duration, number, page, piece, size
from ui.plots import Interval, Series, interval_plot, line_plot, thinned, ticks

ALLOWED = re.compile(
    r"</?(p|br|strong|em|code|pre|ul|ol|li|blockquote|hr|h[1-6]|table|thead|tbody|tr|th|td)>"
)


def test_scripts_images_and_links_of_an_answer_do_nothing() -> None:
    text = (
        "<script>alert(1)</script> <img src=x onerror=alert(2)> [me](javascript:alert(3)) "
        "![x](http://evil.example/a.png) <http://evil.example>"
    )
    html = answer_html(text)
    assert "<script" not in html
    assert "<img" not in html
    assert "<a " not in html


@given(st.text(alphabet="<>&\"'/ab[1]()!=:\n#*`-|", max_size=80))
def test_only_harmless_tags_ever_come_out(text: str) -> None:
    for tag in re.findall(r"<[^>]*>", answer_html(text)):
        assert ALLOWED.fullmatch(tag.replace(" /", "")), tag


def test_citations_become_links_only_where_there_is_a_source() -> None:
    html = answer_html("Yes [1], no [2], what [12].", ["/source/7?document=3#passage", None])
    assert html.count("<a ") == 1
    assert 'href="/source/7?document=3#passage"' in html
    assert "[2]" in html
    assert "[12]" in html


def test_a_link_cannot_leave_its_attribute() -> None:
    assert '"><script>' not in answer_html("[1]", ['/x"><script>alert(1)</script>'])


def test_markdown_is_kept_readable() -> None:
    html = answer_html("One\nTwo\n\n- **a**\n- b")
    assert "<strong>a</strong>" in html
    assert "<li>" in html


def test_a_piece_stands_on_one_line_and_keeps_the_line_breaks_of_texts() -> None:
    html = piece("turn.html", question="a\n\n<b>", answers=[])
    assert "\n" not in html
    assert "a&#10;&#10;&lt;b&gt;" in html


def test_pages_escape_what_was_typed() -> None:
    html = page("sign_in.html", name='"><script>', target="/", problem="<i>no</i>")
    assert "<script>" not in html.replace('<script src="/look', "")
    assert "&lt;i&gt;no&lt;/i&gt;" in html


def test_figures_read_as_people_write_them() -> None:
    assert [duration(s) for s in (0.42, 12.4, 200, 7500)] == [
        "0.4 s", "12 s", "3 min 20 s", "2 h 5 min",
    ]  # fmt: skip
    assert [size(n) for n in (12, 1500, 98_000_000)] == ["12 B", "1.5 KB", "98.0 MB"]
    assert [number(n) for n in (None, 1234, 0.21349)] == ["–", "1,234", "0.213"]


@given(st.floats(0, 1e9), st.floats(1e-6, 1e9))
def test_ticks_lie_inside_and_are_few(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert 1 <= len(found) <= 12
    slack = abs(low + width) * 1e-6
    assert all(low - slack <= tick <= low + width + slack for tick in found)


def test_a_plot_needs_two_points_and_survives_what_is_not_a_number() -> None:
    assert line_plot([Series("training", [(1, 2.0)], 1)], "step", "loss") == ""
    html = line_plot([Series("a", [(0, 2.0), (1, float("nan")), (5, 1.0)], 1)], "step", "loss")
    assert "<svg" in html
    assert "nan" not in html


def test_thinning_keeps_the_last_point() -> None:
    points = [(float(n), 1.0) for n in range(1001)]
    kept = thinned(points, 100)
    assert len(kept) <= 102
    assert kept[-1] == points[-1]


def test_intervals_are_drawn_inside_the_axis() -> None:
    html = interval_plot([Interval("Documents", 0.5, -0.1, 1.2, 2, "50%")], "accuracy")
    assert "Documents" in html
    assert "50%" in html
