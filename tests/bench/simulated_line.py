"""Stories of a line on which everything goes wrong, in virtual time: how many break a promise, and which seeds.

    python tests/bench/simulated_line.py --seeds 1000 [--first 0] [--seconds 170]

The server's own code (inspector, deadlines, PLC stations, watched folder, audit trail, SQLite, blob store) runs with
simulated threads on a virtual clock, while disk and database fail, the process is killed and PLCs break the rules; see
tests/simulation/README.md. A violation is printed with its seed; `--first SEED --seeds 1` tells the same story again.
`--seconds` ends after so much real time and says how far it came.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/simulation"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100, help="how many stories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so many seconds of real time")
    wanted = parser.parse_args()
    from simulated.plant import template
    from simulated.story import Story, tell_story

    begun, stories, bad = time.perf_counter(), list[Story](), 0
    with tempfile.TemporaryDirectory() as folder:
        template(Path(folder) / "template")
        for seed in range(wanted.first, wanted.first + wanted.seeds):
            if time.perf_counter() - begun > wanted.seconds:
                break
            stories.append(tell_story(seed, Path(folder) / "template"))
            bad += bool(stories[-1].violations)
            for words in stories[-1].violations:
                print(words, flush=True)
    hours = sum(story.virtual_s for story in stories) / 3600
    print(f"seeds {wanted.first} to {wanted.first + len(stories) - 1}: {bad} of {len(stories)} stories broke a promise")
    print(
        f"{hours:.1f} virtual hours in {time.perf_counter() - begun:.0f} s: "
        f"{sum(s.triggers for s in stories)} triggers, {sum(s.passed for s in stories)} pieces let through, "
        f"{sum(s.answers for s in stories)} REST answers, {sum(s.kills for s in stories)} kills, "
        f"{sum(s.failed_calls for s in stories)} failed calls to disk and database"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
