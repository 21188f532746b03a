"""`qc train`, `tune`, `predict`, `find`, `evaluate`, `export` and more. What is heavy is imported when it runs."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from qc.arguments import amount, count, positive, share
from qc.durable import write_whole
from qc.progress import bar

if TYPE_CHECKING:
    from segmentation.config import NetworkConfig, TrainConfig


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

DEVICE = "auto: the GPU where torch sees one, else the processor"


def register(commands: Commands) -> None:
    """Add this package's commands."""
    from segmentation.render import cli as render

    _add_train(commands)
    _add_tune(commands)
    _add_novelty(commands)
    _add_first(commands)
    _add_views(commands)
    _add_predict(commands)
    _add_find(commands)
    _add_evaluate(commands)
    _add_export(commands)
    render.register(commands)


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help=DEVICE)


def _add_train(commands: Commands) -> None:
    train = commands.add_parser("train", help="learn from a data set", description="DATASET -> model folder")
    train.add_argument("dataset", type=Path, metavar="DATASET")
    train.add_argument("--out", type=Path, required=True, metavar="MODEL", help="the model folder to write")
    train.add_argument("--minutes", type=positive, help="never take longer; default: until validation stops improving")
    _add_device(train)
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--steps", type=count, help="exactly so many steps: repeatable to the bit on one machine")
    train.add_argument("--start-from", type=Path, metavar="MODEL", help="continue from this model's weights")
    train.add_argument("--config", type=Path, metavar="FILE", help="settings, such as the best.json of qc tune")
    train.add_argument(
        "--network", choices=("pretrained", "light"), help="light: for thin defects, a fraction of the time; pretrained"
    )
    train.add_argument("--teacher", type=Path, metavar="MODEL", help="learn from this model's answers, too")
    train.set_defaults(run=_train)


def _add_tune(commands: Commands) -> None:
    tune = commands.add_parser(
        "tune", help="search for better settings", description="DATASET -> settings for qc train"
    )
    tune.add_argument("dataset", type=Path, metavar="DATASET")
    tune.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the study; the same DIR again continues it"
    )
    tune.add_argument("--trials", type=count, default=30, help="in the whole study; 30")
    budget = tune.add_mutually_exclusive_group()
    budget.add_argument("--minutes-per-trial", type=positive, default=5.0, help="of training; 5")
    budget.add_argument("--steps-per-trial", type=count, help="instead of minutes: repeatable")
    tune.add_argument("--minutes", type=positive, help="begin no trial that would not end within so many")
    _add_device(tune)
    tune.add_argument("--seed", type=int, default=0)
    tune.set_defaults(run=_tune)


def _add_novelty(commands: Commands) -> None:
    novelty = commands.add_parser(
        "novelty",
        help="teach a model what clean parts look like",
        description="A model that also sends to a person what it has no class for and no clean image ever showed.",
    )
    novelty.add_argument("model", type=Path, metavar="MODEL", help="any model; the starter model will do")
    novelty.add_argument("dataset", type=Path, metavar="DATASET", help="its clean images of the train split are used")
    novelty.add_argument("--out", type=Path, required=True, metavar="MODEL", help="the model folder to write")
    novelty.add_argument("--seed", type=int, default=0)
    novelty.set_defaults(run=_novelty)


def _add_first(commands: Commands) -> None:
    first = commands.add_parser(
        "first-look",
        help="spare the network the places where surely nothing is",
        description="A model that looks only where a much cheaper first look sees something, with the recall it costs.",
    )
    first.add_argument("model", type=Path, metavar="MODEL")
    first.add_argument(
        "dataset", type=Path, metavar="DATASET", help="train teaches it, val settles what may be skipped"
    )
    first.add_argument("--out", type=Path, required=True, metavar="MODEL", help="the model folder to write")
    first.add_argument(
        "--most-lost",
        type=share,
        default=0.1,
        help="share of defective parts of which a defect may be lost, at 95 %% confidence; 0.1 needs 29 val parts",
    )
    first.add_argument("--seed", type=int, default=0)
    first.set_defaults(run=_first_look)


def _add_views(commands: Commands) -> None:
    views = commands.add_parser(
        "part-views",
        help="teach a model which view of a part shows what",
        description="A model that judges a part from all its views: what shows where, and what its answers are worth.",
    )
    views.add_argument("model", type=Path, metavar="MODEL")
    views.add_argument("dataset", type=Path, metavar="DATASET", help="with labelled parts of several views")
    views.add_argument("--out", type=Path, required=True, metavar="MODEL", help="the model folder to write")
    views.set_defaults(run=_part_views)


def _add_predict(commands: Commands) -> None:
    predict = commands.add_parser("predict", help="look at images", description="images -> masks and defects as JSON")
    predict.add_argument("model", type=Path, metavar="MODEL")
    predict.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="image files or folders of images")
    predict.add_argument("--out", type=Path, required=True, metavar="DIR")
    predict.add_argument("--scores", action="store_true", help="also write NAME.score.png, 255 times the probability")
    predict.add_argument("--policy", type=Path, metavar="FILE", help="the product's rules; default: every defect is ng")
    predict.add_argument("--mm-per-px", type=positive, help="calibration, where the policy has none")
    _add_device(predict)
    predict.set_defaults(run=_predict)


def _add_find(commands: Commands) -> None:
    find = commands.add_parser(
        "find",
        help="find images that look like a class drawn on a few",
        description="A class that is drawn on ten or so train images -> all other images, labelled or not, likeliest "
        "first, as CSV. Seconds to learn, then one look at each image; nothing is trained.",
    )
    find.add_argument("name", metavar="CLASS", help="as dataset.yaml calls it")
    find.add_argument("dataset", type=Path, metavar="DATASET")
    find.add_argument("--model", type=Path, required=True, help="need not know the class; the starter model will do")
    find.add_argument("--out", type=Path, required=True, metavar="FOUND.csv")
    find.add_argument("--split", choices=("train", "val", "test"), help="look at its images only; default: at all")
    find.add_argument("--examples", type=count, default=50, help="images with the class to learn from, at most; 50")
    find.add_argument("--seed", type=int, default=0, help="which images are learnt from, where there are more")
    _add_device(find)
    find.set_defaults(run=_find)


def _add_evaluate(commands: Commands) -> None:
    evaluate = commands.add_parser("evaluate", help="measure a model", description="figures on a split of a data set")
    evaluate.add_argument("model", type=Path, metavar="MODEL")
    evaluate.add_argument("dataset", type=Path, metavar="DATASET")
    evaluate.add_argument("--split", choices=("train", "val", "test"), default="test")
    evaluate.add_argument("--out", type=Path, required=True, metavar="REPORT.json")
    _add_device(evaluate)
    money = evaluate.add_argument_group("money", "thresholds of ok, review and ng from what mistakes cost")
    money.add_argument(
        "--costs",
        type=amount,
        nargs=3,
        metavar=("ESCAPE", "REJECT", "REVIEW"),
        help="of a defective part that passes, a clean part that is rejected, and a part that a person looks at",
    )
    money.add_argument("--currency", default="EUR")
    money.add_argument(
        "--calibrate-on", choices=("train", "val", "test"), default="val", help="whose parts settle the thresholds; val"
    )
    money.add_argument("--alpha", type=share, default=0.05, help="share of defective parts that may pass; 0.05")
    money.add_argument("--level", type=share, help="how sure that bound must be; default: it holds on average")
    money.add_argument("--prevalence", type=share, help="share of defective parts in production")
    evaluate.set_defaults(run=_evaluate)


def _add_export(commands: Commands) -> None:
    from segmentation.edge import cli as edge_cli

    export = commands.add_parser("export", help="write a model for other runtimes, or a folder for an IPC at the line")
    export.add_argument("model", type=Path, metavar="MODEL")
    kind = export.add_mutually_exclusive_group(required=True)
    kind.add_argument("--format", choices=("onnx", "openvino"))
    kind.add_argument("--edge", action="store_true", help="all that inspects without this installation or a network")
    export.add_argument("--out", type=Path, required=True, metavar="DIR")
    export.add_argument(
        "--samples",
        type=Path,
        metavar="DATASET",
        help="a data set whose val images are compared; default: the pictures that the model folder carries",
    )
    edge_cli.add_options(export)
    export.set_defaults(run=_export)


def _train(args: argparse.Namespace) -> int:
    from segmentation.train import train

    config, network = settings_of(args.config) if args.config else (None, None)
    if args.network:
        network = _chosen_network(args.network, settled=args.start_from or (args.config if network else None))
    with bar("train") as progress, _warnings_as_lines():
        card = train(
            args.dataset,
            args.out,
            minutes=args.minutes,
            steps=args.steps,
            device=args.device,
            seed=args.seed,
            start_from=args.start_from,
            config=config,
            network=network,
            teacher=args.teacher,
            progress=progress,
        )
    print(f"{args.out}: {card['id']}")
    print(f"on {card['figures']['images']} validation images: {_in_words(card['figures'])}")
    return 0


def _chosen_network(name: str, *, settled: Path | None) -> NetworkConfig | None:
    """None for the one that is chosen by the size of the defects; raises InvalidInput where a file settles it."""
    from qc.errors import InvalidInput
    from segmentation.config import NETWORKS

    if settled is not None:
        raise InvalidInput(f"the network is settled by {settled}; leave out --network")
    return None if name == "pretrained" else NETWORKS[name]


def settings_of(path: Path) -> tuple[TrainConfig | None, NetworkConfig | None]:
    """`{"train": {...}, "network": {...}}`, either optional."""
    from qc.errors import InvalidInput
    from segmentation.config import network_config, train_config

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as settings: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(k, {}), dict) for k in ("train", "network")):
        raise InvalidInput(f'{path} must hold {{"train": {{...}}, "network": {{...}}}}, as qc tune writes it')
    return (
        train_config(content["train"]) if "train" in content else None,
        network_config(content["network"]) if "network" in content else None,
    )


def _tune(args: argparse.Namespace) -> int:
    from segmentation.tune import Budget, tune

    steps = args.steps_per_trial
    with bar("tune") as progress:
        report = tune(
            args.dataset,
            args.out,
            trials=args.trials,
            budget=Budget(steps=steps) if steps else Budget(minutes=args.minutes_per_trial),
            minutes=args.minutes,
            device=args.device,
            seed=args.seed,
            progress=progress,
        )
    default = "not finished" if report["default"] is None else f"{report['default']:.3f}"
    print(f"{len(report['trials'])} trials: best {report['best']['value']:.3f}, the default {default}")
    print(f"train with it: qc train {args.dataset} --out MODEL --config {args.out / 'best.json'}")
    return 0


def _novelty(args: argparse.Namespace) -> int:
    from qc.dataset import open_dataset
    from segmentation.model import read_card, with_novelty
    from segmentation.novelty import clean_frames, remember
    from segmentation.segmenter import unknown_id

    unknown_id(map(int, read_card(args.model)["classes"]))  # said before minutes are spent on the memory
    data = open_dataset(args.dataset)
    frames = clean_frames(data)
    with bar("novelty") as progress:
        memory = remember(frames, seed=args.seed, progress=progress)
    about = {"dataset": data.name, "images": sum(map(len, frames.values())), "parts": len(frames), "seed": args.seed}
    card = with_novelty(args.model, memory, args.out, about=about)
    print(f"{args.out}: {card['id']}, which remembers {about['images']} clean images of {about['parts']} parts")
    return 0


def _first_look(args: argparse.Namespace) -> int:
    from qc.dataset import open_dataset
    from segmentation.first_look_proof import in_words, settle
    from segmentation.model import refuse_foreign, with_first_look

    refuse_foreign(args.out)
    with bar("first look") as progress:
        look, proof = settle(
            args.model, open_dataset(args.dataset), most_lost=args.most_lost, seed=args.seed, progress=progress
        )
    card = with_first_look(args.model, look, args.out, about=proof)
    print(f"{args.out}: {card['id']}")
    print(in_words(proof))
    return 0


def _part_views(args: argparse.Namespace) -> int:
    from qc.dataset import open_dataset
    from segmentation.model import load_segmenter, refuse_foreign, with_part_views
    from segmentation.part_views import in_words, learn

    refuse_foreign(args.out)
    with bar("views") as progress:
        settings, about = learn(load_segmenter(args.model), open_dataset(args.dataset), progress=progress)
    card = with_part_views(args.model, settings, args.out, about=about)
    print(f"{args.out}: {card['id']}")
    print(f"it knows the views of {about['parts']} parts, compared by {about['compared_by']}")
    print(in_words(settings))
    return 0


def _predict(args: argparse.Namespace) -> int:
    from qc.verdict import read_policy
    from segmentation.model import load_segmenter
    from segmentation.predict import predict

    policy = read_policy(args.policy) if args.policy else None
    segmenter = load_segmenter(args.model, device=args.device)
    with bar("predict") as progress:
        outcome = predict(
            segmenter,
            args.paths,
            args.out,
            policy=policy,
            mm_per_px=args.mm_per_px,
            scores=args.scores,
            progress=progress,
        )
    for problem in outcome.problems:
        print(problem, file=sys.stderr)
    print(f"{outcome.done} images done, {len(outcome.problems)} not; results in {args.out}")
    return 1 if outcome.problems else 0


def _find(args: argparse.Namespace) -> int:
    from qc.dataset import open_dataset
    from qc.errors import InvalidInput
    from segmentation.find import as_csv, everywhere, find, in_words
    from segmentation.model import load_segmenter

    if args.out.is_dir():
        raise InvalidInput(f"{args.out} is a folder; --out is to be a CSV file")
    segmenter = everywhere(load_segmenter(args.model, device=args.device))
    data = open_dataset(args.dataset)
    with bar("find") as progress:
        search = find(
            segmenter, data, args.name, split=args.split, examples=args.examples, seed=args.seed, progress=progress
        )
    write_whole(args.out, as_csv(search))
    for problem in search.problems:
        print(problem, file=sys.stderr)
    print(in_words(args.name, search))
    print(f"{args.out}: all of them, likeliest first")
    return 1 if search.problems else 0


def _evaluate(args: argparse.Namespace) -> int:
    from qc.dataset import open_dataset
    from qc.errors import InvalidInput
    from segmentation.evaluate import RiskChoice, all_classes, evaluation
    from segmentation.model import load_segmenter, read_card, read_part_views
    from segmentation.page import page, worst_crops
    from segmentation.risk import Costs

    html = args.out.with_suffix(".html")
    if html == args.out:
        raise InvalidInput(f"{args.out} is to be JSON; the page beside it is called {html.name}; choose another --out")
    if args.out.is_dir():
        raise InvalidInput(f"{args.out} is a folder; name the file to write in it, such as {args.out / 'report.json'}")
    risk = None
    if args.costs:
        escape, reject, review = args.costs
        costs = Costs(escape, reject, review, args.currency)
        risk = RiskChoice(costs, args.alpha, args.level, args.prevalence, args.calibrate_on)
    dataset = open_dataset(args.dataset)
    segmenter = load_segmenter(args.model, device=args.device)
    with bar("evaluate") as progress:
        known = read_part_views(args.model, read_card(args.model))
        done = evaluation(segmenter, dataset, split=args.split, risk=risk, parts=known, progress=progress)
    report, classes = done.report, all_classes(segmenter, dataset)
    crops = worst_crops(done.facts, dataset, classes, threshold=segmenter.threshold)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(html, page(report, crops))
    write_whole(args.out, json.dumps(report, indent=1) + "\n")
    print(f"{report['images']} images of {report['parts']} parts: {_in_words(report)}")
    print(f"the whole report is in {args.out}, with pictures in {html.name}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from qc.dataset import open_dataset
    from qc.errors import InvalidInput
    from segmentation.export import export
    from segmentation.samples import carried

    samples = open_dataset(args.samples).split("val", labelled=False) if args.samples else carried(args.model)
    if not samples:
        raise InvalidInput("there is no picture to compare the verdicts on; give --samples DATASET with val images")
    if args.edge:
        from segmentation.edge.cli import export_folder

        return export_folder(args, samples, bar)
    with bar("export") as progress:
        about = export(args.model, format=args.format, out=args.out, samples=samples, progress=progress)
    parity = about["compared_with_the_model"]
    print(f"{args.out}: {args.format}, {parity['images']} verdicts compared, none differs")
    for lacking in about["lacks"]:
        print(f"it lacks {lacking}")
    return 0


def _in_words(figures: dict[str, dict[str, float | None]]) -> str:
    named = {
        "image AP": "image_ap",
        "defect recall at 0.1 false alarms an image": "defect_recall_at_0.1",
        "at 1": "defect_recall_at_1",
        "mean IoU": "mean_iou",
    }
    return ", ".join(
        f"{words} {'unknown' if (value := figures[name]['value']) is None else f'{value:.3f}'}"
        for words, name in named.items()
    )


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """What the data set lacks is said in one plain line each, on standard error."""
    with warnings.catch_warnings():
        before = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: object) -> None:
            if category is UserWarning:
                print(f"note: {message}", file=sys.stderr)
            else:
                before(message, category, *rest)  # type: ignore[arg-type]

        warnings.showwarning = show  # type: ignore[assignment]
        warnings.simplefilter("always", UserWarning)
        yield
