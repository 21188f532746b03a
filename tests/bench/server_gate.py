"""How often equal models are promoted, and how soon better ones: the wager beside a z-test looked at the same way.

    python tests/bench/server_gate.py [--pairs 2000] [--looks 1500]

Needs nothing but numpy; 20 s on one core.
"""

from __future__ import annotations

import argparse

import numpy as np

from segmentation.eprocess import ALPHA, purses_of_disagreements

Z_ONE_SIDED = 1.645
"""A z-test of one look errs once in twenty at this value."""
FIRST_LOOK = 10
"""Before ten disagreements nobody would trust a normal approximation; the wager is looked at from the first on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000, help="imaginary comparisons of two models")
    parser.add_argument("--looks", type=int, default=1500, help="disagreements seen, with a look after each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    number = np.arange(1, options.looks + 1)
    print(f"{options.pairs} comparisons, looked at after each of {options.looks} disagreements")
    print("right on | wager: promoted, median, 90 % | z-test: promoted, median, 90 %")
    for right in (0.5, 0.55, 0.6, 0.7, 0.8):
        won = rng.random((options.pairs, options.looks)) < right
        z = (2.0 * np.cumsum(won, axis=1) - number) / np.sqrt(number)
        z[:, : FIRST_LOOK - 1] = 0.0
        told = [_told(reached) for reached in (purses_of_disagreements(won) >= 1 / ALPHA, z >= Z_ONE_SIDED)]
        print(f"{right:8.0%} | {told[0]:>28} | {told[1]:>28}")


def _told(reached: np.ndarray) -> str:
    looks = reached.shape[1]
    first = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, looks + 1)
    median, most = np.quantile(first, [0.5, 0.9])
    return f"{reached.any(axis=1).mean():.1%}, " + ", ".join(
        f"{value:.0f}" if value <= looks else "never" for value in (median, most)
    )


if __name__ == "__main__":
    main()
