"""`qc cluster`: looking at archives, learning, searching for settings and inference, on many machines."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from qc.arguments import count
from server.cluster import learning_cli

ADDRESS_VARIABLE = "QC_RAY"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `cluster` to the commands of `qc`."""
    parser = commands.add_parser("cluster", help="work on many machines, through Ray")
    parser.add_argument(
        "--address",
        default=os.environ.get(ADDRESS_VARIABLE, "auto"),
        help="HOST:6379 of a cluster's first machine, ray://HOST:10001 from outside, auto: this machine's cluster, "
        f"local: this computer alone; default: {ADDRESS_VARIABLE} of the environment, or auto",
    )
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, words, run in (
        ("predict", "look at an archive of images, as qc predict", _predict),
        ("embed", "the features of an archive of images, as a Parquet table", _embed),
    ):
        looked = below.add_parser(name, help=words)
        looked.add_argument("model", type=Path, metavar="MODEL")
        looked.add_argument("places", nargs="+", metavar="PLACE", help="images, folders, or addresses such as s3://…")
        looked.add_argument("--out", type=Path, required=True)
        looked.add_argument(
            "--runtime",
            choices=("torch", "best"),
            default="torch",
            help="torch: what one computer says, to the bit; best: the fastest exact one of each machine",
        )
        looked.add_argument("--workers", type=count, metavar="N", help="default: up to the cluster's cores, or GPUs")
        looked.add_argument("--gpus", type=float, default=0.0, help="of each worker; a share of one will do")
        looked.set_defaults(run=run)
        if name == "predict":
            looked.add_argument("--scores", action="store_true", help="also write NAME.score.png")
            looked.add_argument("--policy", type=Path, metavar="FILE", help="the product's rules")
            looked.add_argument("--mm-per-px", type=float, help="calibration, where the policy has none")

    learning_cli.register(below)
    tune = below.add_parser("tune", help="search for better settings, several trials at once, as qc tune")
    tune.add_argument("dataset", type=Path, metavar="DATASET")
    tune.add_argument("--out", type=Path, required=True, metavar="STUDY")
    tune.add_argument("--trials", type=count, default=40)
    tune.add_argument("--steps-per-trial", type=count, default=600)
    tune.add_argument("--minutes", type=float, help="begin no trial that would not end within so many")
    tune.add_argument("--seed", type=int, default=0)
    tune.add_argument("--at-once", type=count, metavar="N", help="default: the cluster's cores, or GPUs")
    tune.add_argument("--gpus", action="store_true", help="a GPU for each trial")
    tune.set_defaults(run=_tune)

    serve = below.add_parser("serve", help="a model's network behind one address; QC_ENGINE_URL of a server names it")
    serve.add_argument("model", type=Path, metavar="MODEL")
    serve.add_argument("--host", default="127.0.0.1", help="address that every machine listens on")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--workers", type=count, nargs=2, default=(1, 8), metavar=("LEAST", "MOST"))
    serve.add_argument("--cores", type=float, default=1.0, help="of each worker")
    serve.add_argument(
        "--gpus",
        type=float,
        help="of each worker; a share of one will do; default: beside workers without one, a worker for each GPU that "
        "the cluster has",
    )
    serve.add_argument(
        "--kind",
        action="append",
        metavar="RUNTIME:LEAST-MOST",
        help="workers of several kinds instead, each time once: best:1-4,gpus=1,on=gpu-box openvino:2-8,on=cpu-box; "
        "on: a resource of the machines (ray start --resources)",
    )
    serve.set_defaults(run=_serve)


def _predict(args: argparse.Namespace) -> int:
    from qc.progress import bar
    from qc.verdict import read_policy
    from server.cluster.archive import predict_over
    from server.cluster.connect import connected

    policy = read_policy(args.policy) if args.policy else None
    with connected(args.address) as ray, bar("predict") as progress:
        done, problems = predict_over(
            ray,
            args.model,
            args.places,
            args.out,
            policy=policy,
            mm_per_px=args.mm_per_px,
            scores=args.scores,
            runtime=args.runtime,
            workers=args.workers,
            gpus=args.gpus,
            progress=progress,
        )
    return _told(done, problems, args.out)


def _embed(args: argparse.Namespace) -> int:
    from qc.progress import bar
    from server.cluster.archive import embed_over
    from server.cluster.connect import connected

    with connected(args.address) as ray, bar("embed") as progress:
        done, problems = embed_over(
            ray,
            args.model,
            args.places,
            args.out,
            runtime=args.runtime,
            workers=args.workers,
            gpus=args.gpus,
            progress=progress,
        )
    return _told(done, problems, args.out)


def _told(done: int, problems: tuple[str, ...], out: Path) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{done} images done, {len(problems)} not; results in {out}")
    return 1 if problems else 0


def _tune(args: argparse.Namespace) -> int:
    from qc.progress import bar
    from segmentation.tune import Budget
    from server.cluster.connect import connected
    from server.cluster.searching import tune_over

    with connected(args.address) as ray, bar("tune") as progress:
        report = tune_over(
            ray,
            args.dataset,
            args.out,
            trials=args.trials,
            budget=Budget(steps=args.steps_per_trial),
            minutes=args.minutes,
            seed=args.seed,
            at_once=args.at_once,
            gpus=args.gpus,
            progress=progress,
        )
    print(f"{len(report['trials'])} trials: best {report['best']['value']:.3f}, the default {report['default']}")
    print(f"train with it: qc train {args.dataset} --out MODEL --config {args.out / 'best.json'}")
    return 0


def _serve(args: argparse.Namespace) -> int:
    from server.cluster.connect import connected
    from server.cluster.kinds import Kind, parse_kind, usual_kinds
    from server.cluster.serving import serve

    alike = Kind(least=args.workers[0], most=args.workers[1], cores=args.cores, gpus=args.gpus or 0.0)
    kinds = [parse_kind(text) for text in args.kind or ()]
    stopped = threading.Event()
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, lambda *_: stopped.set())
    with connected(args.address) as ray:
        if not kinds:
            kinds = usual_kinds(ray.nodes(), alike) if args.gpus is None else [alike]
        print(f"http://{args.host}:{args.port}/v2 serves once its first worker is ready; Ctrl-C ends it", flush=True)
        serve(
            ray,
            args.model,
            host=args.host,
            port=args.port,
            kinds=kinds,
            until=stopped.is_set,
            came=lambda seat: print(seat, flush=True),
        )
    return 0
