"""Potentials by name, each behind the contract of `novalith.relax.base.Potential`.

What is known of a potential without its network (`potential_info`) costs no import of torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from novalith.errors import UnknownNameError
from novalith.relax.base import MP2020_PBE, Potential, PotentialInfo

#: SHA-256 of `pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar` in the wheel of chgnet 0.4.2.
CHGNET_WEIGHTS_SHA256 = "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1"

CHGNET = PotentialInfo(
    name="chgnet",
    version=f"0.3.0+sha256:{CHGNET_WEIGHTS_SHA256[:8]}",
    energy_scale=MP2020_PBE,
    citation="deng2023chgnet",
)

#: Every potential by its name.
POTENTIALS: Mapping[str, PotentialInfo] = {CHGNET.name: CHGNET}


def potential_info(name: str = CHGNET.name) -> PotentialInfo:
    """Name, version and energy scale of a potential.

    Raises:
        UnknownNameError: no potential has this name.
    """
    if name not in POTENTIALS:
        raise UnknownNameError("potential", name, POTENTIALS)
    return POTENTIALS[name]


def load_potential(name: str = CHGNET.name) -> Potential:
    """Load a potential with its weights.

    Raises:
        UnknownNameError: no potential has this name.
        MissingExtraError: its package is not installed.
        CorruptDataError: its weights are not the published ones.
    """
    potential_info(name)  # every name but one is unknown so far
    from novalith.relax.potentials.chgnet import CHGNet

    return CHGNet()
