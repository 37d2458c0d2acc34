"""python -m tests.hostile: see the package's own words."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from . import judges

_SHARE = 20_000  # inputs of one seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("--inputs", type=int, default=0, help="for the judges, in this process")
    parser.add_argument("--pushes", type=int, default=0, help="mutated commits, pushed to a server")
    parser.add_argument("--refs", type=int, default=0, help="refs that one push names")
    parser.add_argument("--atheris", type=int, default=0, metavar="SECONDS", help="coverage-guided, on the parsers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    if asked.inputs:
        in_process(asked.inputs, asked.seed, asked.jobs)
    if asked.pushes:
        from . import pushes

        print(pushes.campaign(asked.pushes, asked.seed))
    if asked.refs:
        from . import pushes

        print(pushes.many_refs(asked.refs))
    if asked.atheris:
        from . import parsers

        parsers.run(asked.atheris, asked.seed)
    return 0


def in_process(count: int, seed: int, jobs: int) -> None:
    """Tries ``count`` inputs and prints what they met."""
    begun = time.monotonic()
    shares = [min(_SHARE, count - at) for at in range(0, count, _SHARE)]
    found: Counter[str] = Counter()
    slowest = 0.0
    with ProcessPoolExecutor(jobs) as pool:
        for verdicts, slow in pool.map(judges.run, shares, range(seed, seed + len(shares))):
            found += verdicts
            slowest = max(slowest, slow)
    for verdict, times in sorted(found.items()):
        print(f"{times:>9,}  {verdict}")
    print(
        f"{sum(found.values()):>9,} inputs of the seeds {seed} to {seed + len(shares) - 1} in "
        f"{time.monotonic() - begun:.0f} s, none of them wrong; the slowest took {slowest:.2f} s of the processor"
    )


if __name__ == "__main__":
    sys.exit(main())
