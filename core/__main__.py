"""`python -m core`: for whoever can reach the machine: accounts, check, backup."""

from pathlib import Path

from core.accounts import Accounts
from core.backup import back_up
from core.checkup import check_files
from core.cli import Call, CommandLine, Report
from core.errors import NotFound
from core.health import check_database
from core.passwords import name_key, random_password


def _accounts(call: Call) -> Report:
    details = Accounts(call.home.database, call.home.settings).list()
    data = [{"id": d.id, "name": d.name, "role": d.role} for d in details]
    return Report(data, "\n".join(f"{row['name']}\t{row['role']}" for row in data))


def _password(call: Call) -> Report:
    accounts = Accounts(call.home.database, call.home.settings)
    name = call.arguments.name
    known = {name_key(account.name): account for account in accounts.list()}
    account = known.get(name_key(name))
    if account is None:
        raise NotFound(f"There is no account '{name}'. Known: {', '.join(sorted(known))}.")
    password = random_password()
    accounts.set_password(account.id, password)
    text = f"{account.name} signs in with {password} and must then choose another password."
    return Report({"name": account.name, "password": password}, text)


def _check(call: Call) -> Report:
    found = check_files(call.home)
    lines = found or ["The database, all files and their modes are as they should be."]
    return Report({"problems": found}, "\n".join(lines), exit_code=1 if found else 0)


def _backup(call: Call) -> Report:
    target = back_up(call.home, call.arguments.target)
    lines = [f"'{target}' is a workspace like this one. Keep it on another disk, readable by you."]
    if call.home.settings.database_url:
        lines.append("The PostgreSQL database is not in it: dump it now, with pg_dump.")
    return Report({"backup": str(target)}, "\n".join(lines))


def main() -> int:
    """Run the command line; return its exit code."""
    commands = CommandLine("python -m core", "See accounts; let somebody in; check; back up.")
    commands.add("accounts", _accounts, "List accounts and their roles.")
    reset = commands.add("password", _password, "Give an account a new random password.")
    reset.add_argument("name", metavar="NAME")
    commands.add(
        "check", _check, "Check database, files and who may read them; 0: all well.",
        first=check_database,
    )  # fmt: skip
    backup = commands.add("backup", _backup, "Copy the installation while it may be in use.")
    backup.add_argument("target", type=Path, metavar="FOLDER")
    return commands.run()


if __name__ == "__main__":
    raise SystemExit(main())
