"""`python -m core`: accounts, for whoever can reach the machine but not the page."""

from core.accounts import Accounts
from core.cli import Call, CommandLine, Report
from core.errors import NotFound
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


def main() -> int:
    """Run the command line; return its exit code."""
    commands = CommandLine("python -m core", "See accounts; let somebody back in.")
    commands.add("accounts", _accounts, "List accounts and their roles.")
    reset = commands.add("password", _password, "Give an account a new random password.")
    reset.add_argument("name", metavar="NAME")
    return commands.run()


if __name__ == "__main__":
    raise SystemExit(main())
