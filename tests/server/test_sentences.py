"""The pages say the server's sentences in other languages: they know them by their English, which must be ours."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH = json.loads((ROOT / "frontend/src/text/said/en.json").read_text(encoding="utf-8"))
WINDOW = 3
"""Words in a row that are looked for together."""


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\s;:,.()`{}%]+", text.lower())


def windows(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[n : n + WINDOW]) for n in range(len(words) - WINDOW + 1)}


@pytest.fixture(scope="module")
def said() -> set[tuple[str, ...]]:
    """Every three words in a row that a string of the server, or of a package that it serves, may say."""
    found: set[tuple[str, ...]] = set()
    for package in ("qc", "server", "process_opt", "labeling"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= windows(words_of(node.value))
    return found


@pytest.mark.parametrize("code", [code for code in ENGLISH if code != "view"])
def test_a_sentence_that_pages_translate_is_one_that_the_server_says(said, code):
    """Who words one anew finds it here: change `frontend/src/text/said/en.json` with it."""
    fixed = [windows(words_of(piece)) for piece in re.split(r"\{\w+\}|; ", ENGLISH[code])]
    wanted = set().union(*fixed)
    lost = {" ".join(window) for window in wanted - said}
    # a word that is chosen among two, such as more or fewer, stands in no string beside its neighbours
    assert len(lost) <= max(2, len(wanted) // 5), lost
