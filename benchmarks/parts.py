"""The parts of the benchmark by name, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable

from . import appends, disk, folds, processes, pushes, questions, writers
from .bench import Bench
from .measure import Row

Part = Callable[[Bench], list[Row]]

PARTS: dict[str, Part] = {
    "push-one": pushes.one,
    "push-long-log": pushes.into_long_log,
    "push-many-spaces": pushes.beside_many_spaces,
    "push-many": pushes.of_many,
    "push-intent": pushes.of_an_intent,
    "writers": writers.contend,
    "append": appends.one,
    "append-many": appends.many,
    "fold": folds.cold,
    "verify": folds.verify,
    "questions": questions.warm,
    "imports": processes.imports,
    "program": processes.program,
    "disk": disk.packed,
}
