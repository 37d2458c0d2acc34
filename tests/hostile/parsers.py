"""What atheris runs: bytes of its choice into the checks of :mod:`tests.hostile.judges`, led by the coverage of the
package. The corpus that it starts from are the test vectors. ``pip install '.[fuzz]'``."""

import importlib
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_KINDS = ("commit", "intent", "line", "trailer", "ref", "tree", "conversation", "updates")


def run(seconds: int, seed: int) -> None:
    """Fuzzes for so long; atheris prints what it does and how many inputs it tried. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as place:
        write_corpus(Path(place))
        command = [sys.executable, "-m", "tests.hostile.parsers", place]
        limits = [f"-max_total_time={seconds}", f"-seed={seed}", "-max_len=8192", "-timeout=30", "-rss_limit_mb=1024"]
        subprocess.run([*command, *limits, "-print_final_stats=1"], cwd=ROOT, check=True)


def write_corpus(place: Path) -> int:
    """The vectors as inputs of :func:`one`, each a file; how many."""
    from . import inputs

    found = [bytes([0, number % 256]) + step.raw for number, step in enumerate(inputs.lawful())]
    found += [bytes([1, number % 256]) + step.raw for number, step in enumerate(inputs.steps())]
    for kind, samples in (("line", inputs.lines()), ("trailer", inputs.trailers()), ("ref", inputs.refs())):
        found += [bytes([_KINDS.index(kind), 0]) + sample for sample in samples]
    found.append(bytes([_KINDS.index("tree"), 0]) + b"100644 body\0" + b"1" * 20)
    found.append(bytes([_KINDS.index("conversation"), 0]) + b"000eversion=1\n0000")
    found.append(bytes([_KINDS.index("updates"), 0]) + b"%b %b refs/spaces/garden\n" % (b"0" * 40, b"1" * 40))
    for number, one in enumerate(found):
        (place / f"{number:05}").write_bytes(one)
    return len(found)


def one(data: bytes) -> None:
    """Checks one input: the first byte says of which kind it is, the second behind which commit. Raises if it shows
    a fault."""
    from . import inputs, judges

    if len(data) < 2:
        return
    kind = _KINDS[data[0] % len(_KINDS)]
    if kind not in ("commit", "intent"):
        judges.CHECKS[kind](data[2:])
        return
    among = inputs.lawful()
    step = among[data[1] % len(among)]
    judges.CHECKS[kind](replace(step, raw=data[2:]))


if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["coordjournal"]):
        importlib.import_module("tests.hostile.judges")  # so that the package is loaded under its eyes

    atheris.Setup([sys.argv[0], *sys.argv[1:]], one)
    atheris.Fuzz()
