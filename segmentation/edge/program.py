"""The program of an edge folder: `inspect.sh look`, `watch`, `report`, `status`, `check`.

Runs on Python alone with what lies in the folder. Exit status: 0 done; 1 failed, with one sentence on standard error;
2 wrong arguments.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from qc.errors import InvalidInput, QcError
from segmentation.edge.eyes import CONTENTS, SITE, Edge, contents, open_edge, read_settings
from segmentation.edge.reporting import report
from segmentation.edge.spool import Spool, Writer
from segmentation.predict import find_images

SAMPLES = "samples"
EXPECTED = "expected.json"


def main(folder: Path, argv: Sequence[str] | None = None) -> int:
    """Run one command of the edge in `folder`; returns the exit status."""
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status: int = args.run(folder, args)
        return status
    except QcError as error:
        print(f"edge: {error.message}", file=sys.stderr)
    except OSError as error:
        print(f"edge: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 0
    return 1


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="inspect.sh", description="Inspects pictures here, and reports later.")
    top.add_argument("--spool", type=Path, metavar="DIR", help="where everything is kept; default: as edge.json says")
    top.add_argument("--threads", type=int, help="CPU threads for one picture; default: as edge.json says, or all")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    look = commands.add_parser("look", help="inspect these pictures")
    look.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="picture files, or folders of them")
    look.set_defaults(run=_look)
    watch = commands.add_parser("watch", help="inspect every picture that arrives in a folder")
    watch.add_argument("--folder", type=Path, metavar="DIR", help="default: as edge.json says")
    watch.add_argument("--every", type=float, default=0.5, metavar="S", help="seconds between two looks at the folder")
    watch.set_defaults(run=_watch)
    tell = commands.add_parser("report", help="send what is in the spool to the server; the key is read from QC_KEY")
    tell.add_argument("--server", metavar="URL", help="default: as edge.json says")
    tell.set_defaults(run=_report)
    commands.add_parser("status", help="what is in the spool").set_defaults(run=_status)
    commands.add_parser("check", help="are the verdicts here those of the model?").set_defaults(run=_check)
    return top


def _spool(folder: Path, args: argparse.Namespace) -> Spool:
    return Spool(args.spool or (folder / read_settings(folder)["spool"]).resolve())


def _look(folder: Path, args: argparse.Namespace) -> int:
    edge = open_edge(folder, threads=args.threads)
    problems = 0
    with _spool(folder, args).inspections.writing() as journal:
        known = {line["trigger_id"] for line in journal.lines}
        for path in find_images(args.paths):
            problems += not inspect_one(edge, _spool(folder, args), journal, known, path)
    return 1 if problems else 0


def _watch(folder: Path, args: argparse.Namespace) -> int:
    edge = open_edge(folder, threads=args.threads)
    place = args.folder or (Path(edge.settings["watch"]) if edge.settings["watch"] else None)
    if place is None or not place.is_dir():
        raise InvalidInput(f"there is no folder {place or ''} to watch; give --folder DIR")
    spool = _spool(folder, args)
    with spool.inspections.writing() as journal:
        known = {line["trigger_id"] for line in journal.lines}
        done: dict[str, tuple[int, int]] = {}
        seen: dict[str, tuple[int, int]] = {}
        print(f"watching {place}", flush=True)
        while True:
            now = _pictures(place)
            for name, state in sorted(now.items(), key=lambda item: (item[1][1], item[0])):
                if done.get(name) != state and seen.get(name) == state:  # it has stopped growing
                    try:
                        inspect_one(edge, spool, journal, known, place / name)
                    except FileNotFoundError:
                        if (place / name).exists():
                            raise
                        continue  # whoever put it there took it away again; the next ones are inspected
                    done[name] = state
            seen = now
            time.sleep(args.every)


def _pictures(place: Path) -> dict[str, tuple[int, int]]:
    """The pictures in a folder, with their size in bytes and when they were changed, in ns."""
    endings = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
    found = {}
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.name.lower().endswith(endings) and entry.name[0] != ".":
                with suppress(FileNotFoundError):  # it was taken away while we looked
                    about = entry.stat()
                    if stat.S_ISREG(about.st_mode):
                        found[entry.name] = (about.st_size, about.st_mtime_ns)
    return found


def inspect_one(edge: Edge, spool: Spool, journal: Writer, known: set[str], path: Path) -> bool:
    """Judge one file, keep everything, print one line; False where it could not be judged (it is no `ok` then).

    A file of the same name and content is judged once, however often the program is started or killed.
    """
    started = time.perf_counter()
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    trigger = "edge-" + hashlib.sha256(f"{edge.station}/{path.name}/{digest}".encode()).hexdigest()[:32]
    if trigger in known:
        print(f"{path.name}: already inspected", flush=True)
        return True
    part, view = edge.names(path.name)
    name = f"{path.stem}-{trigger[5:13]}"
    line: dict[str, Any] = {
        "trigger_id": trigger,
        "image": path.name,
        "part": part,
        "view": view,
        "station": edge.station,
        "product": edge.policy.product,
        "sha256": digest,
        "picture": str(spool.keep("pictures", name + path.suffix, data).relative_to(spool.folder)),
        "at": time.time(),
        "model": edge.model,
    }
    try:
        looked = edge.look(data, path.name)
    except QcError as error:
        line |= {"verdict": "review", "problem": error.message}
        print(f"{path.name}: review, it cannot be inspected: {error.message}", file=sys.stderr, flush=True)
    else:
        text = json.dumps(looked.as_json(), indent=1).encode() + b"\n"
        spool.keep("results", f"{name}.png", looked.mask())
        spool.keep("results", f"{name}.overlay.png", looked.overlay())
        spool.keep("results", f"{name}.json", text)
        line |= {**looked.said(), "score": looked.findings.score, "result": hashlib.sha256(text).hexdigest()}
    line["elapsed_ms"] = round(1000 * (time.perf_counter() - started), 1)
    journal.add(line)
    known.add(trigger)
    if "problem" not in line:
        print(f"{path.name}: {line['verdict']}, score {line['score']:.3f}, {line['elapsed_ms']:.0f} ms", flush=True)
    return "problem" not in line


def _report(folder: Path, args: argparse.Namespace) -> int:
    url = args.server or read_settings(folder)["server"]
    key = os.environ.get("QC_KEY", "")
    if not url or not key:
        raise InvalidInput("give the server's address with --server URL, and a key of it in QC_KEY")
    told = report(_spool(folder, args), url, key, tell=lambda text: print(text, file=sys.stderr))
    print(f"{told.sent} sent, {told.refused} refused, {told.other_verdict} with another verdict of the server")
    return 1 if told.refused else 0


def _status(folder: Path, args: argparse.Namespace) -> int:
    spool = _spool(folder, args)
    lines, waiting = spool.inspections.read(), spool.waiting()
    count = {verdict: sum(line["verdict"] == verdict for line in lines) for verdict in ("ok", "review", "ng")}
    print(json.dumps({"inspections": len(lines), **count, "waiting": len(waiting), "spool": str(spool.folder)}))
    return 0


def _check(folder: Path, args: argparse.Namespace) -> int:
    """Exit 1 where a file is not as it was exported, or a verdict on the pictures carried is not the model's."""
    edge = open_edge(folder, threads=args.threads)
    if contents(folder / SITE) != (folder / CONTENTS).read_text(encoding="utf-8"):
        raise InvalidInput(f"{folder / SITE} is damaged or was altered (sha256sum --check {CONTENTS} says where)")
    expected = json.loads((folder / SAMPLES / EXPECTED).read_text(encoding="utf-8"))
    differ = 0
    for name, said in expected.items():
        differ += edge.look((folder / SAMPLES / name).read_bytes(), name).said() != said
    if differ:
        raise InvalidInput(f"{differ} of {len(expected)} verdicts are not the model's; do not inspect with it here")
    print(f"{len(expected)} verdicts compared, none differs from the model's")
    return 0
