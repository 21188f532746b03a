"""`qc process partner-fit` and `qc process join`: learn apart, advise together."""

from __future__ import annotations

import argparse
from pathlib import Path


def register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both to `qc process`."""
    fit = actions.add_parser(
        "partner-fit", help="learn one partner's steps from its own rows; only an interface leaves"
    )
    fit.add_argument("process", type=Path, metavar="PROCESS.yaml")
    fit.add_argument("history", type=Path, metavar="HISTORY", help=".csv or .parquet with the partner's own columns")
    fit.add_argument("--partner", required=True, metavar="NAME")
    fit.add_argument("--out", type=Path, required=True, metavar="FILE", help="the interface file to write")
    fit.add_argument("--seed", type=int, default=0)
    fit.set_defaults(run=run_fit)
    join = actions.add_parser("join", help="one process model from the interfaces of all partners")
    join.add_argument("process", type=Path, metavar="PROCESS.yaml")
    join.add_argument("interfaces", type=Path, nargs="+", metavar="INTERFACE")
    join.add_argument("--out", type=Path, required=True, metavar="MODEL", help="the model folder to write")
    join.set_defaults(run=run_join)


def run_fit(args: argparse.Namespace) -> int:
    """Fit a partner's steps and write its interface."""
    from rich.console import Console
    from rich.progress import Progress

    from process_opt.partners.local import fit_partner
    from process_opt.pieces import read_table
    from process_opt.process import read_process
    from qc.durable import write_whole

    process = read_process(args.process)
    table = read_table(args.history)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("fit", total=1.0)
        made = fit_partner(
            process,
            table,
            args.partner,
            seed=args.seed,
            where=args.history.name,
            progress=lambda t, s: bar.update(task, description=t, completed=s),
        )
    write_whole(args.out, made.text())
    for note in made.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    steps = sum(len(v.steps) for v in made.visits)
    print(f"{args.out}: {steps} steps of {args.partner} from {made.parts} parts, {made.hash}")
    return 0


def run_join(args: argparse.Namespace) -> int:
    """Put the interfaces together and write the model folder."""
    from rich.console import Console

    from process_opt.partners.interface import read_interface
    from process_opt.partners.joining import join
    from process_opt.process import read_process

    process = read_process(args.process)
    interfaces = [read_interface(path) for path in args.interfaces]
    model = join(process, interfaces)
    model.save(args.out)
    console = Console(stderr=True)
    for note in model.about["notes"]:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    lost = sum(not known for known in model.identified.values())
    print(
        f"{args.out}: joined {process.name} from {len(interfaces)} partners; {lost} of {len(model.identified)} "
        f"settings not identified"
    )
    return 0
