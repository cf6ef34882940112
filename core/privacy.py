"""Personal data in texts: found by fixed rules, masked on request.

What is found: e-mail addresses, phone numbers, US social security numbers, IBANs whose
checksum holds (ISO 13616), payment card numbers whose Luhn digit holds (ISO/IEC 7812).
What is not: names, postal addresses, birth dates, employee numbers, numbers written in words
or split over lines, phone numbers without country code or separators. A clean result is no
proof that a text is free of personal data.

The same text always gives the same findings; nothing is learned, nothing is looked up.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class PersonalKind(StrEnum):
    """What was found; the value is the word shown to people."""

    EMAIL = "e-mail address"
    IBAN = "IBAN"
    CARD = "payment card number"
    SSN = "social security number"
    PHONE = "phone number"


@dataclass(frozen=True)
class Finding:
    """Characters `start` to `end` of a text look like personal data."""

    kind: PersonalKind
    start: int
    end: int


_EMAIL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")
_SSN = re.compile(r"(?<![0-9-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9-])")
_PHONE = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"\+[0-9](?:[ ().-]{0,2}[0-9]){6,14}"
    r"|(?:1[ .-])?\([2-9][0-9]{2}\) ?[0-9]{3}[ .-]?[0-9]{4}"
    r"|(?:1[ .-])?[2-9][0-9]{2}[ .-][0-9]{3}[ .-][0-9]{4}"
    r"|0[0-9]{1,4}[ /-][0-9]{3,4}[ -]?[0-9]{3,5}"
    r")(?![0-9A-Za-z])"
)


def find_personal(text: str) -> list[Finding]:
    """Return findings in order of their place, without overlaps; earlier kinds win."""
    found: list[Finding] = []
    for kind, pattern, holds in _RULES:
        for match in pattern.finditer(text):
            start, end = match.span()
            overlaps = any(start < other.end and other.start < end for other in found)
            if not overlaps and holds(match.group()):
                found.append(Finding(kind, start, end))
    return sorted(found, key=lambda finding: finding.start)


def mask_personal(text: str) -> str:
    """Put '[<kind> removed]' in place of each finding, until none is left."""
    while found := find_personal(text):
        for finding in reversed(found):
            text = f"{text[: finding.start]}[{finding.kind} removed]{text[finding.end :]}"
    return text


def luhn_holds(number: str) -> bool:
    """Tell whether the last digit is the Luhn check digit; separators are ignored."""
    digits = [int(character) for character in number if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban_holds(text: str) -> bool:
    """Tell whether the two check digits are right (ISO 7064, modulo 97)."""
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _always(_text: str) -> bool:
    return True


_RULES: tuple[tuple[PersonalKind, re.Pattern[str], Callable[[str], bool]], ...] = (
    (PersonalKind.EMAIL, _EMAIL, _always),
    (PersonalKind.IBAN, _IBAN, iban_holds),
    (PersonalKind.CARD, _CARD, luhn_holds),
    (PersonalKind.SSN, _SSN, _always),
    (PersonalKind.PHONE, _PHONE, _always),
)
