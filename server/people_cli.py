"""`qc user` and `qc key`: accounts for people, keys for machines. They work beside a running server."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.db import Database

ROLES = "operator, labeller, engineer, admin or machine"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `user` and `key`."""
    user = commands.add_parser("user", help="accounts of people").add_subparsers(metavar="COMMAND", required=True)
    add = user.add_parser("add", help="a new account; its password is asked for, or made up and printed")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--role", required=True, help=ROLES)
    add.set_defaults(run=run_user_add)
    password = user.add_parser("password", help="a new password for an account; ends its log-ins")
    password.add_argument("name", metavar="NAME")
    password.set_defaults(run=run_user_password)
    badge = user.add_parser("badge", help="a station badge for an operator's or labeller's account, with a PIN")
    badge.add_argument("name", metavar="NAME")
    badge.add_argument("--take", action="store_true", help="take the account's badge away, and end its log-ins")
    badge.set_defaults(run=run_user_badge)
    key = commands.add_parser("key", help="keys of machines").add_subparsers(metavar="COMMAND", required=True)
    create = key.add_parser("create", help="a new key, printed once, alone on the last line")
    create.add_argument("--role", required=True, help=ROLES)
    create.add_argument("--days", type=float, help="ends after so many days (never)")
    create.add_argument("--name", default="", help="what it is for; shown where its decisions are (its role)")
    create.set_defaults(run=run_key_create)
    revoke = key.add_parser("revoke", help="end every key of a name")
    revoke.add_argument("name", metavar="NAME")
    revoke.set_defaults(run=run_key_revoke)


def run_user_add(arguments: argparse.Namespace) -> int:
    """Make an account."""
    from server import auth
    from server.clock import now

    role = auth.parse_role(arguments.role)
    password, made_up = _password()
    with _database() as database, database.write() as session:
        auth.add_user(session, arguments.name, role, password, now=now())
        session.commit()
    _tell(arguments.name, password, made_up)
    return 0


def run_user_password(arguments: argparse.Namespace) -> int:
    """Change an account's password."""
    from qc.errors import NotFound
    from server import auth, first_login
    from server.records import User
    from server.settings import read_settings

    with _database() as database, database.write() as session:
        user = session.get(User, arguments.name)
        if user is None:
            raise NotFound(f"there is no account {arguments.name}; make it with qc user add")
        password, made_up = _password()
        auth.set_password(session, user, password)
        session.commit()
    first_login.forget(read_settings(), arguments.name)
    _tell(arguments.name, password, made_up)
    return 0


def run_user_badge(arguments: argparse.Namespace) -> int:
    """Give or take a badge."""
    from qc.errors import NotFound
    from server import oidc_accounts
    from server.clock import now
    from server.records import User

    with _database() as database, database.write() as session:
        user = session.get(User, arguments.name)
        if user is None:
            raise NotFound(f"there is no account {arguments.name}; make it with qc user add")
        if arguments.take:
            number = oidc_accounts.take_badges(session, user.name, now=now())
            told = f"{number} badges of {user.name} are taken away"
        else:
            code, pin = _badge()
            oidc_accounts.give_badge(session, user, code, pin, now=now())
            told = f"{user.name} logs in by reading the badge instead of a name, with the PIN as password"
        session.commit()
    print(told)
    return 0


def run_key_create(arguments: argparse.Namespace) -> int:
    """Make a key and print it."""
    from server import auth
    from server.clock import now

    role = auth.parse_role(arguments.role)
    with _database() as database, database.write() as session:
        key = auth.create_key(session, arguments.name or role.value, role, now=now(), days=arguments.days)
        session.commit()
    print(key)
    return 0


def run_key_revoke(arguments: argparse.Namespace) -> int:
    """End the keys of a name."""
    from server import auth
    from server.clock import now

    with _database() as database, database.write() as session:
        number = auth.revoke_keys(session, arguments.name, now=now())
        session.commit()
    print(f"{number} keys of {arguments.name} are revoked")
    return 0


@contextmanager
def _database() -> Iterator[Database]:
    from server import schema
    from server.db import Database
    from server.settings import read_settings

    database = Database(read_settings().db_url)
    try:
        schema.upgrade(database)
        yield database
    finally:
        database.close()


def _password() -> tuple[str, bool]:
    """A password, and whether we made it up because nobody is there to ask."""
    import getpass
    import secrets
    import sys

    from qc.errors import InvalidInput

    if not sys.stdin.isatty():
        return secrets.token_urlsafe(12), True
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Again: "):
        raise InvalidInput("the two passwords differ; nothing was changed")
    return password, False


def _badge() -> tuple[str, str]:
    """What the badge's reader types, and the PIN: asked for, or the first two lines of standard input."""
    import getpass
    import sys

    if sys.stdin.isatty():
        return getpass.getpass("Read the badge: ").strip(), getpass.getpass("PIN: ").strip()
    lines = [*sys.stdin.read().splitlines(), "", ""]
    return lines[0].strip(), lines[1].strip()


def _tell(name: str, password: str, made_up: bool) -> None:
    if made_up:
        print(f"{name} logs in with this password, which is not shown again:")
        print(password)
    else:
        print(f"{name} can log in")
