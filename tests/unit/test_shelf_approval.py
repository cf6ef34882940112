"""Which adapters employees may use, and what becomes of the default: the shelf on SQLite."""

from dataclasses import replace

import pytest
from sqlalchemy import update

from assistant.manifest import Manifest
from assistant.shelf import NO_ADAPTER, NONE_APPROVED, Shelf, check_name
from assistant.tables import PromotionRow
from core.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from core.home import Home
from core.permissions import Account, Role
from tests.unit.adapters import build_adapter, put_adapter

ADMIN, EMPLOYEE = Account(1, "root", Role.ADMIN), Account(2, "ann", Role.EMPLOYEE)


@pytest.fixture
def shelf(home: Home) -> Shelf:
    """Three adapters with weights of their own, none approved."""
    for name in ("one", "two", "raw"):
        build_adapter(home.workspace.adapters / name, name.encode())
    return Shelf(home, home.workspace.root / "no built-in reader")


def names(shelf: Shelf, account: Account) -> list[str]:
    return [info.name for info in shelf.usable_by(account)]


def test_employees_use_only_what_was_let_through_and_admins_try_all(shelf: Shelf) -> None:
    assert names(shelf, ADMIN) == ["one", "raw", "two"]
    assert names(shelf, EMPLOYEE) == []
    shelf.set_default("one", None, "let through")
    shelf.set_default("two", None, "passed the gate")
    assert names(shelf, EMPLOYEE) == ["one", "two"]
    assert shelf.choose(EMPLOYEE, None) == "two"
    assert shelf.choose(EMPLOYEE, "one") == "one"
    assert shelf.choose(ADMIN, "raw") == "raw"


@pytest.mark.parametrize("forged", ["raw", "nowhere", "../one", "ONE", "built-in-reader", " one"])
def test_any_other_name_is_refused_alike_whether_it_exists_or_not(
    shelf: Shelf, forged: str
) -> None:
    shelf.set_default("one", None)
    with pytest.raises(PermissionDenied, match=r"You may not use an adapter '.*one of: one\.$"):
        shelf.choose(EMPLOYEE, forged)


def test_without_any_approved_one_employees_are_told_so(shelf: Shelf) -> None:
    with pytest.raises(InvalidInput, match=NONE_APPROVED):
        shelf.choose(EMPLOYEE, None)
    with pytest.raises(PermissionDenied, match=NONE_APPROVED):
        shelf.choose(EMPLOYEE, "one")
    assert shelf.choose(ADMIN, None) is None


def test_taking_the_default_away_switches_fine_tuned_answers_off(shelf: Shelf) -> None:
    shelf.set_default("one", None)
    shelf.set_default("two", None)
    shelf.set_default(None, None, "it does harm")
    assert names(shelf, EMPLOYEE) == []
    shelf.set_default("one", None, "back")
    assert names(shelf, EMPLOYEE) == ["one"]


def test_a_later_adapter_of_the_name_inherits_nothing(home: Home, shelf: Shelf) -> None:
    shelf.set_default("one", None)
    shelf.set_default("two", None)
    shelf.delete("one")
    shelf.delete("two", NO_ADAPTER)
    shelf.set_default("raw", None)
    for name in ("one", "two"):
        build_adapter(home.workspace.adapters / name, b"trained on something else")
    assert names(shelf, EMPLOYEE) == ["raw"]
    build_adapter(home.workspace.adapters / "raw", b"and this lay there instead")
    assert shelf.default() is None
    assert names(shelf, EMPLOYEE) == []


def test_promotions_of_earlier_versions_count_for_what_was_there_then(
    home: Home, shelf: Shelf
) -> None:
    shelf.set_default("one", None)
    with home.database.session() as session:
        session.execute(update(PromotionRow).values(weights_sha256=""))
    assert (shelf.default(), names(shelf, EMPLOYEE)) == ("one", ["one"])
    folder = home.workspace.adapters / "one"
    manifest = Manifest.from_json((folder / "manifest.json").read_text("utf-8"))
    later = replace(manifest, created_at="2199-01-01T00:00:00+00:00")
    (folder / "manifest.json").write_text(later.to_json(), "utf-8")
    assert (shelf.default(), names(shelf, EMPLOYEE)) == (None, [])


def test_the_default_is_deleted_only_with_a_word_on_what_replaces_it(shelf: Shelf) -> None:
    shelf.set_default("one", None)
    shelf.set_default("two", None)
    with pytest.raises(Conflict, match=r"'two' is the default.*what replaces it: one, none"):
        shelf.delete("two")
    with pytest.raises(Conflict, match=r"'raw' cannot replace 'two'.*Promote it first"):
        shelf.delete("two", "raw")
    with pytest.raises(Conflict, match="'two' cannot replace 'two'"):
        shelf.delete("two", "two")
    assert shelf.default() == "two"
    shelf.delete("two", "one", None)
    assert shelf.default() == "one"
    assert shelf.promotions()[0].reason == "'two' was deleted; 'one' replaces it"
    shelf.delete("raw")
    assert shelf.default() == "one"


def test_a_default_that_vanished_is_replaced_by_nobody(home: Home, shelf: Shelf) -> None:
    shelf.set_default("one", None)
    shelf.set_default("two", None)
    (home.workspace.adapters / "two").rename(home.workspace.root / "elsewhere")
    assert shelf.default() is None
    assert names(shelf, EMPLOYEE) == ["one"]
    with pytest.raises(InvalidInput, match="Choose one of: one"):
        shelf.choose(EMPLOYEE, None)


def test_killed_between_the_decision_and_the_files_it_can_be_said_again(
    home: Home, shelf: Shelf
) -> None:
    shelf.set_default("one", None)
    shelf.set_default(None, None, "'one' was deleted; no adapter is the default")
    assert "one" in names(shelf, ADMIN)
    (home.workspace.adapters / ".raw.deleted").mkdir()
    shelf.delete("one")
    assert {folder.name for folder in home.workspace.adapters.iterdir()} == {"raw", "two"}
    with pytest.raises(NotFound):
        shelf.delete("one")


def test_what_stands_for_no_adapter_is_nobodys_name(home: Home) -> None:
    with pytest.raises(InvalidInput, match="stands for no adapter"):
        check_name(NO_ADAPTER)
    put_adapter(home, "Doors")
    assert Shelf(home).taken("doors")
