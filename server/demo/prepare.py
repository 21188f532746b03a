"""Before the line can ask for advice: its process described, a history, a model fitted and served. Once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from process_opt.plant import bar_line
from process_opt.process import as_yaml
from process_opt.simulate import Line
from qc.durable import write_whole
from qc.errors import QcError, Unavailable
from server.demo.client import Server, Stopped
from server.demo.config import PROCESS, DemoConfig

HISTORY_SEED = 1

_QC = "import sys; from server.cli import main; sys.exit(main(sys.argv[1:]))"
_NICE = ("nice", "-n", "10") if shutil.which("nice") else ()


def plant(config: DemoConfig) -> Line:
    """The imaginary plant: 50 steps in 10 factories of 5 partners; writes its description into the line's folder."""
    line = bar_line(config.seed)
    write_whole(config.folder / f"{PROCESS}.yaml", as_yaml(line.process))
    return line


def make_ready(config: DemoConfig, line: Line, server: Server, say: Callable[[str], None]) -> bool:
    """See to it that the server serves a model of the process; does what is missing, and nothing when it does already.

    Returns:
        Whether it does now. A failure is said, not raised: the cameras work without a process.
    """
    if PROCESS in server.processes():
        say(f"the server knows the process {PROCESS}")
        return True
    try:
        model = config.folder / "model"
        if not model.is_dir():
            history = _history(config, line, say)
            say(f"fitting a process model to {config.history_parts} parts of history")
            _run(
                server.stop,
                "fit",
                str(config.folder / f"{PROCESS}.yaml"),
                str(history),
                "--out",
                str(model),
                config=config,
            )
        _run(server.stop, "register", PROCESS, str(model), config=config)
    except Stopped:
        raise
    except QcError as error:
        say(f"no recommendations: {error}")
        return False
    if PROCESS not in server.processes():
        say(
            f"no recommendations: the model was registered in {config.home}, but the server at {config.url} keeps its "
            "data elsewhere; register it there"
        )
        return False
    say(f"the server now knows the process {PROCESS}; parts outside their limits get recommendations")
    return True


def _history(config: DemoConfig, line: Line, say: Callable[[str], None]) -> Path:
    path = config.folder / f"{PROCESS}-history.csv"
    if not path.is_file():
        say(f"simulating {config.history_parts} earlier parts of the process {PROCESS}")
        write_whole(path, line.history(config.history_parts, HISTORY_SEED).to_csv(index=False, float_format="%.7g"))
    return path


def _run(stop: threading.Event, *words: str, config: DemoConfig) -> None:
    """A `qc process` command, politely in the background; raises Unavailable with its last line of complaint."""
    log = config.folder / f"process-{words[0]}.log"
    environment = {**os.environ, "QC_HOME": str(config.home), "OMP_NUM_THREADS": "1"}
    with log.open("w") as out:
        child = subprocess.Popen(
            [*_NICE, sys.executable, "-c", _QC, "process", *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            while child.poll() is None:
                if stop.wait(0.3):
                    raise Stopped(f"stopped during qc process {words[0]}")
        finally:
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(3)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
    if child.returncode != 0:
        lines = log.read_text(errors="replace").strip().splitlines()
        raise Unavailable(f"qc process {words[0]} failed ({lines[-1] if lines else child.returncode}); see {log}")
