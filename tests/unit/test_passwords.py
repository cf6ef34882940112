"""What a password must be, and that judging it stays cheap."""

import contextlib
from typing import ClassVar, Literal

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from core.errors import InvalidInput
from core.passwords import Passwords, check_password, random_password
from tests.timing import cpu_seconds

NAME = "Anna.Schmidt"


@pytest.mark.parametrize(
    "password",
    [
        "password12", "inhouse2026", "qwertyuiop", "Passw0rd!2024", "letmein12345", "1q2w3e4r5t",
        "Inhouse-2026!", "2026inhouse", "company2026", "Sommer2024!", "Frühling2026",
        "Monday2026!", "annaschmidt1987", "Anna_Schmidt_87", "schmidt.anna.2026!", "anna-2026!",
        "p a s s w o r d 1 2", "ｐａｓｓｗｏｒｄ１２", "P@$$w0rd1234", "abcdefghij", "0987654321",
        "inhouseinhouse", "password" * 20, "qwertzuiop", "Admin@12345", "|nh0us3-2026",
        "asdf financial", "iloveyou12", "anna19900101", "12345qwert", "anna is here",
        "Hello Anna Schmidt", "schmidt at work", "its.anna.here",
    ],
)  # fmt: skip
def test_what_is_soon_guessed_is_refused_with_a_reason(password: str) -> None:
    with pytest.raises(InvalidInput, match=r"soon be guessed") as caught:
        check_password(password, NAME)
    assert password not in caught.value.message
    assert "words" in caught.value.message


@pytest.mark.parametrize(
    "password",
    [
        "seven quiet lamps at noon", "correct horse battery", "Vier blaue Stühle im Regen",
        "x7Gq2LpW9t", "k9#F!x2@Qv", "#*;a;+!2k%@&", "私は毎日電車で会社に行きます",
        "annas 4 violet trains", "\udcff unlikely lamps \udcfe",
    ],
)  # fmt: skip
def test_what_is_hard_to_guess_passes(password: str) -> None:
    check_password(password, NAME)


def test_passwords_made_for_people_pass() -> None:
    for _ in range(20):
        check_password(random_password(), NAME)


@pytest.mark.parametrize("name", ["", "a", "..", "Ω" * 64, "ﷺ" * 3])
def test_any_name_can_have_a_password(name: str) -> None:
    check_password("seven quiet lamps at noon", name)


def test_a_long_password_is_judged_in_bounded_time() -> None:
    def judge() -> None:
        for text in ("4@8({[<369&#!10$5+7%2" * 9, "a" * 100 + "b1c2" * 25, "password" * 25):
            with contextlib.suppress(InvalidInput):
                check_password(text, NAME)

    assert cpu_seconds(judge, enough=10) < 10


@pytest.mark.parametrize("hasher", [PasswordHasher(), PasswordHasher(2, 64, 1, 24, 8)])
def test_a_name_that_has_no_account_costs_what_an_account_costs(hasher: PasswordHasher) -> None:
    class Seen(PasswordHasher):
        """Keeps what it was asked to compare with."""

        asked: ClassVar[list[str]] = []

        def verify(self, stored: str | bytes, password: str | bytes) -> Literal[True]:
            self.asked.append(str(stored))
            return super().verify(stored, password)

    seen = Seen(hasher.time_cost, hasher.memory_cost, hasher.parallelism, hasher.hash_len,
                hasher.salt_len)  # fmt: skip
    assert not Passwords(seen).matches("what I guess", None)
    (nobodys,) = seen.asked
    assert extract_parameters(nobodys) == extract_parameters(hasher.hash("somebody's"))
    with pytest.raises(VerifyMismatchError):
        hasher.verify(nobodys, "what I guess")
