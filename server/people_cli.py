"""`qc user` and `qc key`: accounts for people, keys for machines. They work beside a running server."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.db import Database

ROLES = "operator, leader, labeller, engineer, admin; of keys machine, too"


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
    from server import auth, people
    from server.clock import now

    role = auth.parse_role(arguments.role)
    password, made_up = _password()
    with _database() as database, database.write() as session:
        people.add(session, arguments.name, role, password, by=_who(), now=now())
        session.commit()
    _tell(arguments.name, password, made_up)
    return 0


def run_user_password(arguments: argparse.Namespace) -> int:
    """Change an account's password."""
    from server import first_login, people
    from server.clock import now
    from server.settings import read_settings

    with _database() as database:
        with database.read() as session:
            people.account(session, arguments.name)
        password, made_up = _password()  # a running server must not wait for a person to type
        with database.write() as session:
            people.new_password(session, arguments.name, password, by=_who(), now=now())
            session.commit()
    first_login.forget(read_settings(), arguments.name)
    _tell(arguments.name, password, made_up)
    return 0


def run_user_badge(arguments: argparse.Namespace) -> int:
    """Give or take a badge."""
    from server import oidc_accounts, people
    from server.clock import now

    with _database() as database:
        with database.read() as session:
            people.account(session, arguments.name)
        code, pin = ("", "") if arguments.take else _badge()  # a running server must not wait for a person to type
        with database.write() as session:
            user = people.account(session, arguments.name)
            if arguments.take:
                number = oidc_accounts.take_badges(session, user.name, now=now())
                told = f"{number} badges of {user.name} are taken away"
            else:
                oidc_accounts.give_badge(session, user, code, pin, now=now())
                told = f"{user.name} logs in by reading the badge instead of a name, with the PIN as password"
            session.commit()
    print(told)
    return 0


def run_key_create(arguments: argparse.Namespace) -> int:
    """Make a key and print it."""
    from server import auth, people
    from server.clock import now

    role = auth.parse_role(arguments.role)
    with _database() as database, database.write() as session:
        name = arguments.name or role.value
        key = people.add_key(session, name, role, arguments.days, by=_who(), now=now())
        session.commit()
    print(key)
    return 0


def run_key_revoke(arguments: argparse.Namespace) -> int:
    """End the keys of a name."""
    from server import people
    from server.clock import now

    with _database() as database, database.write() as session:
        found = [key for key in people.keys(session) if key.name == arguments.name and key.revoked_at is None]
        for key in found:
            people.revoke_key(session, key.id, by=_who(), now=now())
        session.commit()
    print(f"{len(found)} keys of {arguments.name} are revoked")
    return 0


def _who() -> str:
    """Who gives a command, in the trail: whoever may read the data folder needs no log-in."""
    import os

    return f"command line, user {os.getuid()}"


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
