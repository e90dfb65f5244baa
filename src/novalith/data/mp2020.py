r"""From formation energies of the Materials Project before 2021 to its present scale.

The public tables that Matbench froze in 2018 carry the project's *legacy* corrections: O and S in oxides and sulfides,
fitted energies of the gases H2, N2, F2 and Cl2, and shifts of V, Cr, Mn, Fe, Co, Ni, Mo and W where GGA+U was used.
Since 2021 the project corrects by another fit (MP2020: Wang et al., Sci. Rep. 11, 15496, 2021), and so do the energies
that CHGNet was trained on. Both are sums over atoms, so a formation energy moves from one to the other by composition:

.. math:: \Delta E_f(\mathrm{MP2020}) = \Delta E_f(\mathrm{legacy}) + \sum_i c_i\,\delta_i

with atomic fractions :math:`c_i` and :math:`\delta_i` the change of the correction of element :math:`i` less the change
of its reference. A bromide moves by -0.53 eV per Br and a sulfide by +0.16 eV per S, which is far more than an energy
above the hull: without this step the two scales would meet on one hull.

Whether an element is an anion is guessed from the composition as the project's own code does it, with pymatgen's
oxidation states. The constants are those of pymatgen's ``MPCompatibility.yaml`` and ``MP2020Compatibility.yaml``; the
DFT energies of the gases are those of the Materials Project's elements (mp-24504, mp-25, mp-561203, mp-1008394,
mp-723285).
"""

from __future__ import annotations

from functools import lru_cache

from novalith.materials import Composition

#: Correction of an anion in the MP2020 scheme, eV/atom; sulfates and kin carry none for S.
_ANION_MP2020 = {
    "O": -0.687, "S": -0.503, "F": -0.462, "Cl": -0.614, "Br": -0.534, "I": -0.379,
    "N": -0.361, "Se": -0.472, "Si": 0.071, "Sb": -0.192, "Te": -0.422, "H": -0.179,
}  # fmt: skip
#: Correction in the legacy scheme, eV/atom: of O and S in every compound, since most sulfates carry it in the table.
_LEGACY = {"O": -0.70229, "S": -0.66346}
#: Reference energy of the element in the legacy scheme (fitted; for O2 that of mp-12957) and now by DFT, eV/atom.
_REFERENCE = {
    "H": (-3.23973666138, -13.57090418 / 4),
    "N": (-7.95247218762, -66.6919594 / 8),
    "F": (-1.42055013381, -7.64591587 / 4),
    "Cl": (-1.25385097674, -7.39414664 / 4),
    "O": (-4.93552791875, -39.57350969 / 8),
}
#: Shift of a metal calculated with GGA+U, that is in compounds whose most electronegative element is O or F, eV/atom:
#: (MP2020, legacy).
_METAL = {
    "V": (-1.7, -1.682),
    "Cr": (-1.999, -2.013),
    "Mn": (-1.668, -1.68085015096),
    "Fe": (-2.256, -2.733),
    "Co": (-1.638, -1.874),
    "Ni": (-2.541, -2.164),
    "W": (-4.438, -4.351),
    "Mo": (-3.202, -3.531),
}


@lru_cache(maxsize=200_000)
def legacy_to_mp2020(composition: Composition) -> float:
    """What to add to a legacy formation energy of the Materials Project for the MP2020 scale, eV/atom.

    Zero for elements and for compounds without any corrected element.
    """
    if len(composition.counts) == 1:
        return 0.0
    present = composition.field.elements
    total = sum(composition.fraction(s) * _ANION_MP2020[s] for s in _anions(composition.reduced))
    total -= sum(composition.fraction(s) * _LEGACY[s] for s in present if s in _LEGACY)
    total += sum(composition.fraction(s) * (_REFERENCE[s][0] - _REFERENCE[s][1]) for s in present if s in _REFERENCE)
    if _most_electronegative(present) in ("O", "F"):
        total += sum(composition.fraction(s) * (_METAL[s][0] - _METAL[s][1]) for s in present if s in _METAL)
    return total


@lru_cache(maxsize=200_000)
def mp2020_correction(composition: Composition) -> float:
    """What the MP2020 scheme adds to an uncorrected PBE energy of the Materials Project, eV/atom.

    Oxygen is corrected as an oxide; peroxides and superoxides, which carry less, are not told apart by composition.
    """
    if len(composition.counts) == 1:
        return 0.0
    present = composition.field.elements
    total = sum(composition.fraction(s) * _ANION_MP2020[s] for s in _anions(composition.reduced))
    if _most_electronegative(present) in ("O", "F"):
        total += sum(composition.fraction(s) * _METAL[s][0] for s in present if s in _METAL)
    return total


def _anions(composition: Composition) -> tuple[str, ...]:
    """Elements that the MP2020 scheme corrects in a compound: O, the most electronegative one, and what is negative."""
    present = composition.field.elements
    candidates = [s for s in present if s in _ANION_MP2020]
    certain = {"O", _most_electronegative(present)}
    if all(s in certain for s in candidates):
        return tuple(candidates)
    states = _oxidation_states(composition)
    return tuple(s for s in candidates if s in certain or states.get(s, 0.0) <= -1)


def _most_electronegative(symbols: tuple[str, ...]) -> str:
    """By Pauling's scale; noble gases without a value come last."""
    scale = _pauling()
    return max(symbols, key=lambda s: scale.get(s, 0.0))


@lru_cache(maxsize=1)
def _pauling() -> dict[str, float]:
    import math
    import warnings

    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No Pauling electronegativity", category=UserWarning)
        values = {e.symbol: float(e.X) for e in Element}
    return {s: x for s, x in values.items() if math.isfinite(x)}


@lru_cache(maxsize=200_000)
def _oxidation_states(composition: Composition) -> dict[str, float]:
    """The likeliest oxidation states of a neutral compound, empty where none balance."""
    try:
        guesses = composition.to_pymatgen().oxi_state_guesses(max_sites=-20)
    except ValueError:  # more than twenty atoms in the reduced formula: too many combinations, as in the project's code
        return {}
    return dict(guesses[0]) if guesses else {}
