"""Doubts: sentences on what could be wrong with a candidate, from facts at hand. None of them is a verdict."""

from __future__ import annotations

from collections.abc import Collection

from novalith.materials import Crystal, PhaseField
from novalith.relax.base import Relaxation
from novalith.screen.novelty import Grade, Novelty

#: Mean absolute error of CHGNet formation energies against the Materials Project, eV/atom (measured: see docs).
POTENTIAL_ERROR_EV_PER_ATOM = 0.08

#: Below the hull by more than this is more often an error of the potential than a discovery.
SUSPICIOUS_EV_PER_ATOM = -0.1

#: A relaxation that changes the volume by more than this has left the structure that was proposed.
LARGE_VOLUME_CHANGE = 0.25

#: What the last doubt ends with until phonons are computed.
NO_PHONONS = "; phonons were not computed"

#: Elements whose magnetism or f electrons strain both the potential and the functional behind it.
_OPEN_SHELLS = frozenset("Cr Mn Fe Co Ni Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb U Np Pu".split())

#: Ions of similar size on equivalent sites often mix: pairs with Shannon radii within about 15 % at equal charge
#: (Shannon, Acta Cryst. A 32, 751, 1976).
_MIXING = frozenset(
    frozenset(pair.split("-"))
    for pair in "S-Se Cl-Br Br-I Mg-Zn Mg-Co Mg-Ni Al-Ga Al-Fe Fe-Cr Ca-Cd Sr-Pb K-Rb Rb-Cs Zr-Hf Nb-Ta Mo-W Y-Ho "
    "Y-Er Y-Dy Si-Ge Mn-Fe Fe-Co Co-Ni Fe-Ni Ti-Nb Ti-Ta V-Nb Pt-Pd Ru-Rh Cu-Ag Ag-Au S-Cl Li-Mg Li-Cu".split()
)


def doubts_about(
    relaxation: Relaxation,
    energy_above_hull_ev_per_atom: float,
    novelty: Novelty,
    spacegroup: int,
    missing_phases: Collection[str],
) -> tuple[str, ...]:
    """Sentences for the reader, the gravest first."""
    crystal, field = relaxation.final, relaxation.final.composition.field
    sentences = [
        _energy(energy_above_hull_ev_per_atom),
        _magnetism(field),
        _mixing(field),
        _volume(relaxation.initial, crystal),
        "The relaxed cell has no symmetry but translations (P1): often a sign of a frustrated minimum."
        if spacegroup == 1
        else "",
        "Another structure of this formula is known; this one competes with it."
        if novelty.grade is Grade.OTHER_STRUCTURE
        else "",
        f"The hull lacks {len(missing_phases)} competing phases ({', '.join(sorted(missing_phases)[:4])}): the true "
        "energy above the hull can only be higher."
        if missing_phases
        else "",
        f"Zero temperature, no vibrations, no disorder{NO_PHONONS}.",
    ]
    return tuple(sentence for sentence in sentences if sentence)


def _energy(energy: float) -> str:
    if energy < SUSPICIOUS_EV_PER_ATOM:
        return (
            f"It lies {-1000 * energy:.0f} meV/atom below the hull, more than the potential's error of about "
            f"{1000 * POTENTIAL_ERROR_EV_PER_ATOM:.0f} meV/atom: check with DFT before believing it."
        )
    if energy > 2 * POTENTIAL_ERROR_EV_PER_ATOM:
        return f"It lies {1000 * energy:.0f} meV/atom above the hull: a synthesis at equilibrium is unlikely."
    return ""


def _magnetism(field: PhaseField) -> str:
    shells = sorted(_OPEN_SHELLS & set(field.elements))
    return f"Magnetic order or f electrons of {', '.join(shells)} are treated only on average." if shells else ""


def _mixing(field: PhaseField) -> str:
    pairs = sorted("/".join(sorted(pair)) for pair in _MIXING if pair <= set(field.elements))
    return (
        f"{', '.join(pairs)} often share sites: the real material may be a disordered solid solution." if pairs else ""
    )


def _volume(before: Crystal, after: Crystal) -> str:
    change = (after.volume / after.n_atoms) / (before.volume / before.n_atoms) - 1
    if abs(change) <= LARGE_VOLUME_CHANGE:
        return ""
    return f"Relaxation changed the volume by {100 * change:+.0f} %: it left the structure that was proposed."
