"""The People page's handlers: what cannot be taken back is asked first, and about whom."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest

from core.home import Home
from core.permissions import Account, Role
from tests.fakes import ScriptedModel
from tests.served import PASSWORD, make_services


@pytest.fixture
def made(home: Home) -> Iterator[tuple[Any, Any, Account, Account]]:
    """The page, its services, an admin and an employee."""
    services = make_services(home, ScriptedModel())
    from ui.people import PeoplePage

    boss = services.accounts.create("boss", PASSWORD, Role.ADMIN)
    anna = services.accounts.create("anna", PASSWORD, Role.EMPLOYEE)
    yield PeoplePage(services), services, boss, anna
    services.sign_ins.close()


def test_each_deed_waits_for_a_second_click_that_names_the_person(
    made: tuple[Any, Any, Account, Account],
) -> None:
    page, services, boss, anna = made
    accounts = services.accounts
    token = accounts.sign_in("anna", PASSWORD, "test")
    for ask, button in (
        (page.ask_password, "Set a new password"), (page.ask_end, "End the sign-ins"),
        (page.ask_toggle, "Disable the account"), (page.ask_delete, "Delete the account"),
    ):  # fmt: skip
        confirm, asked, question, yes = ask(boss, anna.id)
        assert confirm["visible"]
        assert "<b>anna</b>" in question
        assert yes["value"] == button
        assert asked[1] == anna.id
    assert accounts.by_token(token) is not None
    page.confirmed(boss, page.ask_end(boss, anna.id)[1])
    assert accounts.by_token(token) is None
    shown = page.confirmed(boss, page.ask_password(boss, anna.id)[1])
    assert "<b>anna</b> signs in with the password" in shown[2]
    assert accounts.get(anna.id).must_change_password
    page.confirmed(boss, page.ask_toggle(boss, anna.id)[1])
    assert accounts.get(anna.id).disabled
    assert page.ask_toggle(boss, anna.id)[3]["value"] == "Enable the account"
    page.confirmed(boss, page.ask_toggle(boss, anna.id)[1])
    assert not accounts.get(anna.id).disabled
    page.confirmed(boss, page.ask_delete(boss, anna.id)[1])
    assert [one.name for one in accounts.list()] == ["boss"]


def test_another_choice_takes_the_question_back(
    made: tuple[Any, Any, Account, Account],
) -> None:
    page, _, boss, anna = made
    *_, confirm, asked = page.choose(boss, anna.id)
    assert not confirm["visible"]
    assert asked is None
    with pytest.raises(gr.Error, match="Choose an account"):
        page.confirmed(boss, None)


def test_an_admin_does_none_of_it_to_themself(made: tuple[Any, Any, Account, Account]) -> None:
    page, services, boss, _ = made
    token = services.accounts.sign_in("boss", PASSWORD, "test")
    for ask in (page.ask_password, page.ask_end, page.ask_toggle, page.ask_delete):
        asked = ask.__name__
        with pytest.raises(gr.Error, match=r"own account|signed in with"):
            ask(boss, boss.id)
        assert services.accounts.by_token(token) is not None, asked
