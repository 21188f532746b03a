"""`qc`: the console command. Every package brings its own subcommands; nothing heavy is imported before one is chosen.

Exit status: 0 done; 1 the work failed, with one sentence on standard error; 2 wrong arguments; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from qc.errors import QcError

COMMANDS = (
    "segmentation.cli",
    "process_opt.cli",
    "labeling.cli",
    "server.up_cli",
    "server.people_cli",
    "server.audit_cli",
    "server.model_cli",
    "server.golden_cli",
    "server.features_cli",
    "server.backup_cli",
    "server.database_cli",
    "server.packages_cli",
    "server.outbound_cli",
    "server.deploy_cli",
    "server.docs_cli",
    "server.cluster.cli",
    "server.demo.cli",
)
"""Modules with `register(commands)`, in the order in which `qc --help` lists their commands."""

BELOW = {"process": ("server.process_cli",), "data": ("server.labels_cli", "server.sources_cli")}
"""Modules whose commands stand below another command: `qc process register`."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="qc", description="Finds tiny defects on large metal surfaces and says how to save a part that went wrong."
    )
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(name).register(commands)
    for parent, names in BELOW.items():
        below = _subcommands(commands.choices[parent])
        for name in names:
            importlib.import_module(name).register(below)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        return status
    except QcError as error:
        print(f"qc: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("qc: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"qc: {where}{error.strerror or error}", file=sys.stderr)
        return 1


def _subcommands(command: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """The subcommands of a command, for adding one; made where it has none yet."""
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action
    return command.add_subparsers(metavar="COMMAND", required=True)
