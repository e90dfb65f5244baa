"""novalith: generative discovery of inorganic materials, from elements to ranked crystals.

The names below are loaded on first use, so that ``import novalith`` costs milliseconds.

>>> import novalith as nv
>>> nv.Composition.parse("Ca(OH)2").n_atoms
5
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Candidate": "novalith.materials",
    "Composition": "novalith.materials",
    "Crystal": "novalith.materials",
    "Gene": "novalith.materials",
    "Lineage": "novalith.materials",
    "Orbit": "novalith.materials",
    "PhaseField": "novalith.materials",
    "Verdict": "novalith.materials",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'novalith' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
