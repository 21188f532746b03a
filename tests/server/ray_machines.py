"""A real Ray cluster on this computer: a head that does no work, and machines that come and are killed."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from typing import Any

PATIENCE_S = 200.0
"""Ray gives a node 30 s to make itself known, whatever else the computer does, and leaves its processes behind."""

STORE = 80_000_000
"""Bytes of each machine's object store, Ray's least."""


class Machines:
    """The cluster; each machine is a Ray node process of one core."""

    def __init__(self, *, workers: int, jobs: bool = False) -> None:
        """
        Args:
            jobs: with the head's job server, to which `ray job submit` speaks.
        """
        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's name; else 15: beside other tests none works
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray's own dependencies
            from ray.cluster_utils import Cluster
        head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": jobs}
        self.cluster: Any = patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
        for _ in range(workers):
            self.add()

    @property
    def address(self) -> str:
        """For `server.cluster.connect.connected`."""
        return str(self.cluster.address)

    @property
    def jobs_address(self) -> str:
        """For `ray job submit --address`."""
        return f"http://{self.cluster.head_node.webui_url}"

    @property
    def workers(self) -> set[Any]:
        """The machines but the head."""
        return set(self.cluster.worker_nodes)

    def add(self, *, gpus: int = 0, **resources: float) -> Any:
        """One machine more; `resources` say what it has besides, `gpus` how many GPUs it says it has."""
        has = {"num_cpus": 1, "num_gpus": gpus, "object_store_memory": STORE, "resources": resources}
        return patiently(lambda: self.cluster.add_node(**has))

    def kill(self, machine: Any) -> None:
        """As by a power cut."""
        self.cluster.remove_node(machine, allow_graceful=False)

    def close(self) -> None:
        """End all of it."""
        self.cluster.shutdown()


def patiently(start: Callable[[], Any]) -> Any:
    """Start a node of Ray, and wait as long for it as a busy computer takes."""
    from ray._private import services

    once = services.get_node

    def waiting(*where: Any) -> Any:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return once(*where)
            except RuntimeError:  # not known yet
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    services.get_node = waiting
    try:
        return start()
    finally:
        services.get_node = once
