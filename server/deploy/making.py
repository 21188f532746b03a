"""`new` renders the templates into a folder; `update` renders them again and merges, file by file, what changed.

A deployment keeps a copy of what was last made (`.qc-deploy/made/`). That is the common ancestor of a three-way merge
between what the templates say now and what people changed, so that neither the old templates nor git are needed.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from merge3 import Merge3

from qc.errors import Conflict, InvalidInput, NotFound, Unavailable
from qc.records import new_id
from server.deploy.answers import TEMPLATE, Answers, read, unasked

OURS = ".qc-deploy"
ANSWERS, MADE = f"{OURS}/answers.yml", f"{OURS}/made"

FILE_MODE, SCRIPT_MODE = 0o644, 0o755


@dataclass(slots=True)
class Update:
    """What an update did, by the names of files."""

    written: list[str] = field(default_factory=list)
    """New, or as the templates say them now; nobody had changed them."""
    merged: list[str] = field(default_factory=list)
    """Changed by people and by the templates, in different places."""
    contradicting: list[str] = field(default_factory=list)
    """Changed in the same place: both stand there, between markers."""
    removed: list[str] = field(default_factory=list)
    """No longer part of the deployment, and nobody had changed them."""
    left: list[str] = field(default_factory=list)
    """No longer part of the deployment, but changed by people; or deleted by them: left as they are."""


def new(folder: Path, answers: Answers, *, ask: bool = False, likely: Answers | None = None) -> list[str]:
    """Write a deployment, whole or not at all; the names of its files.

    Args:
        folder: must not exist, or be empty.
        answers: what is answered already.
        ask: ask at the terminal for the others; otherwise they take their defaults.
        likely: defaults that this machine knows better than the templates.

    Raises:
        Conflict: `folder` holds something.
        InvalidInput: an answer makes no sense; the question is named.
    """
    if not ask:
        _refuse_unasked(answers, answers)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} holds something; name a new folder, or use qc deploy update")
    folder.parent.mkdir(parents=True, exist_ok=True)
    working = folder.with_name(f".{folder.name}.{new_id()}")
    try:
        _render(working, answers, ask=ask, likely=likely or {})
        files = _files(working)
        for name in files:
            _put(working / MADE / name, (working / name).read_bytes())
        if folder.exists():
            folder.rmdir()
        working.rename(folder)
    except OSError as error:
        raise Unavailable(f"{folder} could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return files


def update(folder: Path, changes: Answers) -> Update:
    """Bring a deployment to what the templates say now, keeping what people changed in it.

    A file and its copy under `.qc-deploy/made/` are replaced one after the other, each at once: an update that was
    interrupted goes on where it was.

    Raises:
        NotFound: `folder` was not made by `new`.
        InvalidInput: an answer makes no sense.
    """
    if not (folder / ANSWERS).is_file() or not (folder / MADE).is_dir():
        raise NotFound(f"{folder} was not written by qc deploy new: {ANSWERS} or {MADE} is missing")
    working = folder / OURS / f".{new_id()}"
    did = Update()
    answers = read(folder / ANSWERS) | changes
    _refuse_unasked(changes, answers)
    for name in unasked(answers):  # it was asked before the changes
        del answers[name]
    try:
        _render(working, answers)
        now, before = _files(working), _files(folder / MADE)
        for name in sorted({*now, *before}):
            _bring(name, folder, working, did)
    except OSError as error:
        raise Unavailable(f"{folder} could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return did


def _refuse_unasked(given: Answers, answers: Answers) -> None:
    """Raises InvalidInput for an answer, of those `given`, to a question that the other `answers` settle."""
    for name in unasked(answers):
        if name in given:
            raise InvalidInput(f"{name} is not asked for beside the other answers; leave it out")


def _render(out: Path, answers: Answers, *, ask: bool = False, likely: Answers | None = None) -> None:
    """Let copier ask and render into the new folder `out`."""
    try:
        import copier
        from copier.errors import CopierAnswersInterrupt, CopierError
    except ImportError as error:
        raise Unavailable("qc deploy needs the package copier: pip install 'qc-line[deploy]'") from error

    try:
        copier.run_copy(
            str(TEMPLATE), out, data=answers, user_defaults=likely or {}, defaults=not ask, quiet=True, overwrite=True
        )
    except CopierAnswersInterrupt as error:
        raise KeyboardInterrupt from error
    except (CopierError, ValueError) as error:
        raise InvalidInput(" ".join(str(error).split())) from error


def _bring(name: str, folder: Path, working: Path, did: Update) -> None:
    """Bring one file up to date."""
    ours, base, theirs = (_read(place / name) for place in (folder, folder / MADE, working))
    if theirs is None:
        if ours is not None and ours == base:
            (folder / name).unlink()
            did.removed.append(name)
        elif ours is not None:
            did.left.append(name)
        (folder / MADE / name).unlink(missing_ok=True)
        return
    if theirs != base or name == ANSWERS:
        if ours is None and base is not None:
            did.left.append(name)
        elif ours in (None, base) or name == ANSWERS:
            if ours != theirs:
                _put(folder / name, theirs)
                did.written.append(name)
        elif ours != theirs:
            assert ours is not None
            text, whole = _merge(base or b"", ours, theirs)
            _put(folder / name, text)
            (did.merged if whole else did.contradicting).append(name)
        _put(folder / MADE / name, theirs)


def _merge(base: bytes, ours: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """Both changes in one file, and whether they stand in different places."""
    before, yours, new = (text.splitlines(keepends=True) for text in (base, ours, theirs))
    merging = Merge3(before, yours, new)
    whole = not any(group[0] == "conflict" for group in merging.merge_groups())
    lines = merging.merge_lines(
        name_a=b"yours",
        name_b=b"qc deploy",
        start_marker=b"<<<<<<<",
        mid_marker=b"=======",
        end_marker=b">>>>>>>",
    )
    return b"".join(lines), whole


def _files(folder: Path) -> list[str]:
    """Names of the files of a deployment, without what is kept about it (but for the answers)."""
    names = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return sorted(name for name in names if not name.startswith(f"{OURS}/") or name == ANSWERS)


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _put(file: Path, content: bytes) -> None:
    """Write a file at once; a script may be run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{new_id()}")
    beside.write_bytes(content)
    os.chmod(beside, SCRIPT_MODE if file.suffix == ".sh" else FILE_MODE)
    beside.replace(file)
