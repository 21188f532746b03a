"""Sets up everything that a fresh clone lacks; quick when nothing is missing.

Runs before anything is installed, so it uses the standard library alone::

    python3 server/set_up.py [--without-tests]

Every step leaves a stamp in `.setup/` with the hash of what it was made from; a step runs again when that changes.
Nothing is written outside the clone but packages of the operating system, and those only as root or with
a sudo that asks no password.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAMPS = ROOT / ".setup"
VENV = ROOT / ".venv"
STUDIO_VENV = ROOT / ".venv-label-studio"
MLFLOW_VENV = ROOT / ".venv-mlflow"
FLYTE_VENV = ROOT / ".venv-flyte"
FRONTEND = ROOT / "frontend"

OLDEST_PYTHON = (3, 11)


class SetUpFailed(Exception):
    """One sentence for the person at the terminal."""


@dataclass(frozen=True)
class Step:
    """Something to make, once, from something."""

    name: str
    made_from: tuple[Path, ...]
    """Files and folders whose content decides whether to make it again."""
    makes: Path
    """What must be there afterwards."""
    run: Callable[[Path], None]
    """Does it, writing what its programs print to the log file given."""


def main() -> int:
    """Run the missing steps; the Python environments are made side by side."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--without-tests",
        action="store_true",
        help="skip what only the tests need (a browser, cameras, an MQTT broker, an MLflow server, Flyte)",
    )
    wanted = arguments.parse_args()
    STAMPS.mkdir(exist_ok=True)
    try:
        need_python()
        side_by_side([PYTHON, STUDIO] if wanted.without_tests else [PYTHON, STUDIO, MLFLOW, FLYTE])
        if not wanted.without_tests:
            do(DEPLOY_CHECKS)
        do(INTERFACE)
        if not wanted.without_tests:
            do(BROWSER)
            do(CAMERAS)
            do(BROKER)
    except SetUpFailed as failure:
        print(f"set-up: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def do(step: Step) -> None:
    """Run one step unless its stamp says that it is done."""
    stamp = STAMPS / f"{step.name}.stamp"
    fingerprint = hash_of(step.made_from)
    if step.makes.exists() and stamp.exists() and stamp.read_text() == fingerprint:
        return
    log = STAMPS / f"{step.name}.log"
    log.write_text("")
    begun = time.monotonic()
    print(f"set-up: {step.name} …", flush=True)
    stamp.unlink(missing_ok=True)
    step.run(log)
    stamp.write_text(fingerprint)
    print(f"set-up: {step.name} done in {time.monotonic() - begun:.0f} s", flush=True)


def side_by_side(steps: list[Step]) -> None:
    """Run steps that do not depend on each other; they mostly wait for downloads."""
    failures: list[SetUpFailed] = []

    def guarded(step: Step) -> None:
        try:
            do(step)
        except SetUpFailed as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def run(command: list[str], log: Path, *, where: Path = ROOT) -> None:
    """Run a program; its output goes to `log`, and the last lines of it into the failure."""
    with log.open("a") as out:
        out.write(f"$ {' '.join(command)}\n")
        out.flush()
        done = subprocess.run(
            command, cwd=where, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment()
        )
    if done.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SetUpFailed(
            f"`{' '.join(command)}` failed; the whole output is in {log.relative_to(ROOT)}, and ends\n{last}"
        )


def environment() -> dict[str, str]:
    """Our own programs first on the path; nothing of an activated environment leaks in."""
    keep = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH")}
    return keep | {
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def hash_of(paths: tuple[Path, ...]) -> str:
    """One fingerprint of files, and of all files below folders, with this Python's version."""
    digest = hashlib.sha256(repr(sys.version_info[:2]).encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def need_python() -> None:
    """This Python must be new enough and able to make environments."""
    if sys.version_info < OLDEST_PYTHON:
        raise SetUpFailed(
            f"Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed; this is {sys.version.split()[0]}"
        )
    try:
        import ensurepip  # noqa: F401  Debian keeps it in a package of its own
    except ImportError:
        install_system_packages(["python3-venv"], STAMPS / "python3-venv.log", why="to make Python environments")


def install_system_packages(packages: list[str], log: Path, *, why: str) -> None:
    """Install Debian packages as root, or through a sudo that asks no password; otherwise say what to do."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not shutil.which("apt-get") or not may_act_as_root(sudo):
        raise SetUpFailed(
            f"{' '.join(packages)} is needed {why}; install it with your system's package manager and run again"
        )
    log.write_text("")
    quiet = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]
    run([*quiet, "update"], log)
    run([*quiet, "install", "--no-install-recommends", *packages], log)


def may_act_as_root(sudo: list[str]) -> bool:
    """Are we root, or is there a sudo that asks no password?"""
    if not sudo:
        return True
    return shutil.which("sudo") is not None and subprocess.run([*sudo, "true"], capture_output=True).returncode == 0


def has_nvidia_gpu() -> bool:
    """Does the driver list a GPU?"""
    program = shutil.which("nvidia-smi")
    return program is not None and "GPU " in subprocess.run([program, "-L"], capture_output=True, text=True).stdout


def constraints(log: Path) -> Path:
    """The versions to install: as pinned, and with an NVIDIA GPU the same torch in its CUDA build."""
    pins = (ROOT / "constraints-cpu.txt").read_text()
    if has_nvidia_gpu():
        # `===` matches the version without a local part such as +cpu, and that is the CUDA build.
        pins = re.sub(r"^torch==", "torch===", pins, flags=re.MULTILINE)
    chosen = STAMPS / "constraints.txt"
    chosen.write_text(pins)
    return chosen


def make_python(log: Path) -> None:
    run([sys.executable, "-m", "venv", str(VENV)], log)
    run(
        [
            str(VENV / "bin/pip"),
            "install",
            "-q",
            "-c",
            str(constraints(log)),
            "-e",
            ".[dev,plant,postgres,ray,mlflow,stores,litdata,deploy,docs,faiss,traces]",
        ],
        log,
    )


def make_deploy_checks(log: Path) -> None:
    """The tools that the tests ask about rendered deployments; running the product needs none of them."""
    run([str(VENV / "bin/pip"), "install", "-q", "-c", str(constraints(log)), "-e", ".[deploy-checks]"], log)


def make_studio(log: Path) -> None:
    run([sys.executable, "-m", "venv", str(STUDIO_VENV)], log)
    pins = ROOT / "labeling/label-studio-constraints.txt"
    run([str(STUDIO_VENV / "bin/pip"), "install", "-q", "-c", str(pins), "label-studio"], log)


def make_mlflow(log: Path) -> None:
    run([sys.executable, "-m", "venv", str(MLFLOW_VENV)], log)
    pins = ROOT / "tests/mlflow-constraints.txt"
    run([str(MLFLOW_VENV / "bin/pip"), "install", "-q", "-c", str(pins), "mlflow"], log)


def make_flyte(log: Path) -> None:
    """Flyte's SDK does not go with our pins; what else a workflow imports it finds in our own environment."""
    run([sys.executable, "-m", "venv", str(FLYTE_VENV)], log)
    pins = ROOT / "tests/flyte-constraints.txt"
    run([str(FLYTE_VENV / "bin/pip"), "install", "-q", "-c", str(pins), "flytekit"], log)
    packages = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    (FLYTE_VENV / packages / "qc-line.pth").write_text(f"{ROOT}\n{VENV / packages}\n")


def make_interface(log: Path) -> None:
    """Node comes from a Python package, so that the system needs none.

    Not `npm ci`: it refuses a lock file that lacks the binaries of other platforms, which some registries do not carry.
    """
    run([str(VENV / "bin/npm"), "install", "--no-save", "--no-audit", "--no-fund"], log, where=FRONTEND)
    run([str(VENV / "bin/npm"), "run", "build"], log, where=FRONTEND)


def make_browser(log: Path) -> None:
    """Tests that need a browser are skipped, saying so, where Chromium may not be installed."""
    if shutil.which("chromium") is None:
        try:
            install_system_packages(["chromium"], log, why="for the tests in a real browser")
        except SetUpFailed as failure:
            print(f"set-up: {failure}; those tests will be skipped", file=sys.stderr)


def make_cameras(log: Path) -> None:
    """Tests that need a simulated camera are skipped, saying so, where these may not be installed."""
    packages = [
        "aravis-tools",
        "libaravis-0.8-0",
        "gir1.2-gst-rtsp-server-1.0",
        "gstreamer1.0-plugins-good",
        "python3-gi",
    ]
    streams = any(Path("/usr/lib").glob("*/girepository-1.0/GstRtspServer-1.0.typelib"))
    if shutil.which("arv-fake-gv-camera-0.8") is None or not streams:
        try:
            install_system_packages(packages, log, why="for the tests with simulated cameras")
        except SetUpFailed as failure:
            print(f"set-up: {failure}; those tests will be skipped", file=sys.stderr)


def make_broker(log: Path) -> None:
    """Tests that need an MQTT broker are skipped, saying so, where Mosquitto may not be installed."""
    if shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin") is None:
        try:
            install_system_packages(["mosquitto"], log, why="for the tests with an MQTT broker")
        except SetUpFailed as failure:
            print(f"set-up: {failure}; those tests will be skipped", file=sys.stderr)


_SOURCES = tuple(
    FRONTEND / name for name in ("src", "package.json", "package-lock.json", "index.html", "vite.config.ts")
)
PYTHON = Step("python", (ROOT / "pyproject.toml", ROOT / "constraints-cpu.txt"), VENV / "bin/qc", make_python)
DEPLOY_CHECKS = Step("deploy-checks", PYTHON.made_from, VENV / "bin/hadolint", make_deploy_checks)
STUDIO = Step(
    "label-studio", (ROOT / "labeling/label-studio-constraints.txt",), STUDIO_VENV / "bin/label-studio", make_studio
)
MLFLOW = Step("mlflow", (ROOT / "tests/mlflow-constraints.txt",), MLFLOW_VENV / "bin/mlflow", make_mlflow)
FLYTE = Step("flyte", (ROOT / "tests/flyte-constraints.txt",), FLYTE_VENV / "bin/pyflyte", make_flyte)
INTERFACE = Step("interface", _SOURCES, FRONTEND / "dist/index.html", make_interface)
BROWSER = Step("browser", (), STAMPS, make_browser)
CAMERAS = Step("cameras", (), STAMPS, make_cameras)
BROKER = Step("broker", (), STAMPS, make_broker)


if __name__ == "__main__":
    sys.exit(main())
