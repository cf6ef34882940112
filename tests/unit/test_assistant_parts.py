"""Citations, follow-ups, text from tokens, batches, the lock, manifests, adapter checks."""

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.brackets import find_brackets
from assistant.citations import CitedBy, check, source_of, without_citations
from assistant.engines.adapter_files import check_adapter
from assistant.engines.base import AdapterRef
from assistant.engines.fair_lock import FairLock
from assistant.engines.incremental import IncrementalText, common_prefix, plan_batches
from assistant.engines.source import ModelSource, fingerprint, locate_model
from assistant.followups import is_follow_up, search_query
from assistant.manifest import Manifest
from assistant.modes import Message
from core.errors import AdapterError, EngineError
from core.home import Home
from retrieval.passages import Passage
from tests.timing import cpu_seconds
from tests.unit.adapters import build_adapter
from tests.waiting import PATIENCE_S
from ui.markup import answer_html


def passage(number: int, text: str, title: str = "T") -> Passage:
    return Passage(number, 1, "a.md", title, "", text, 0.5)


VACATION = passage(1, "Employees receive 28 days of paid vacation every year.")
LAPTOP = passage(2, "Laptops are replaced every four years by the IT desk.")


@pytest.mark.parametrize(
    ("text", "kept", "cited", "removed"),
    [
        ("28 days [1].", "28 days [1].", (1,), ()),
        ("28 days [1, 2].", "28 days [1][2].", (1, 2), ()),
        ("28 days [2;1] and [1].", "28 days [2][1] and [1].", (1, 2), ()),
        ("28 days [9][1].", "28 days [1].", (1,), (9,)),
        ("28 days [ 1 , 2 ].", "28 days [1][2].", (1, 2), ()),
        ("28 days [1] [9].", "28 days [1].", (1,), (9,)),
        ("See [appendix] and [a1].", "See [appendix] and [a1].", (), ()),
        ("I don't know. [4]", "I don't know.", (), (4,)),
    ],
)
def test_numbers_are_checked(
    text: str, kept: str, cited: tuple[int, ...], removed: tuple[int, ...]
) -> None:
    found = check(text, [VACATION, LAPTOP])
    assert (found.text, found.cited, found.removed) == (kept, cited, removed)


def test_a_plain_source_is_attributed() -> None:
    found = check("They receive 28 days of paid vacation.", [LAPTOP, VACATION], "How much?")
    assert (found.cited, found.by) == ((2,), CitedBy.ATTRIBUTED)
    assert found.text.endswith("vacation. [2]")


def test_an_unclear_source_is_not() -> None:
    assert source_of("Paid vacation.", [VACATION, VACATION]) is None
    assert source_of("Bananas grow on trees.", [VACATION, LAPTOP]) is None
    assert source_of("Employees vacation", [VACATION], "employees vacation?") is None
    assert source_of("of the", [VACATION]) is None
    assert check("I do not know about 28 days paid vacation.", [VACATION]).cited == ()
    assert check("28 days of paid vacation [1]", []).text == "28 days of paid vacation [1]"


@given(
    st.lists(
        st.one_of(
            st.text(alphabet="ab .,[]0123456789\n", max_size=12),
            st.lists(st.integers(0, 99), min_size=1, max_size=4).map(lambda n: f"[{n}]"[1:-1]),
        ),
        max_size=8,
    ).map("".join),
    st.integers(0, 6),
)
def test_whatever_a_model_writes_only_existing_numbers_remain(text: str, count: int) -> None:
    passages = [passage(n, f"text {n}") for n in range(count)]
    found = check(text, passages)
    assert all(1 <= number <= count for number in found.cited)
    assert list(found.cited) == sorted(set(found.cited))
    if passages:
        again = check(found.text, passages)
        assert again.cited == found.cited
        assert again.removed == ()
        assert not set(found.removed) & set(found.cited)


@pytest.mark.parametrize("text", ["And in winter?", "Who approves it?", "Why?", "How about them?"])
def test_follow_ups_are_recognised(text: str) -> None:
    assert is_follow_up(text)


@pytest.mark.parametrize("text", ["How many days of leave do new employees get?"])
def test_whole_questions_stand_alone(text: str) -> None:
    assert not is_follow_up(text)
    assert search_query(text, [Message("user", "Before?"), Message("assistant", "Yes.")]) == text


def test_a_chain_of_follow_ups_goes_back_to_its_root() -> None:
    history = [
        Message("user", "Who wrote the security handbook last year?"),
        Message("assistant", "Ann."),
        Message("user", "How many days of leave do employees get?"),
        Message("assistant", "28."),
        Message("user", "Who approves it?"),
        Message("assistant", "The manager."),
    ]
    query = search_query("And when?", history)
    assert query == "How many days of leave do employees get? Who approves it? And when?"
    assert search_query("Why?", []) == "Why?"


@given(st.text(max_size=40), st.booleans())
def test_pieces_of_text_add_up_and_never_hold_half_a_letter(text: str, cut: bool) -> None:
    data = text.encode()
    data = data[:-1] if cut else data

    def decode(ids: list[int] | tuple[int, ...]) -> str:
        return bytes(ids).decode("utf-8", errors="replace")

    stream = IncrementalText(lambda ids: decode(list(ids)))
    pieces = [stream.push(byte) for byte in data]
    assert all("�" not in piece for piece in pieces) or "�" in text
    assert "".join([*pieces, stream.finish()]) == decode(list(data))


@given(st.lists(st.integers(1, 900), max_size=60), st.integers(1, 50), st.integers(1, 8))
def test_batches_hold_each_row_once_within_the_budget(
    lengths: list[int], extra: int, rows: int
) -> None:
    plan = plan_batches(lengths, extra, tokens=2000, rows=rows)
    assert sorted(n for batch in plan for n in batch) == list(range(len(lengths)))
    for batch in plan:
        widest = max(lengths[n] for n in batch) + extra
        assert len(batch) == 1 or (len(batch) <= rows and len(batch) * widest <= 2000)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_common_prefix_is_common_and_leaves_a_token(rows: list[list[int]]) -> None:
    size = common_prefix(rows)
    assert all(row[:size] == rows[0][:size] and len(row) > size for row in rows)


def test_the_lock_serves_in_the_order_of_asking() -> None:
    lock, served = FairLock(), list[int]()
    threads = []

    def work(number: int) -> None:
        with lock:
            served.append(number)

    with lock:
        for number in range(5):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            while lock.waiting() <= number:
                pass
    for thread in threads:
        thread.join(PATIENCE_S)
    assert served == list(range(5))


def test_manifests_survive_the_trip(tmp_path: Path) -> None:
    manifest = build_adapter(tmp_path / "a")
    assert Manifest.from_json(manifest.to_json()) == manifest
    newer = json.loads(manifest.to_json()) | {"colour": "blue"}
    assert Manifest.from_json(json.dumps(newer)) == manifest


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": 3}', '{"name": "a"}', "\x00"])
def test_damaged_manifests_are_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Manifest.from_json(text)


def test_an_adapter_of_another_base_is_refused_naming_both(tmp_path: Path) -> None:
    manifest = build_adapter(tmp_path / "a", base_hash="other")
    ref = AdapterRef("a", tmp_path / "a", manifest.weights_sha256)
    with pytest.raises(AdapterError, match=r"'small' \(other\).*'large' \(mine\)"):
        check_adapter(ref, ModelSource("large", tmp_path, "mine"))
    assert check_adapter(ref, ModelSource("small", tmp_path, "other"))["peft_type"] == "LORA"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"peft_type": "PREFIX"}', "PREFIX"),
        ('{"peft_type": "LORA", "bias": "all"}', "bias"),
        ('{"peft_type": "LORA", "modules_to_save": ["lm_head"]}', "lm_head"),
    ],
)
def test_adapters_that_cannot_be_used_say_why(tmp_path: Path, config: str, reason: str) -> None:
    manifest = build_adapter(tmp_path / "a")
    (tmp_path / "a" / "adapter_config.json").write_text(config)
    ref = AdapterRef("a", tmp_path / "a", manifest.weights_sha256)
    with pytest.raises(AdapterError, match=reason):
        check_adapter(ref, ModelSource("small", tmp_path, "base"))


def test_changed_weights_are_noticed(tmp_path: Path) -> None:
    manifest = build_adapter(tmp_path / "a")
    ref = AdapterRef("a", tmp_path / "a", manifest.weights_sha256)
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"other")
    with pytest.raises(AdapterError, match="no longer has the hash"):
        check_adapter(ref, ModelSource("small", tmp_path, "base"))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], r"no config\.json"),
        (["config.json"], r"no \*\.safetensors"),
        (["config.json", "pytorch_model.bin"], "Pickled weights are never loaded"),
    ],
)
def test_a_folder_that_holds_no_model_says_so(
    home: Home, tmp_path: Path, files: list[str], reason: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}")
    settings = home.settings.model_copy(update={"model": str(folder)})
    with pytest.raises(EngineError, match=reason):
        locate_model(settings, home.workspace)


@pytest.mark.parametrize("name", ["no-such/model", "nowhere", "a/b/c", "https://x.y/z", "../x"])
def test_a_model_id_that_is_not_there_names_the_remedy(home: Home, name: str) -> None:
    settings = home.settings.model_copy(update={"model": name})
    with pytest.raises(EngineError, match="INHOUSE_ALLOW_DOWNLOADS"):
        locate_model(settings, home.workspace)


def test_the_fingerprint_follows_the_weights(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"a" * 200_000)
    before = fingerprint([file])
    assert fingerprint([file]) == before
    for place in (0, 110_000, 199_999):
        changed = bytearray(b"a" * 200_000)
        changed[place] = 98
        file.write_bytes(changed)
        assert fingerprint([file]) != before


PASSAGES = [VACATION, LAPTOP, passage(3, "Bananas grow on trees.")]


@pytest.mark.parametrize(
    "text",
    [
        "Scores lie in the interval [0, 10].",
        "See schedule [12] of the contract.",
        "See schedule [12].",
        "As the [2024] report says, growth is 4%.",
        "The scale is [1, 3].",
        "The scale is [1, 3] for stress.",
        "sys.argv[0] is the program, sys.argv[1] its first argument.",
        "Read argv[1]",
        "x[1][2] and f(a)[1]",
        "`[1]` and `a [2] b` are code",
        "``[1] ` [2]``",
        "```\nrow = [1]\n```",
        "~~~\n[1]\n[9]",
        "[1].name is set",
        "$x_[1]$ and \\(a [2]\\) and \\[ [1, 2] \\]",
        "$$ [1] $$",
        "[1](https://a.example) is a link",
        "[[1, 2], [3, 1]]",
        "x = [1, 2]",
        "[0] is the first, [9] the last.",
        "Sec. [12]",
        "e.g. [12]",
        "[1]: https://a.example",
        "The list holds [1, 2, 3] things",
        "28 days [1, 9].",
        "obj['a'][1]",
        '"abc"[1]',
        "[1]st place",
        "int a[3];",
        "[-1] and [1.5]",
        "the points [1, 2] and [2, 3]",
        "Array: [1, 2, 3]",
        "C:\\dir\\[1]",
        "between [1, 3] and 4",
    ],
)
def test_what_is_no_citation_is_never_touched(text: str) -> None:
    found = check(text, PASSAGES, text)
    assert (found.text, found.cited, found.removed) == (text, (), ())
    assert without_citations(text, len(PASSAGES)) == text
    assert "<a " not in answer_html(text, ["/1", "/2", "/3"])


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("28 days [1].", (1,)),
        ("According to [2], it is so.", (2,)),
        ("28 days.[1]", (1,)),
        ("[3] Bananas", (3,)),
        ("(see [1])", (1,)),
        ("([2])", (2,)),
        ("28 days [1, 2]. More [3]", (1, 2, 3)),
        ("4% [1], 5%[2]", (1, 2)),
        ("**28** days [1]", (1,)),
        ("`argv[0]` is set [2].", (2,)),
        ("休暇は28日です[1]。", (1,)),
        ("a “word”[1].", (1,)),
        ("a [1][2], b [3]; c", (1, 2, 3)),
        ("It costs $5 [1] and $6 [2].", (1, 2)),
        ("one ` tick [1]", (1,)),
        ("(HR)[1]", (1,)),
        ("- a [1]\n- b [2]", (1, 2)),
        ("| a [1] | b |", (1,)),
        ("The scale is [1, 3] for stress. [1]", (1,)),
        ("**[1]**", (1,)),
    ],
)
def test_citations_are_found_linked_and_no_words(text: str, cited: tuple[int, ...]) -> None:
    found = check(text, PASSAGES)
    assert (found.cited, found.removed) == (cited, ())
    assert answer_html(found.text, ["/1", "/2", "/3"]).count("<a ") == len(cited)
    left = without_citations(found.text, len(PASSAGES))
    assert check(left, PASSAGES, left).cited == ()


@pytest.mark.parametrize(
    "mark",
    ["[", "[1", "[1]", "`", "``[1]", "$", "$a", "\\(", "(", "[1](", "```\n", "\n[1]", " [9]"],
)
def test_brackets_cost_no_more_than_their_number(mark: str) -> None:
    assert cpu_seconds(lambda: find_brackets(mark * 5_000, 3), enough=3) < 3
