"""`qc deploy`: a folder with everything that keeps an installation running, from a few questions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `deploy`."""
    deploy = commands.add_parser("deploy", help="write a deployment: compose, systemd, Kubernetes; cloud or own rack")
    below = deploy.add_subparsers(metavar="COMMAND", required=True)
    new = below.add_parser("new", help="ask a few questions and write a deployment", description=run_new.__doc__)
    new.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder")
    new.add_argument("--answers", type=Path, metavar="FILE", help="YAML file with answers")
    new.add_argument(
        "--set", action="append", default=[], metavar="QUESTION=ANSWER", help="one answer; may be repeated"
    )
    new.add_argument("--defaults", action="store_true", help="ask nothing: what is not answered takes its default")
    new.set_defaults(run=run_new)
    update = below.add_parser(
        "update", help="merge what the templates say now into a deployment", description=run_update.__doc__
    )
    update.add_argument("folder", type=Path, metavar="FOLDER")
    update.add_argument("--set", action="append", default=[], metavar="QUESTION=ANSWER", help="a new answer")
    update.set_defaults(run=run_update)
    questions = below.add_parser("questions", help="the questions, their answers and defaults")
    questions.set_defaults(run=run_questions)


def run_new(arguments: argparse.Namespace) -> int:
    """Write a deployment into FOLDER. At a terminal what is not answered is asked for, else it takes its default."""
    import platform

    from server.deploy import answers, making

    given = (answers.read(arguments.answers) if arguments.answers else {}) | answers.parse(arguments.set)
    ask = not arguments.defaults and sys.stdin.isatty() and sys.stdout.isatty()
    likely: answers.Answers = {"address": platform.node()} if ask else {}
    files = making.new(arguments.folder, given, ask=ask, likely=likely)
    print(f"{len(files)} files in {arguments.folder}; {arguments.folder / 'README.md'} says how to start it")
    return 0


def run_update(arguments: argparse.Namespace) -> int:
    """Bring FOLDER to what the templates say now. Your changes stay; where both changed a line, both stand there."""
    from server.deploy import answers, making

    did = making.update(arguments.folder, answers.parse(arguments.set))
    for word, names in (
        ("written", did.written),
        ("merged", did.merged),
        ("removed", did.removed),
        ("left alone", did.left),
        ("settle by hand", did.contradicting),
    ):
        for name in names:
            print(f"{word:>14}  {name}")
    if not any((did.written, did.merged, did.removed, did.left, did.contradicting)):
        print("nothing to do")
    if did.contradicting:
        print(f"qc: look for <<<<<<< in {', '.join(did.contradicting)}", file=sys.stderr)
        return 1
    return 0


def run_questions(arguments: argparse.Namespace) -> int:
    """Print the questions."""
    from server.deploy.answers import questions

    for question in questions().values():
        if question.asked:
            answers = " | ".join(question.choices) or question.kind
            print(f"{question.name:<12} {question.text}\n{'':<12} {answers}; default {question.default}")
    return 0
