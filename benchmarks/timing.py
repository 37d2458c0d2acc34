"""The clock: steps that are measured take turns, so that what disturbs a machine disturbs all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

#: One thing to measure, called with the number of the round. Where it returns seconds, those count, and not the time
#: that the call took: it sets something up first, or measures inside a process that it starts.
Step = Callable[[int], float | None]


def interleaved(
    steps: Mapping[str, Step],
    runs: int,
    *,
    budget: float = float("inf"),
    warm_up: bool = True,
    note: Callable[[str], None] = lambda _words: None,
) -> dict[str, list[float]]:
    """The seconds of each step in each round. A round runs every step once, in an order that moves on by one a round.

    Args:
        runs: how many rounds.
        budget: no further round is begun once so many seconds are over; one is always counted.
        warm_up: begin with a round that is not counted.
        note: told which round it is.
    """
    names = list(steps)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    begun = time.monotonic()
    for turn in range(0 if warm_up else 1, runs + 1):
        if turn > 1 and time.monotonic() - begun > budget:
            break
        note(f"round {turn} of {runs}" if turn else "warming up")
        for place in range(len(names)):
            name = names[(place + turn) % len(names)]
            start = time.perf_counter()
            counted = steps[name](turn)
            spent = time.perf_counter() - start
            if turn:
                seconds[name].append(spent if counted is None else counted)
    return seconds
