"""To a Ray cluster and back, in the product's words."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from qc.errors import InvalidInput, Unavailable

HERE = "local"
"""The address that stands for a cluster of this computer alone, begun for the work and ended with it."""


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """The module `ray`, connected; disconnected afterwards, whatever happened.

    Args:
        address: `host:6379` of the head node, from one of the cluster's own machines; `auto`: the cluster that this
            machine belongs to; `ray://host:10001` from outside; `local`: this computer alone.

    Raises:
        InvalidInput: Ray is not installed. Unavailable: no cluster answers there, or one of another Ray.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a factory's computers tell nobody that they are there
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray's own dependencies
            import ray
    except ImportError as error:
        raise InvalidInput("a cluster needs Ray: pip install -c constraints-cpu.txt -e '.[ray]'") from error
    try:
        ray.init(
            address=None if address == HERE else address,
            namespace="qc",
            include_dashboard=False if address == HERE else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
        raise Unavailable(
            f"no Ray cluster can be used at {address} ({_first_line(error)}); on its first machine: ray start --head; "
            "on the others: ray start --address=HEAD:6379; "
            f"all with Ray {ray.__version__} and qc-line {version('qc-line')}"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
