"""Passwords: rules and argon2 hashes."""

import base64
import contextlib
import re
import secrets
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

from core.errors import InvalidInput

SHORTEST = 10
LONGEST = 200
# Each hash takes 64 MiB while it is computed: a crowd at the door must not fill the memory.
HASHES_AT_ONCE = 4

JUDGED = 40
"""Characters whose strength is estimated; it takes longer than linear time, and these suffice."""
FEWEST_GUESSES = 10**8
"""Where zxcvbn's score of 3 of 4, "safely unguessable", begins."""
DIGITS_ENOUGH = 8
"""Digits beside the account's name that are hard to guess by themselves."""

# zxcvbn keeps the words of a call in one place for all threads.
_ESTIMATING = threading.Lock()

# What whoever guesses here tries first, in the languages of our first companies; zxcvbn knows
# English words, names and leaked passwords by itself.
_EXPECTED = """
inhouse asdfg financial company firm office team staff employee assistant intranet handbook admin
administrator administrador root welcome willkommen bienvenue bienvenido password passwort passwd
kennwort motdepasse contrasena changeme letmein secret geheim firma buero entreprise empresa
january february march april may june july august september october november december
januar februar maerz märz mai juni juli oktober dezember
monday tuesday wednesday thursday friday saturday sunday
montag dienstag mittwoch donnerstag freitag samstag sonntag
spring summer autumn winter frühling fruehling sommer herbst
"""

_REASONS = {
    "user_inputs": "it is built on a name or a word that others here would think of",
    "passwords": "it is, or is close to, one that many people use",
    "spatial": "keys that lie side by side are tried early",
    "repeat": "repeating something hardly makes it longer",
    "sequence": "runs such as abc or 6543 are tried early",
    "regex": "years are tried early",
    "date": "dates are tried early",
    "dictionary": "a word or a name with little around it is tried early",
    "bruteforce": "it is short for what it is made of",
}


def name_key(name: str) -> str:
    """Fold a name so that 'Ada', 'ADA' and a full-width 'Ａｄａ' are one account."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def random_password() -> str:
    """Return a password of 96 random bits, to be shown once and changed at once."""
    return secrets.token_urlsafe(12)


def check_password(password: str, name: str) -> None:
    """Refuse a password that is too short, too long, or soon guessed.

    Raises:
        InvalidInput: says which rule; never repeats the password.
    """
    if len(password) < SHORTEST:
        raise InvalidInput(f"The password has {len(password)} characters; use at least {SHORTEST}.")
    if len(password) > LONGEST:
        raise InvalidInput(f"The password has {len(password)} characters; use at most {LONGEST}.")
    if name_key(password) == name_key(name):
        raise InvalidInput("The password is the account's name; choose one nobody can guess.")
    if len(set(password)) < 4:
        raise InvalidInput("The password repeats very few characters; mix more of them.")
    reason = _why_weak(password, name) or _why_weak_without_name(password, name)
    if reason:
        raise InvalidInput(
            f"This password would soon be guessed: {reason}. Use four or more words that do not "
            "belong together; a digit or a sign at the end hardly helps."
        )


def _why_weak(password: str, name: str) -> str:
    """Return why a password is weak, or ''."""
    text = unicodedata.normalize("NFKC", password)[:JUDGED]
    names = _names(name)
    expected = [*names, *_EXPECTED.split()]
    guesses, matches = _estimate(text, expected)
    # What is scattered between the letters hides a word from the estimate, not from a person.
    bare = _bare(text)
    if _is_name_and_digits(bare, names):
        return _REASONS["user_inputs"]
    if bare and bare != text:
        bare_guesses, bare_matches = _estimate(bare, expected)
        bare_guesses *= 10 ** len(set(text) - set(bare))
        if bare_guesses < guesses:
            guesses, matches = bare_guesses, bare_matches
    if guesses >= FEWEST_GUESSES:
        return ""
    longest = max(matches, key=lambda match: len(match["token"]))
    kind = longest.get("dictionary_name", longest["pattern"])
    return _REASONS.get(kind, _REASONS["dictionary"])


def _why_weak_without_name(password: str, name: str) -> str:
    """Return why what stands beside the account's name is weak, or ''; everybody knows the name."""
    rest = name_key(password)
    for part in _names(name):
        if len(part) > 2 and part in rest:
            rest = rest.replace(part, " ")
    if rest == name_key(password):
        return ""
    beside = " ".join(re.split(r"[\W_]+", rest)).strip()
    guesses, _ = _estimate(beside[:JUDGED], _EXPECTED.split())
    return "" if guesses >= FEWEST_GUESSES else _REASONS["user_inputs"]


def _estimate(text: str, expected: Sequence[str]) -> tuple[int, Sequence[Mapping[str, Any]]]:
    # Imported here: its lists of words take half a second, which few commands need.
    from zxcvbn import zxcvbn

    with _ESTIMATING:
        found = zxcvbn(text, user_inputs=list(expected))
    return int(found["guesses"]), found["sequence"]


def _names(name: str) -> list[str]:
    key = name_key(name)
    parts = [part for part in re.split(r"[\W_]+", key) if len(part) > 2]
    return [_bare(key), *sorted(parts, key=len, reverse=True)]


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def _is_name_and_digits(bare: str, names: Sequence[str]) -> bool:
    rest = bare.casefold()
    for name in names:
        rest = rest.replace(name, "")
    return len(rest) < min(len(bare), DIGITS_ENOUGH) and not any(map(str.isalpha, rest))


class Passwords:
    """Argon2id, by default with the library's parameters (RFC 9106, low-memory profile)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """Prepare a hash to compare with when the account does not exist."""
        self._hasher = hasher or PasswordHasher()
        self._room = threading.BoundedSemaphore(HASHES_AT_ONCE)
        self._nobody = _nobodys_hash(self._hasher)

    def hash(self, password: str) -> str:
        """Return a salted hash that names its own parameters."""
        with self._room:
            return self._hasher.hash(_bytes(password))

    def matches(self, password: str, stored: str | None) -> bool:
        """Compare; takes as long when there is no such account (`stored` is None)."""
        with self._room, contextlib.suppress(VerificationError, InvalidHashError):
            self._hasher.verify(stored or self._nobody, _bytes(password[:LONGEST]))
            return stored is not None
        return False

    def outdated(self, stored: str) -> bool:
        """Tell whether the hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(stored)


def _nobodys_hash(hasher: PasswordHasher) -> str:
    """Return a hash as `hasher` writes it, of no known password: to make a real one takes long."""
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
        for length in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2{hasher.type.name.lower()}$v={ARGON2_VERSION}${costs}${salt}${digest}"


def _bytes(password: str) -> bytes:
    # NFKC: the same keys must match whichever keyboard composes the accents.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
