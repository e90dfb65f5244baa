"""Which code made a result: versions of this package and of the libraries whose numbers enter it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

#: Libraries that can change a number in a result.
_LIBRARIES = ("numpy", "scipy", "torch", "pymatgen", "pymatgen-core", "ase", "spglib", "pyxtal", "chgnet")


def versions() -> dict[str, str]:
    """Name -> version of this package, Python and the libraries behind the numbers; "absent" where not installed."""
    import novalith

    found = {"novalith": novalith.__version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found
