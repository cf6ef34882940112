"""Passwords: rules, argon2 hashes, and the brake on guessing."""

import contextlib
import hashlib
import secrets
import threading
import unicodedata
from collections.abc import Iterator
from datetime import timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete

from core.database import Database, now
from core.errors import InvalidInput, SignInFailed
from core.settings import Settings
from core.tables import SignInFailureRow

SHORTEST = 10
LONGEST = 200
# Each hash takes 64 MiB while it is computed: a crowd at the door must not fill the memory.
HASHES_AT_ONCE = 4
STRIPES = 64


def name_key(name: str) -> str:
    """Fold a name so that 'Ada', 'ADA' and a full-width 'Ａｄａ' are one account."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def random_password() -> str:
    """Return a password of 96 random bits, to be shown once and changed at once."""
    return secrets.token_urlsafe(12)


def check_password(password: str, name: str) -> None:
    """Refuse a password that is too short, too long, or the account's name.

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


class Passwords:
    """Argon2id with the library's defaults (RFC 9106, low-memory profile)."""

    def __init__(self) -> None:
        """Prepare a hash to compare with when the account does not exist."""
        self._hasher = PasswordHasher()
        self._room = threading.BoundedSemaphore(HASHES_AT_ONCE)
        self._nobody = self.hash("nobody has this password")

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


class GuessingBrake:
    """Locks a name after too many failures, whether or not an account has it.

    One name is checked at a time, so parallel guesses cannot pass the count.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        """Take the limits from `settings`."""
        self._database = database
        self._most = settings.sign_in_attempts
        self._pause = timedelta(minutes=settings.lockout_minutes)
        self._stripes = [threading.Lock() for _ in range(STRIPES)]

    @contextlib.contextmanager
    def one_try(self, key: str) -> Iterator[None]:
        """Around one check of a password; a `SignInFailed` from inside counts as a failure.

        Raises:
            SignInFailed: the name is locked, or this failure locked it; says until when.
        """
        digest = _digest(key)
        with self._stripes[int(digest, 16) % STRIPES]:
            self._refuse_locked(digest)
            try:
                yield
            except SignInFailed:
                self._count(digest)
                self._refuse_locked(digest)
                raise
            self.forget(key)

    def forget(self, key: str) -> None:
        """Clear a name's failures."""
        with self._database.session() as session:
            session.execute(
                delete(SignInFailureRow).where(SignInFailureRow.name_sha256 == _digest(key))
            )

    def _refuse_locked(self, digest: str) -> None:
        with self._database.session() as session:
            row = session.get(SignInFailureRow, digest)
        until = row.locked_until if row else None
        if until is not None and until > now():
            minutes = max(1, round((until - now()).total_seconds() / 60))
            unit = "minute" if minutes == 1 else "minutes"
            raise SignInFailed(
                f"Too many failed sign-ins for this name. Try again in {minutes} {unit} "
                f"(after {until:%H:%M} UTC), or ask an admin for a new password."
            )

    def _count(self, digest: str) -> None:
        moment = now()
        with self._database.session() as session:
            session.execute(
                delete(SignInFailureRow).where(SignInFailureRow.last_at < moment - self._pause)
            )
            row = session.get(SignInFailureRow, digest)
            if row is None:
                row = SignInFailureRow(name_sha256=digest, failures=0)
                session.add(row)
            row.failures = 1 if row.locked_until else row.failures + 1
            row.last_at = moment
            row.locked_until = moment + self._pause if row.failures >= self._most else None


def _bytes(password: str) -> bytes:
    # NFKC: the same keys must match whichever keyboard composes the accents.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
