"""`qc process fit`, `learn`, `recommend`, `simulate` and `diagnose`; other files add theirs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from process_opt.partners import cli as partners
from process_opt.recipe import cli as recipe
from qc.durable import write_whole
from qc.errors import InvalidInput

if TYPE_CHECKING:
    from process_opt.model import ProcessModel


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `process` with its subcommands, to which others may add."""
    process = commands.add_parser("process", help="learn a process, advise on its parts")
    actions = process.add_subparsers(dest="action", required=True, metavar="ACTION")
    fit = actions.add_parser("fit", help="learn a process model from the history of earlier parts")
    fit.add_argument("process", type=Path, metavar="PROCESS.yaml")
    fit.add_argument("history", type=Path, metavar="HISTORY", help=".csv or .parquet")
    fit.add_argument("--out", type=Path, required=True, metavar="MODEL", help="the model folder to write")
    fit.add_argument("--seed", type=int, default=0)
    fit.set_defaults(run=run_fit)
    learn = actions.add_parser("learn", help="go on learning from a further history, without the rows of the fit")
    learn.add_argument("model", type=Path, metavar="MODEL")
    learn.add_argument("history", type=Path, metavar="HISTORY", help=".csv or .parquet, of parts that are new")
    learn.add_argument("--out", type=Path, required=True, metavar="MODEL", help="the model folder to write")
    learn.set_defaults(run=run_learn)
    advise = actions.add_parser("recommend", help="answer requests, one a line")
    advise.add_argument("model", type=Path, metavar="MODEL")
    advise.add_argument("requests", type=Path, metavar="REQUESTS.jsonl")
    advise.add_argument("--out", type=Path, required=True, metavar="ANSWERS.jsonl")
    advise.set_defaults(run=run_recommend)
    wonder = actions.add_parser("simulate", help="what chosen settings would do to a part, beside the recommended ones")
    wonder.add_argument("model", type=Path, metavar="MODEL")
    wonder.add_argument("requests", type=Path, metavar="REQUESTS.jsonl")
    wonder.add_argument("--set", action="append", default=[], metavar="STEP.SETTING=VALUE", dest="settings")
    wonder.add_argument(
        "--step", action="append", default=[], metavar="STEP", help="an optional step to run", dest="run_"
    )
    wonder.add_argument("--out", type=Path, metavar="ANSWERS.jsonl", help="write the answers as JSON, one a line")
    wonder.set_defaults(run=run_simulate)
    known = actions.add_parser("diagnose", help="which settings are known, and the cheapest dither for the others")
    known.add_argument("model", type=Path, metavar="MODEL")
    known.add_argument(
        "--confounding", action="store_true", help="how strong an unlogged look would have to be to turn what is said"
    )
    known.set_defaults(run=run_diagnose)
    allow = actions.add_parser(
        "allow", help="what a served model may do: explore within a price, give parts out by lot"
    )
    allow.add_argument("model", type=Path, metavar="MODEL")
    allow.add_argument("serving", type=Path, metavar="SERVING.yaml", help="explore and trial; an empty file: nothing")
    allow.add_argument("--out", type=Path, required=True, metavar="MODEL", help="the model folder to write")
    allow.set_defaults(run=run_allow)
    recipe.register(actions)
    partners.register(actions)


def run_fit(args: argparse.Namespace) -> int:
    """Fit, and write the model folder with its report."""
    from rich.console import Console
    from rich.progress import Progress

    from process_opt.fit import fit
    from process_opt.history import read_history
    from process_opt.process import read_process

    process = read_process(args.process)
    history = read_history(args.history, process)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("fit", total=1.0)
        model = fit(
            process, history, seed=args.seed, progress=lambda t, s: bar.update(task, description=t, completed=s)
        )
    model.save(args.out)
    lost = sum(not known for known in model.identified.values())
    for note in history.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    print(
        f"{args.out}: learnt {process.name} from {history.size} parts; {lost} of {len(model.identified)} "
        f"settings not identified"
    )
    return 0


def run_learn(args: argparse.Namespace) -> int:
    """Go on learning, and write the model folder."""
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from process_opt.go_on import go_on
    from process_opt.history import read_history
    from process_opt.model import load_model

    model = load_model(args.model)
    history = read_history(args.history, model.process)
    before, known = int(model.learnt.get("outcomes", 0)), model.learnt.get("parts", [])
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("learn", total=1.0)
        model = go_on(model, history, lambda share: bar.update(task, completed=share))
    model.save(args.out)
    taught = (history.dithered | history.advised) & (history.last >= 0) & ~np.isin(history.parts, known)
    new = int(model.learnt.get("outcomes", 0)) - before
    print(
        f"{args.out}: took in {new} of {history.size} parts; settings' effects moved by {taught.sum()} that were "
        f"dithered or set as recommended"
    )
    return 0


def run_diagnose(args: argparse.Namespace) -> int:
    """Print what is known of every setting."""
    from process_opt.diagnose import as_text, diagnose
    from process_opt.model import load_model

    model = load_model(args.model)
    print(as_text(diagnose(model), model.process.currency), end="")
    if getattr(args, "confounding", False):
        from process_opt import sensitivity

        print("\n" + sensitivity.as_text(sensitivity.sensitivity(model)), end="")
    return 0


def run_allow(args: argparse.Namespace) -> int:
    """The same model under other serving settings."""
    import yaml

    from process_opt.model import load_model
    from process_opt.serving import allowing, serving_of
    from qc.plain_yaml import parsed

    try:
        content = parsed(args.serving.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"{args.serving.name} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InvalidInput(f"{args.serving.name} must be a mapping with explore and trial, not {content!r:.80}")
    model = allowing(load_model(args.model), content.get("serving", content))
    model.save(args.out)
    now = serving_of(model.process)
    print(f"{args.out}: exploring {'on' if now.explore else 'off'}, trial {'on' if now.trial else 'off'}, {model.id}")
    return 0


def run_recommend(args: argparse.Namespace) -> int:
    """Answer every line; nothing is written unless all lines are sound."""
    from rich.console import Console
    from rich.progress import track

    from process_opt.model import load_model
    from process_opt.recommend import recommend

    model = load_model(args.model)
    numbered = _lines(args.requests)
    answers = []
    for number, line in track(numbered, description="parts", console=Console(stderr=True), transient=True):
        answers.append(
            json.dumps(_answer(recommend, model, line, f"{args.requests.name} line {number}"), ensure_ascii=False)
        )
    write_whole(args.out, "".join(a + "\n" for a in answers))
    print(f"{args.out}: {len(answers)} answers")
    return 0


def run_simulate(args: argparse.Namespace) -> int:
    """What if: a table for every request; with --out also JSON, written only if all requests are sound."""
    from process_opt.model import load_model
    from process_opt.what_if import as_table, what_if

    settings = {}
    for wish in args.settings:
        name, _, value = wish.partition("=")
        try:
            settings[name.strip()] = float(value)
        except ValueError as error:
            raise InvalidInput(f"--set {wish!r} must be written like s20-heat.temperature=842") from error
    model = load_model(args.model)
    answers = []
    for number, line in _lines(args.requests):
        where = f"{args.requests.name} line {number}"
        answers.append(_answer(lambda m, request: what_if(m, request, settings, args.run_), model, line, where))
    if args.out is not None:
        write_whole(args.out, "".join(json.dumps(a, ensure_ascii=False) + "\n" for a in answers))
    print("\n".join(as_table(a, model.process.currency) for a in answers), end="")
    return 0


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a file that are not blank, numbered from 1."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    return [(i, line) for i, line in enumerate(lines, start=1) if line.strip()]


def _answer(recommend: Any, model: ProcessModel, line: str, where: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:  # ValueError: also numbers of thousands of digits
        raise InvalidInput(f"{where} is not JSON: {error}") from error
    try:
        answer: dict[str, Any] = recommend(model, request)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error
    return answer
