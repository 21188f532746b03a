"""`qc cluster train` and `qc cluster fit`: one model of a data set, one of a process, by many machines."""

from __future__ import annotations

import argparse
from pathlib import Path


def register(below: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both to the commands of `qc cluster`."""
    train = below.add_parser("train", help="learn from a data set, several machines together, as qc train")
    train.add_argument("dataset", type=Path, metavar="DATASET")
    train.add_argument("--out", type=Path, required=True, metavar="MODEL", help="the model folder to write")
    train.add_argument("--workers", type=int, required=True, metavar="N", help="processes that train, at most")
    train.add_argument("--threads", type=int, default=1, help="cores of each process; 1")
    train.add_argument("--gpus", action="store_true", help="a GPU for each process")
    train.add_argument("--minutes", type=float, help="never take longer; default: until validation stops improving")
    train.add_argument("--steps", type=int, help="exactly so many steps")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--start-from", type=Path, metavar="MODEL", help="continue from this model's weights")
    train.add_argument(
        "--config", type=Path, metavar="FILE", help="settings as for qc train; batches_a_step: of all processes"
    )
    train.add_argument("--teacher", type=Path, metavar="MODEL", help="learn from this model's answers, too")
    train.set_defaults(run=_train)

    fit = below.add_parser("fit", help="learn a process model from a long history, as qc process fit")
    fit.add_argument("process", type=Path, metavar="PROCESS.yaml")
    fit.add_argument("history", type=Path, metavar="HISTORY", help=".csv or .parquet")
    fit.add_argument("--out", type=Path, required=True, metavar="MODEL", help="the model folder to write")
    fit.add_argument("--seed", type=int, default=0)
    fit.set_defaults(run=_fit)


def _train(args: argparse.Namespace) -> int:
    from qc.errors import InvalidInput
    from qc.progress import bar
    from segmentation.cli import settings_of
    from server.cluster.connect import connected
    from server.cluster.training import train_over

    for name, value in (("workers", args.workers), ("threads", args.threads)):
        if value < 1:
            raise InvalidInput(f"--{name} must be at least 1, not {value}")
    config, network = settings_of(args.config) if args.config else (None, None)
    with connected(args.address) as ray, bar("train") as progress:
        card = train_over(
            ray,
            args.dataset,
            args.out,
            workers=args.workers,
            minutes=args.minutes,
            steps=args.steps,
            seed=args.seed,
            start_from=args.start_from,
            config=config,
            network=network,
            teacher=args.teacher,
            threads=args.threads,
            gpus=args.gpus,
            progress=progress,
        )
    print(f"{args.out}: {card['id']}; qc evaluate says how good it is")
    return 0


def _fit(args: argparse.Namespace) -> int:
    from process_opt.fit import fit
    from process_opt.history import read_history
    from process_opt.process import read_process
    from qc.progress import bar
    from server.cluster.connect import connected
    from server.cluster.fitting import Machines

    process = read_process(args.process)
    history = read_history(args.history, process)
    with connected(args.address) as ray, bar("fit") as progress:
        model = fit(
            process, history, seed=args.seed, hands=Machines(ray), progress=lambda words, share: progress(share, words)
        )
    model.save(args.out)
    print(f"{args.out}: learnt {process.name} from {history.size} parts; qc process diagnose says what is known")
    return 0
