"""Personal data: what is found, what is left alone, and that masking leaves nothing behind."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.privacy import (
    PersonalKind,
    find_personal,
    iban_holds,
    luhn_holds,
    mask_personal,
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Write to jo.smith+hr@mail.example.org today", PersonalKind.EMAIL),
        ("Call +44 20 7946 0958", PersonalKind.PHONE),
        ("Call (202) 555-0143 or 202-555-0143", PersonalKind.PHONE),
        ("Ruf 030 1234 5678 an", PersonalKind.PHONE),
        ("SSN 078-05-1120.", PersonalKind.SSN),
        ("IBAN GB82 WEST 1234 5698 7654 32", PersonalKind.IBAN),
        ("IBAN DE89370400440532013000", PersonalKind.IBAN),
        ("card 4111 1111 1111 1111", PersonalKind.CARD),
        ("card 378282246310005", PersonalKind.CARD),
    ],
)
def test_finds(text: str, kind: PersonalKind) -> None:
    found = find_personal(text)
    assert {finding.kind for finding in found} == {kind}
    assert f"[{kind} removed]" in mask_personal(text)


@pytest.mark.parametrize(
    "text",
    [
        "You can request up to 240 hours; see section 3.14.15.",
        "On 2026-11-21 at 10:00 we had 1,234,567 visitors.",
        "Order 4111 1111 1111 1112 is no card, GB83 WEST 1234 5698 7654 32 no IBAN.",
        "The number 000-12-3456 was never issued; neither was 666-12-3456.",
        "Budget 2024-2025: $3,500. Version 1.2.3, ISO 27001:2022, room 12-345.",
        "@team, see #channel and user@host",
    ],
)
def test_leaves_alone(text: str) -> None:
    assert find_personal(text) == []
    assert mask_personal(text) == text


@given(st.text(max_size=200))
def test_findings_are_ordered_and_apart(text: str) -> None:
    found = find_personal(text)
    assert found == find_personal(text)
    assert all(0 <= f.start < f.end <= len(text) for f in found)
    assert all(left.end <= right.start for left, right in itertools.pairwise(found))


_PIECES = st.sampled_from(
    ["a@b.example", "+1 202 555 0143", "078-05-1120", "4111111111111111",
     "DE89370400440532013000", " ", "-", "x", "7", "@", ".", ", "]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_masking_leaves_nothing_and_is_idempotent(text: str) -> None:
    masked = mask_personal(text)
    assert find_personal(masked) == []
    assert mask_personal(masked) == masked


@given(st.integers(min_value=0, max_value=10**15 - 1))
def test_exactly_one_luhn_digit_fits(number: int) -> None:
    fitting = [digit for digit in range(10) if luhn_holds(f"{number:015d}{digit}")]
    assert len(fitting) <= 1
    assert fitting or len(set(f"{number:015d}")) == 1


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=11, max_size=30))
def test_one_pair_of_iban_digits_fits(body: str) -> None:
    turned = "".join(str(int(c, 36)) for c in f"{body}DE00")
    check = 98 - int(turned) % 97
    assert iban_holds(f"DE{check:02d}{body}")
    assert not iban_holds(f"DE{(check + 1) % 97:02d}{body}")
