"""A real Ray cluster on this computer: a head that does no work, and machines that come and are killed."""

from __future__ import annotations

import os
import warnings
from typing import Any

TRIES = 4
"""Ray gives each node 30 s to start, whatever else the computer does; on a busy one the next try succeeds."""

STORE = 80_000_000
"""Bytes of each machine's object store, Ray's least."""


class Machines:
    """The cluster; each machine is a Ray node process of one core."""

    def __init__(self, *, workers: int) -> None:
        os.environ["RAY_worker_niceness"] = "0"  # else 15: beside other tests they would hardly come to work
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray's own dependencies
            from ray.cluster_utils import Cluster
        self.cluster: Any = self._tried(
            lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE})
        )
        for _ in range(workers):
            self.add()

    @property
    def address(self) -> str:
        """For `server.cluster.connect.connected`."""
        return str(self.cluster.address)

    @property
    def workers(self) -> set[Any]:
        """The machines but the head."""
        return set(self.cluster.worker_nodes)

    def add(self) -> Any:
        """One machine more."""
        return self._tried(lambda: self.cluster.add_node(num_cpus=1, object_store_memory=STORE))

    def kill(self, machine: Any) -> None:
        """As by a power cut."""
        self.cluster.remove_node(machine, allow_graceful=False)

    def close(self) -> None:
        """End all of it."""
        self.cluster.shutdown()

    @staticmethod
    def _tried(start: Any) -> Any:
        for _ in range(TRIES - 1):
            try:
                return start()
            except Exception as error:  # Ray raises no narrower one; anything else comes again with the next try
                print(f"a Ray node did not start in Ray's time, again: {error}")
        return start()
