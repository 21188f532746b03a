"""The demonstration line beside the server: a child process that uses the server as any outside client does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta

from server import auth
from server.access import Role
from server.context import Context
from server.supervisor import Supervisor

KEY_NAME = "demonstration line"

_CHILD = (
    "import sys; from server.jobs.child import die_with_parent; die_with_parent(int(sys.argv[1])); "
    "from server.cli import main; sys.exit(main(['demo']))"
)


class Demonstration:
    """The running child."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        environment = {
            **os.environ,
            "QC_HOME": str(settings.home.resolve()),
            "QC_DEMO_URL": settings.model_copy(update={"public_url": ""}).url,
            "QC_DEMO_KEY": _key(context),
            "QC_DEMO_STUDIO_URL": settings.studio_url if settings.label_studio else "",
            "QC_DEMO_STUDIO_TOKEN": _studio_token(context),
            "OMP_NUM_THREADS": "1",  # it must not take the processor from the inspector
        }
        log = (settings.folder("logs") / "demonstration.log").open("ab")
        with log:
            self._child = subprocess.Popen(
                [sys.executable, "-c", _CHILD, str(os.getpid())],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal reaches the server, which then ends it in good order
            )

    def alive(self) -> bool:
        """Does it still run?"""
        return self._child.poll() is None

    def stop(self) -> None:
        """Let it finish its part, then end it."""
        if self.alive():
            self._child.send_signal(signal.SIGINT)
        try:
            self._child.wait(8)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def start(context: Context) -> Supervisor | None:
    """Keep the line running, where the installation is to have one."""
    if not context.demonstration:
        return None

    def begin(stop: threading.Event) -> Demonstration:
        champion = context.need_champion()
        while not champion.wait(0.5):
            if stop.is_set():
                break
        return Demonstration(context)

    supervisor = Supervisor("the demonstration line", begin)
    supervisor.begin()
    return supervisor


def _key(context: Context) -> str:
    """A machine's key for this run; the one of the last run ends."""
    with context.database.write() as session:
        now = context.now()
        auth.revoke_keys(session, KEY_NAME, now=now)
        key = auth.create_key(session, KEY_NAME, Role.MACHINE, now=now, days=timedelta(days=365).days)
        session.commit()
    return key


def _studio_token(context: Context) -> str:
    """For the imaginary labeller, who works in Label Studio as a person would."""
    settings = context.settings
    if not settings.label_studio:
        return ""
    if settings.label_studio_url:
        return settings.label_studio_token
    from labeling.studio_process import account

    return account(settings.home.resolve() / "label-studio" / "account.json").token
