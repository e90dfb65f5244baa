"""Potentials by name, each behind the contract of `novalith.relax.base.Potential`."""

from __future__ import annotations

from novalith.errors import UnknownNameError
from novalith.relax.base import Potential

#: Names that `load_potential` knows.
POTENTIALS = ("chgnet",)


def load_potential(name: str = "chgnet") -> Potential:
    """Load a potential with its weights.

    Raises:
        UnknownNameError: no potential has this name.
        MissingExtraError: its package is not installed.
        CorruptDataError: its weights are not the published ones.
    """
    if name == "chgnet":
        from novalith.relax.potentials.chgnet import CHGNet

        return CHGNet()
    raise UnknownNameError("potential", name, POTENTIALS)
