"""Password hashes that cost nearly nothing, where what a hash costs is not what is tested."""

from argon2 import PasswordHasher

from core.passwords import Passwords

QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


class Exchanged(Passwords):
    """Hashes as `by` does, which a test may exchange while the application runs."""

    def __init__(self) -> None:
        """As by default, until exchanged."""
        self.by = Passwords()

    def hash(self, password: str) -> str:
        return self.by.hash(password)

    def matches(self, password: str, stored: str | None) -> bool:
        return self.by.matches(password, stored)

    def outdated(self, stored: str) -> bool:
        return self.by.outdated(stored)
