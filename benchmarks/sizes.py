"""How much is measured: the three modes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """How long the logs are and how often things are measured.

    Attributes:
        minutes: how long it takes, roughly, on two cores.
        rounds: of what takes milliseconds. long_rounds: of what takes seconds.
        budget: seconds after which a part begins no further round of the same steps.
        long_log: the log that the short one is compared with; short_log: the other one, where questions are asked.
        read_log: the log that is folded and verified.
        pushes: how many decisions are pushed at once.
        many_spaces: how many other spaces a repository has, beside the ten of the one it is compared with.
        writers, each: how many write at once, and how many decisions each of them.
        batch: the decisions of one ``append_many``. on_disk: how many are packed to be weighed.
        appends: of one round of single appends. group: the pages of the group that is asked for.
        warm_up: whether there is a round before those that are counted.
    """

    name: str
    minutes: float
    rounds: int
    long_rounds: int
    budget: float
    long_log: int
    short_log: int
    read_log: int
    pushes: tuple[int, ...]
    many_spaces: int
    writers: int
    each: int
    batch: int
    on_disk: int
    appends: int
    group: int
    warm_up: bool = True


QUICK = Sizes(
    *("quick", 2, 10, 2, 6.0, 20_000, 1_000, 20_000, (2_000, 10_000)),
    *(2_000, 16, 1, 10_000, 5_000, 20, 300),
)
DEFAULT = Sizes(
    *("default", 10, 40, 5, 40.0, 100_000, 1_000, 100_000, (10_000, 100_000)),
    *(10_000, 16, 4, 100_000, 20_000, 50, 300),
)
FULL = Sizes(
    *("full", 25, 60, 5, 60.0, 1_000_000, 1_000, 1_000_000, (10_000, 100_000)),
    *(10_000, 16, 4, 100_000, 100_000, 50, 300),
)
