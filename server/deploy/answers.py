"""The questions of the templates, and answers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from qc.errors import InvalidInput
from qc.plain_yaml import parsed

TEMPLATE = Path(__file__).parent / "template"
"""What copier renders: copier.yml with the questions, files/ with the deployment, parts/ that files share."""

Answer = str | int | bool
Answers = dict[str, Answer]


@dataclass(frozen=True, slots=True)
class Question:
    """One question of copier.yml."""

    name: str
    kind: str
    """str, int or bool."""
    text: str
    choices: tuple[str, ...]
    """All answers there are; empty: any of its kind."""
    default: str
    """As the template says it: may depend on earlier answers."""
    asked: bool
    """False: worked out from the others."""
    when: str
    """Of the earlier answers, as the template says it: only then is it asked. Empty: always."""


@cache
def questions() -> dict[str, Question]:
    """The questions by name, in the order in which they are asked."""
    return {
        name: Question(
            name=name,
            kind=about["type"],
            text=about.get("help", ""),
            choices=tuple(about["choices"].values()) if "choices" in about else (),
            default=str(about["default"]),
            asked=about.get("when") is not False,
            when=str(about.get("when") or ""),
        )
        for name, about in _told().items()
        if not name.startswith("_")
    }


@cache
def _told() -> dict[str, Any]:
    """What copier.yml holds."""
    told: dict[str, Any] = yaml.safe_load((TEMPLATE / "copier.yml").read_text(encoding="utf-8"))
    return told


def unasked(answers: Answers) -> list[str]:
    """The questions among `answers` that nobody is asked, as other answers settle them; copier would take them as said.

    What is not answered has its default here, too.
    """
    from jinja2 import Environment

    options = {name: value for name, value in _told()["_envops"].items() if name != "undefined"}
    environment = Environment(**options)
    told = {name: answers.get(name, question.default) for name, question in questions().items()}
    return [
        name
        for name, question in questions().items()
        if name in answers and question.when and environment.from_string(question.when).render(told) != "True"
    ]


def parse(pairs: Sequence[str]) -> Answers:
    """Answers from `QUESTION=ANSWER`; raises InvalidInput naming what makes no sense."""
    answers: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InvalidInput(f"{pair!r} is no answer; write QUESTION=ANSWER, such as shape=kubernetes")
        answers[name] = value
    return check(answers)


def read(file: Path) -> Answers:
    """Answers from a YAML file; raises InvalidInput when it cannot be read."""
    try:
        told = parsed(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"the answers in {file} cannot be read: {error}") from error
    if not isinstance(told, dict):
        raise InvalidInput(f"{file} holds no answers; write one `question: answer` on each line")
    return check(told)


def check(told: Mapping[Any, Any]) -> Answers:
    """Answers of the right kind to questions that exist. Validators of the templates come later, when all are known."""
    known = {name: question for name, question in questions().items() if question.asked}
    answers: Answers = {}
    for name, value in told.items():
        if name not in known:
            raise InvalidInput(f"there is no question {name!r}; there are {', '.join(known)}")
        answers[name] = _of_kind(known[name], value)
    return answers


def _of_kind(question: Question, value: Any) -> Answer:
    if question.kind != "str" and isinstance(value, str):
        try:
            value = parsed(value)
        except yaml.YAMLError:
            value = None
    if question.kind == "bool" and isinstance(value, bool):
        return value
    if question.kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if question.kind == "str" and isinstance(value, str) and (not question.choices or value in question.choices):
        return value
    wanted = (
        ", ".join(question.choices) or {"bool": "true, false", "int": "a whole number", "str": "a text"}[question.kind]
    )
    raise InvalidInput(f"{question.name} is {wanted}, not {value!r}")
