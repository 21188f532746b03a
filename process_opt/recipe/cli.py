"""`qc process recipe`: the next nominal settings to try, and what came of those tried."""

from __future__ import annotations

import argparse
from pathlib import Path


def register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `recipe` to `qc process`."""
    recipe = actions.add_parser("recipe", help="better nominal settings for the whole process, trial run by trial run")
    recipe.add_argument("model", type=Path, metavar="MODEL")
    recipe.add_argument("--study", type=Path, required=True, metavar="FILE", help="where the trials are kept")
    recipe.add_argument("--tell", type=Path, metavar="HISTORY", help="parts of open trials: take them in first")
    recipe.add_argument("--call-off", type=int, metavar="TRIAL", help="an open trial that will not be run")
    recipe.add_argument("--evaluations", type=int, default=1, metavar="N", help="trials to propose side by side")
    recipe.add_argument("--parts", type=int, default=30, metavar="N", help="parts of one trial run")
    recipe.add_argument("--later", type=int, default=10_000, metavar="N", help="parts to be made afterwards")
    recipe.add_argument("--seed", type=int, default=0)
    recipe.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Take in, propose; one JSON object a line on standard output."""
    import json

    from rich.console import Console

    from process_opt.history import read_history
    from process_opt.model import load_model
    from process_opt.recipe.propose import Terms, propose, take_in
    from process_opt.recipe.steps import network_of
    from process_opt.recipe.study import Search
    from qc.errors import InvalidInput

    for name, least in (("evaluations", 0), ("parts", 1), ("later", 0)):
        if getattr(args, name) < least:
            raise InvalidInput(f"--{name} must be at least {least}, not {getattr(args, name)}")
    recipe = network_of(load_model(args.model))
    history = None if args.tell is None else read_history(args.tell, recipe.model.process, all_scrapped=True)
    search = Search(recipe.network, file=args.study, seed=args.seed, present=recipe.present)
    console = Console(stderr=True)
    if args.call_off is not None:
        search.call_off(args.call_off)
        console.print(f"trial {args.call_off} was called off", highlight=False)
    if history is not None:
        for number, parts in take_in(recipe, search, history).items():
            console.print(f"trial {number}: {parts} parts taken in", highlight=False)
    for _ in range(args.evaluations):
        answer = propose(recipe, search, Terms(args.parts, args.later))
        print(json.dumps(answer, ensure_ascii=False))
        if answer["trial"] is None:
            break
    return 0
