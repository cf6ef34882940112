"""The rules behind the door of page events: whose files, whose sessions, which site asks."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from core.errors import InvalidInput
from core.permissions import Account, Role
from ui.events import MOST_OPEN, Events, Owned, RefusedError, Sessions, vetted
from ui.gate import same_origin
from ui.plain_requests import check_size

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
files = st.fixed_dictionaries(
    {"path": st.text() | st.none() | st.integers() | st.lists(st.text())},
    optional={"url": st.text(), "meta": st.just({"_type": "gradio.FileData"})},
)


@given(json_values)
def test_values_without_files_come_back_as_they_were(value: Any) -> None:
    def holds(one: Any, what: Any) -> bool:
        if isinstance(one, dict):
            return bool(what & one.keys()) or any(holds(inner, what) for inner in one.values())
        return isinstance(one, list) and any(holds(inner, what) for inner in one)

    if not holds(value, {"path", "url", "meta"}) and "\0" not in repr(value):
        assert vetted(value, lambda path: False) == without_nul(value)


def without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, list):
        return [without_nul(one) for one in value]
    if isinstance(value, dict):
        return {without_nul(key): without_nul(one) for key, one in value.items()}
    return value


@given(json_values, files, st.lists(st.sampled_from(["list", "dict"]), max_size=6))
def test_a_foreign_file_is_refused_however_deep_it_lies(
    beside: Any, file: Any, ways: list[str]
) -> None:
    value: Any = file
    for way in ways:
        value = [beside, value] if way == "list" else {"a": value}
    with pytest.raises(RefusedError):
        vetted(value, lambda path: False)


def test_an_own_upload_keeps_its_path_and_name_and_loses_what_it_says_of_itself(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.md"
    path.write_text("four")
    sent = {
        "path": str(path), "url": "http://elsewhere/a.md", "orig_name": "a.md", "size": 9,
        "is_stream": True, "meta": {"_type": "gradio.FileData"},
    }  # fmt: skip
    assert vetted([sent], {str(path)}.__contains__) == [
        {"path": str(path), "orig_name": "a.md", "size": 4, "meta": {"_type": "gradio.FileData"}}
    ]


def test_a_session_stays_with_the_first_account_and_each_loses_only_its_own() -> None:
    sessions = Sessions(most=2)
    assert sessions.claim("anna-1", 1)
    assert not sessions.claim("anna-1", 2)
    for number in range(5):
        assert sessions.claim(f"lena-{number}", 2)
    assert not sessions.claim("anna-1", 2)
    assert sessions.claim("lena-0", 1), "the oldest of five was forgotten"
    assert not sessions.claim("lena-4", 1)


def test_what_is_owned_is_bounded_for_each_account() -> None:
    owned = Owned(most=2)
    assert [owned.add(1, key) for key in ("a", "b", "a", "c")] == [None, None, None, "b"]
    assert owned.has(1, "a")
    assert not owned.has(1, "b")
    assert not owned.has(2, "a")


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({}, True),
        ({"host": "inhouse:7860", "origin": "http://inhouse:7860"}, True),
        ({"host": "inhouse:7860", "origin": "http://INHOUSE:7860"}, True),
        ({"host": "inhouse:7860", "origin": "http://evil.example"}, False),
        ({"host": "inhouse:7860", "origin": "null"}, False),
        # A proxy that asks under another name than people do.
        ({"host": "10.0.0.1:7860", "origin": "https://ask.firm", "sec-fetch-site": "same-origin"},
         True),
        ({"host": "10.0.0.1:7860", "origin": "https://ask.firm", "x-forwarded-host": "ask.firm"},
         True),
        ({"host": "10.0.0.1:7860", "origin": "https://ask.firm",
          "x-forwarded-host": "ask.firm, inner"}, True),
        ({"host": "10.0.0.1:7860", "origin": "https://evil.example",
          "x-forwarded-host": "ask.firm"}, False),
        ({"host": "ask.firm", "origin": "https://ask.firm", "sec-fetch-site": "cross-site"}, False),
        ({"host": "ask.firm", "origin": "https://ask.firm", "sec-fetch-site": "same-site"}, False),
        ({"host": "ask.firm", "sec-fetch-site": "none"}, True),
    ],
)  # fmt: skip
def test_requests_of_other_sites_are_told_apart_behind_a_proxy_too(
    headers: dict[str, str], same: bool
) -> None:
    assert same_origin(Headers(headers)) is same


def events_with(open_sessions: list[str]) -> Events:
    queue = SimpleNamespace(
        event_ids_to_events={
            str(number): SimpleNamespace(session_hash=session)
            for number, session in enumerate(open_sessions)
        },
        pending_event_ids_session={},
    )

    async def nothing(*_: Any) -> None: ...

    return Events(nothing, SimpleNamespace(fns={0: EVENT}, blocks={}, _queue=queue))


def ready(account: Account | None) -> Account:
    assert account is not None
    return account


EVENT = SimpleNamespace(fn=SimpleNamespace(needs=ready), inputs=[])
ANNA, LENA = (Account(number, name, Role.EMPLOYEE) for number, name in ((1, "anna"), (2, "lena")))


def test_one_account_has_so_many_events_open_and_another_none_the_less() -> None:
    events = events_with(["annas"] * (MOST_OPEN + 1))
    events._sessions.claim("annas", ANNA.id)
    body = {"fn_index": 0, "data": [], "session_hash": "annas"}
    with pytest.raises(RefusedError, match="Wait a moment") as caught:
        events._event(body, ANNA)
    assert caught.value.status == 429
    assert caught.value.headers["retry-after"]
    assert events._event({**body, "session_hash": "lenas"}, LENA)["fn_index"] == 0


@pytest.mark.parametrize("mark", [b"[],", b"1,", b'"",', b'{"a":1},'])
def test_a_body_of_a_million_values_is_refused_before_it_is_read(mark: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"more than 50,000 values"):
        check_size(b"[" + mark * 1_000_000 + b"0]")
    check_size(b"[" + mark * 1000 + b"0]")
