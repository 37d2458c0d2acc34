"""Where the files that are no Python live: the hooks that git runs and the schemas.

In a checkout they stand beside the package (``hooks/``, ``schemas/``), in a wheel and in an install prefix inside it.
"""

import os

from .errors import CoordjournalError

_PACKAGE = os.path.dirname(os.path.abspath(__file__))

# A file each folder has: beside an installed package may stand a ``hooks`` folder that is somebody else's.
_WITNESS = {"hooks": "pre-receive", "schemas": "envelope.json"}


class ResourceMissing(CoordjournalError):
    """The package is incomplete: the files it was shipped with are not where they belong."""

    code = "resource-missing"


def folder(name: str) -> str:
    """The absolute path of the packaged folder ``name`` (``"hooks"`` or ``"schemas"``).

    Raises:
        ResourceMissing: the package was installed without it.
    """
    for place in (os.path.join(_PACKAGE, name), os.path.join(os.path.dirname(_PACKAGE), name)):
        if os.path.isfile(os.path.join(place, _WITNESS[name])):
            return place
    raise ResourceMissing(
        f"coordjournal was installed without its {name!r} folder (looked in {_PACKAGE} and beside it); "
        "install it again, from a wheel or from a complete checkout"
    )


def hooks() -> str:
    """The folder of the hook templates. Raises ResourceMissing."""
    return folder("hooks")


def schemas() -> str:
    """The folder of the JSON Schemas and test vectors. Raises ResourceMissing."""
    return folder("schemas")
