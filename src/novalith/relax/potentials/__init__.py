"""Potentials by name, each behind the contract of `novalith.relax.base.Potential`.

What is known of a potential without its network (`potential_info`) costs no import of torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from novalith.errors import UnknownNameError
from novalith.relax.base import MP2020_PBE, PBE_UNCORRECTED, Potential, PotentialInfo

#: SHA-256 of `pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar` in the wheel of chgnet 0.4.2.
CHGNET_WEIGHTS_SHA256 = "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1"

CHGNET = PotentialInfo(
    name="chgnet",
    version=f"0.3.0+sha256:{CHGNET_WEIGHTS_SHA256[:8]}",
    energy_scale=MP2020_PBE,
    citation="deng2023chgnet",
)

#: SHA-256 of `pretrained_potentials/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth` in the wheel of sevenn 0.13.0.
SEVENNET_WEIGHTS_SHA256 = "7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36"

SEVENNET = PotentialInfo(
    name="sevennet",
    version=f"0-11Jul2024+sha256:{SEVENNET_WEIGHTS_SHA256[:8]}",
    energy_scale=PBE_UNCORRECTED,
    citation="park2024sevennet",
)


def _with_dispersion(info: PotentialInfo) -> PotentialInfo:
    """The same potential with `novalith.relax.potentials.dispersion` added."""
    return PotentialInfo(
        name=f"{info.name}-d3",
        version=f"{info.version}+D3(BJ, PBE)",
        energy_scale=f"{info.energy_scale} + D3(BJ)",
        citation=info.citation,
        dispersion=True,
    )


#: Every potential by its name.
POTENTIALS: Mapping[str, PotentialInfo] = {
    info.name: info for info in (CHGNET, _with_dispersion(CHGNET), SEVENNET, _with_dispersion(SEVENNET))
}


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
    info = potential_info(name)
    if name.endswith("-d3"):
        from novalith.relax.potentials.dispersion import Dispersion

        return Dispersion(load_potential(name.removesuffix("-d3")), info)
    if name == SEVENNET.name:
        from novalith.relax.potentials.sevennet import SevenNet

        return SevenNet()
    from novalith.relax.potentials.chgnet import CHGNet

    return CHGNet()
