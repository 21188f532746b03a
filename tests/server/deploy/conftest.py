"""Every combination of answers, rendered in this process, and the distinct files that come of it.

copier takes a tenth of a second for one deployment, and there are thousands of combinations. So each file is rendered
for every combination of the answers that it depends on; that this is what copier does is a test of its own.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, meta

pathspec = pytest.importorskip("pathspec", reason="copier's way to leave files out")

from server.deploy.answers import TEMPLATE, questions  # noqa: E402

TOLD: dict[str, Any] = yaml.safe_load((TEMPLATE / "copier.yml").read_text())

CHOICES: dict[str, tuple[Any, ...]] = {
    **{name: question.choices for name, question in questions().items() if question.choices},
    **{name: (True, False) for name, question in questions().items() if question.kind == "bool"},
}
"""Questions with so few answers that every one is tried."""


class Templates:
    """The templates, rendered without copier."""

    def __init__(self) -> None:
        options = dict(TOLD["_envops"]) | {"undefined": StrictUndefined}
        self.environment = Environment(loader=FileSystemLoader(TEMPLATE), **options)
        self.compiled: Callable[[str], Template] = functools.cache(self.environment.from_string)
        self.specs = functools.cache(pathspec.GitIgnoreSpec.from_lines)

    def answers(self, **given: Any) -> dict[str, Any]:
        """All answers, with defaults for those that are not given."""
        told: dict[str, Any] = {}
        for name, question in questions().items():
            default = TOLD[name]["default"]
            if isinstance(default, str):
                default = self.compiled(default).render(told | given)
            told[name] = given.get(name, default)
            assert question.choices == () or told[name] in question.choices
        return told

    def leaves_out(self, name: str, answers: dict[str, Any]) -> bool:
        patterns = (self.compiled(pattern).render(answers) for pattern in TOLD["_exclude"])
        return bool(self.specs(tuple(pattern for pattern in patterns if pattern)).match_file(name))

    def has(self, source: Path, shape: str) -> bool:
        """Is a file part of deployments of this shape, on some place?"""
        every = (self.answers(shape=shape, place=place) for place in CHOICES["place"])
        return any(not self.leaves_out(self.name(source, answers), answers) for answers in every)

    def name(self, source: Path, answers: dict[str, Any]) -> str:
        path = source.relative_to(TEMPLATE / "files").as_posix()
        return self.compiled(path).render(answers).removesuffix(".jinja")

    def render(self, source: Path, answers: dict[str, Any]) -> str:
        if source.suffix != ".jinja":
            return source.read_text()
        conditions = {name: TOLD[name].get("when", True) for name in answers}
        asked = {
            name: answer
            for name, answer in answers.items()
            if conditions[name] is True
            or (conditions[name] and self.compiled(conditions[name]).render(answers) == "True")
        }
        template = self.environment.get_template(source.relative_to(TEMPLATE).as_posix())
        return template.render(answers | {"_copier_answers": asked})

    def depends_on(self, source: Path) -> set[str]:
        """The questions that a template asks after, itself or in what it imports."""
        text = source.read_text()
        found = set(meta.find_undeclared_variables(self.environment.parse(text))) | {"shape"}
        for part in re.findall(r"parts/\w+\.jinja", text):
            found |= meta.find_undeclared_variables(self.environment.parse((TEMPLATE / part).read_text()))
        if source.suffixes[:1] == [".tf"]:
            found.add("place")
        return found & set(CHOICES)

    def sources(self) -> Iterator[Path]:
        return (path for path in sorted((TEMPLATE / "files").rglob("*")) if path.is_file())

    def deployment(self, only: str = "", **given: Any) -> dict[str, str]:
        """A whole deployment, or what of it matches a pattern: name of each file -> its text."""
        answers = self.answers(**given)
        named = ((source, self.name(source, answers)) for source in self.sources())
        wanted = ((source, name) for source, name in named if re.match(only, name))
        return {name: self.render(source, answers) for source, name in wanted if not self.leaves_out(name, answers)}


@dataclass(frozen=True)
class Rendered:
    """One distinct text of one file."""

    name: str
    text: str
    answers: dict[str, Any]
    """A combination of answers that gives it."""


@pytest.fixture(scope="session")
def templates() -> Templates:
    return Templates()


@pytest.fixture(scope="session")
def every(templates: Templates) -> list[Rendered]:
    """Each file in every way in which it can come out, once; without README.md, which no program reads."""
    found: dict[tuple[str, str], Rendered] = {}
    for source in templates.sources():
        if source.name.startswith("README"):
            continue
        asked = sorted(templates.depends_on(source))
        shapes = [shape for shape in CHOICES["shape"] if templates.has(source, shape)]
        choices = CHOICES | {"shape": tuple(shapes)}
        for values in itertools.product(*(choices[name] for name in asked)):
            answers = templates.answers(**dict(zip(asked, values, strict=True)))
            name = templates.name(source, answers)
            if not templates.leaves_out(name, answers) and (answers["network"] or answers["place"] == "own"):
                text = templates.render(source, answers)
                found.setdefault((name, text), Rendered(name, text, answers))
    return list(found.values())


Named = Callable[[str], list[Rendered]]


@pytest.fixture(scope="session")
def named(every: list[Rendered]) -> Named:
    """The distinct texts of the files whose name matches a pattern."""
    return lambda pattern: [file for file in every if re.search(pattern, file.name)]
