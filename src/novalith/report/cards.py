"""What the card of one candidate shows, computed from its row of the record: numbers, figures, files."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup

from novalith.campaign.record import RankedCrystal, RunRecord
from novalith.materials import Crystal
from novalith.report.diffraction import powder_pattern
from novalith.report.figures.diffraction import diffraction_figure
from novalith.report.figures.hull import Diagram, Mark, decomposition_figure, hull_figure, make_diagram
from novalith.report.figures.phonons import phonon_figure
from novalith.report.scene import Scene, covalent_radius_a, element_colour, make_scene
from novalith.represent.gene import SYMPREC, primitive, symmetrised
from novalith.stability.checks import Finding

#: A conventional cell with more atoms than this is shown as the primitive cell.
MAX_SHOWN_ATOMS = 120

#: Rows of the table beyond this have no card: a card takes half a second and 50 kB.
MAX_CARDS = 40


@dataclass(frozen=True)
class CellRow:
    """Cell parameters for the reader.

    Attributes:
        lengths_a: a, b, c in Å.
        angles_deg: alpha, beta, gamma in degrees.
        volume_a3: Å3.
        n_atoms: in this cell.
        density_g_per_cm3: mass density.
        kind: "conventional" or "primitive".
    """

    lengths_a: tuple[float, float, float]
    angles_deg: tuple[float, float, float]
    volume_a3: float
    n_atoms: int
    density_g_per_cm3: float
    kind: str


@dataclass(frozen=True)
class Card:
    """Everything that the card of a candidate shows beside its row of the record.

    Attributes:
        row: the row.
        cell: the cell that is shown.
        legend: (symbol, colour) pairs.
        bond_method: how the bonds of the view were found.
        scene: the view as plain data for the page's script.
        hull: the hull diagram, None for one element or more than four.
        decomposition: the bar of decomposition products.
        diffraction: the powder pattern.
        volume_change: relative change of the volume per atom in relaxation.
        cif: data URI of the symmetrised CIF.
        cif_p1: data URI of the CIF without symmetry.
        findings: validations that were made on it.
        phonons: its phonon bands, None where they were not computed.
    """

    row: RankedCrystal
    cell: CellRow
    legend: tuple[tuple[str, str], ...]
    bond_method: str
    scene: dict[str, object]
    hull: Markup | None
    decomposition: Markup
    diffraction: Markup
    volume_change: float
    cif: str
    cif_p1: str
    findings: tuple[Finding, ...]
    phonons: Markup | None


def make_cards(record: RunRecord) -> tuple[Card, ...]:
    """The cards of the first `MAX_CARDS` ranked candidates, in their order."""

    @cache
    def diagram(elements: tuple[str, ...]) -> Diagram:
        return make_diagram(record.competing, elements)

    cards = []
    for row in record.ranked[:MAX_CARDS]:
        elements = row.crystal.composition.field.elements
        drawable = 2 <= len(elements) <= 4
        hull = hull_figure(diagram(elements), _mark(row)) if drawable else None
        cards.append(_card(row, hull, record.validations.get(row.id, ())))
    return tuple(cards)


def _card(row: RankedCrystal, hull: Markup | None, findings: tuple[Finding, ...]) -> Card:
    crystal, kind = _shown_cell(row.crystal)
    scene = make_scene(crystal)
    before = row.proposed.volume / row.proposed.n_atoms
    after = row.crystal.volume / row.crystal.n_atoms
    return Card(
        row=row,
        cell=_cell_row(crystal, kind),
        legend=tuple((symbol, element_colour(symbol)) for symbol in scene.elements),
        bond_method=scene.method,
        scene=scene_json(scene),
        hull=hull,
        decomposition=decomposition_figure(row.decomposition),
        diffraction=diffraction_figure(powder_pattern(symmetrised(row.crystal))),
        volume_change=after / before - 1,
        cif=_cif_uri(row, SYMPREC),
        cif_p1=_cif_uri(row, None),
        findings=findings,
        phonons=next((phonon_figure(f.bands) for f in findings if f.bands is not None), None),
    )


def _mark(row: RankedCrystal) -> Mark:
    return Mark(
        row.crystal.composition,
        row.formation_energy_ev_per_atom,
        row.energy_above_hull_ev_per_atom,
        tuple(formula for formula, _ in row.decomposition),
    )


def _shown_cell(crystal: Crystal) -> tuple[Crystal, str]:
    conventional = symmetrised(crystal)
    if conventional.n_atoms <= MAX_SHOWN_ATOMS:
        return conventional, "conventional"
    return primitive(crystal), "primitive"


def _cell_row(crystal: Crystal, kind: str) -> CellRow:
    structure = crystal.to_structure()
    return CellRow(
        lengths_a=structure.lattice.abc,
        angles_deg=structure.lattice.angles,
        volume_a3=crystal.volume,
        n_atoms=crystal.n_atoms,
        density_g_per_cm3=float(structure.density),
        kind=kind,
    )


def scene_json(scene: Scene) -> dict[str, object]:
    """A scene as lists of rounded numbers: atoms (element index, x, y, z), half bonds (atom index, x, y, z), cell."""
    elements: Sequence[str] = scene.elements
    return {
        "elements": [[s, element_colour(s), round(0.25 + 0.22 * covalent_radius_a(s), 3)] for s in elements],
        "atoms": [[elements.index(s), *_rounded(p)] for s, p in scene.atoms],
        "bonds": [[i, *_rounded(p)] for i, p in scene.bonds],
        "cell": [_rounded(v) for v in scene.cell],
    }


def _rounded(numbers: Sequence[float]) -> list[float]:
    return [0.0 if math.isclose(x, 0, abs_tol=5e-4) else round(x, 3) for x in numbers]


def _cif_uri(row: RankedCrystal, symprec: float | None) -> str:
    from novalith.data.writers import cif_text

    text = cif_text(row.crystal, symprec=symprec, name=row.id)
    return "data:chemical/x-cif;base64," + base64.b64encode(text.encode()).decode()
