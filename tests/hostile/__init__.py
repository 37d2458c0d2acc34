"""Hostile input: mutations of what is valid, an oracle that shares no code with the package, and real pushes.

    python -m tests.hostile --inputs 1000000 --seed 1        the judges, in this process; --jobs 2 in two
    python -m tests.hostile --pushes 5000 --seed 1           mutated commits, pushed into a repository with the hook
    python -m tests.hostile --refs 1000000                   one push that names a million refs
    python -m tests.hostile --atheris 600                    coverage-guided, on the parsers (pip install '.[fuzz]')

``oracle`` is the law written down once more from docs/format.md, ``inputs`` makes the mutations, ``judges`` holds the
package against the oracle, ``pushes`` does so with git between them, ``parsers`` is what atheris runs.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the helpers of the other tests
