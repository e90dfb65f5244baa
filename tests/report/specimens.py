"""Crystals of two to four elements with published cells, and the rows of a report made of them."""

from __future__ import annotations

from dataclasses import replace

from novalith.campaign.record import RankedCrystal
from novalith.materials import Crystal, Gene, Lineage, Orbit
from novalith.screen.novelty import Grade, Novelty

FCC = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))


def cubic(a, species, positions):
    return Crystal.from_arrays([[a, 0, 0], [0, a, 0], [0, 0, a]], species, positions)


def rock_salt(a, cation, anion):
    shifted = [((x + 0.5) % 1, y, z) for x, y, z in FCC]
    return cubic(a, [cation] * 4 + [anion] * 4, [*FCC, *shifted])


def perovskite(a, first, second, anion):
    faces = [(0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)]
    return cubic(a, [first, second, *[anion] * 3], [(0, 0, 0), (0.5, 0.5, 0.5), *faces])


def double_perovskite(a):
    """Elpasolite: K8c, Na4a, Al4b, F24e, x = 0.22."""
    quarters = [(x, y, z) for x in (0.25, 0.75) for y in (0.25, 0.75) for z in (0.25, 0.75)]
    species, sites = ["K"] * 8, list(quarters)
    for fx, fy, fz in FCC:
        species += ["Na", "Al"]
        sites += [(fx, fy, fz), (fx + 0.5, fy, fz)]
        for axis in range(3):
            for sign in (1, -1):
                shift = [0.0, 0.0, 0.0]
                shift[axis] = sign * 0.22
                species.append("F")
                sites.append((fx + 0.5 + shift[0], fy + shift[1], fz + shift[2]))
    return cubic(a, species, sites)


def layered():
    """LiCoO2, hexagonal cell (a = 2.816 Å, c = 14.05 Å, z(O) = 0.24)."""
    a, c, z = 2.816, 14.05, 0.24
    lattice = [[a, 0, 0], [-a / 2, a * 3**0.5 / 2, 0], [0, 0, c]]
    centred = [(0.0, 0.0, 0.0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)]
    sites, species = [], []
    for x, y, w in centred:
        for symbol, height in (("Co", 0.0), ("Li", 0.5), ("O", z), ("O", -z)):
            species.append(symbol)
            sites.append((x, y, w + height))
    return Crystal.from_arrays(lattice, species, sites)


#: crystal, space group, symbol, formation energy, energy above hull, decomposition, grade, generator
ROWS = (
    (layered(), 166, "R-3m", -1.72, -0.0123, (("CoO", 0.5), ("Li2O2", 0.5)), Grade.NEW_FORMULA, "substitution"),
    (perovskite(3.905, "Sr", "Ti", "O"), 221, "Pm-3m", -3.52, 0.0, (("SrO", 0.4), ("TiO2", 0.6)),
     Grade.OTHER_STRUCTURE, "prototypes"),
    (rock_salt(5.6402, "Na", "Cl"), 225, "Fm-3m", -2.0, 0.0254, (("Na", 0.5), ("NaCl3", 0.5)),
     Grade.KNOWN_FORMULA, "random-symmetric"),
    (double_perovskite(8.12), 225, "Fm-3m", -3.01, 0.0481, (("KF", 0.4), ("NaF", 0.2), ("AlF3", 0.4)),
     Grade.NEW_FORMULA, "substitution"),
    (perovskite(4.0, "Ba", "Ti", "O"), 221, "Pm-3m", -3.4, 0.1312, (("BaO", 0.4), ("TiO2", 0.6)),
     Grade.KNOWN_STRUCTURE, "random-symmetric"),
)  # fmt: skip

PHASES = {
    "CoO": -1.1, "Li2O2": -1.65, "Li2O": -2.07, "Co3O4": -1.2, "Li6CoO4": -1.9, "LiO2": -0.9,
    "SrO": -3.1, "TiO2": -3.5, "Ti2O3": -3.3, "Sr2TiO4": -3.45, "BaO": -2.8, "Ba2TiO4": -3.3, "SrO2": -2.2,
    "NaCl": -2.025, "NaCl3": -1.0, "KF": -2.94, "NaF": -2.97, "AlF3": -3.95, "KAlF4": -3.4, "Na3AlF6": -3.4,
    "K3AlF6": -3.35,
}  # fmt: skip

#: Predicted properties of one row: value, one standard deviation, whether the model knows such crystals.
PREDICTED = {
    "formation_energy": (-3.48, 0.05, True),
    "band_gap": (2.13, 0.4, True),
    "bulk_modulus": (171.4, 12.0, True),
    "dielectric_constant": (6.12, 0.7, False),
}


def ranked_rows():
    rows = []
    for rank, (crystal, number, symbol, energy, above, decomposition, grade, generator) in enumerate(ROWS, start=1):
        formula = crystal.composition.formula
        rows.append(
            RankedCrystal(
                rank=rank,
                id=f"{formula}-{crystal.content_id[:10]}",
                crystal=crystal,
                proposed=replace(crystal, lattice=tuple(tuple(1.02 * x for x in v) for v in crystal.lattice)),
                spacegroup=number,
                spacegroup_symbol=symbol,
                formation_energy_ev_per_atom=energy,
                energy_above_hull_ev_per_atom=above,
                decomposition=decomposition,
                novelty=Novelty(grade, f"mp-{1000 + rank}", "Ca(HO)2", 0.031, "No table at hand lists this formula."),
                lineage=Lineage(
                    generator,
                    move="Na -> K in mp-1234",
                    parents=("mp-1234",),
                    gene=Gene(225, (Orbit("Na", 4, "a"), Orbit("Cl", 4, "b"))),
                    scores=(("substitution_log_probability", -2.31),),
                ),
                max_force_ev_per_a=0.043,
                n_steps=17 + rank,
                doubts=("Cobalt is magnetic; the potential knows one ordering only.",) if rank == 1 else (),
                properties=PREDICTED if rank == 2 else None,
            )
        )
    return tuple(rows)
