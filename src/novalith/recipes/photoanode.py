"""From a trained point-cloud network to a short list of photoanode candidates: drawn, relaxed, screened.

    draw -> distances -> relax -> unique -> energy above the hull -> band gap

Kim et al. (ACS Cent. Sci. 6, 1412, 2020) screened Mg-Mn-O crystals of their network for oxide photoanodes by stability
and band gap computed with DFT. Here the energies are the default potential's against the bundled table, and the gap is
the shipped composition model's, which knows formulas and not structures and whose semilocal gaps are too small by some
40 %: a pointer, not a verdict. Stability in water (a Pourbaix diagram), their last filter, is not computed. Every
product drawn ends in one row, kept or rejected with its reason.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from novalith.data.library import Library
from novalith.data.writers import write_cif
from novalith.materials import Candidate, Composition, Crystal, Lineage
from novalith.propose.sampling import SCREENED, STRUCTURES, check_sample_folder, clear_sample
from novalith.recipes.composition_predictors import default_predictor
from novalith.recipes.point_cloud_gan import NAME, PointCloudGan
from novalith.recipes.points_judging import LOOSE_RATIO, product_records, relax_products
from novalith.represent.formula_table import read_formulas
from novalith.represent.gene import SYMPREC
from novalith.screen.distances import Distances
from novalith.screen.duplicates import group_duplicates
from novalith.store.files import make_folder, write_atomic

TABLE = SCREENED


@dataclass(frozen=True)
class PhotoanodeLimits:
    """What is asked of the network, and what a candidate must satisfy.

    Attributes:
        max_above_hull_ev_per_atom: the limit usual for oxides that may still be made.
        gap_ev: range of band gaps kept, eV, on the scale of the composition model: 1.2 to 4 eV less 40 %.
        ask_ev_per_atom: formation energy asked of a network that was trained with it; None asks for none.
    """

    max_above_hull_ev_per_atom: float = 0.08
    gap_ev: tuple[float, float] = (0.7, 2.5)
    ask_ev_per_atom: float | None = None


@dataclass(frozen=True)
class PhotoanodeRow:
    """What became of one product.

    Attributes:
        id: of the crystal as relaxed; empty where there is none.
        formula: reduced formula asked for.
        kept: whether it is a candidate.
        reason: why not.
        energy_above_hull_ev_per_atom: None where the relaxation did not converge.
        band_gap_ev: by the composition model; None where it was not asked.
        band_gap_uncertainty_ev: one standard deviation.
        spacegroup: after relaxation; 0 where there is none.
        spacegroup_drawn: as drawn, at a tolerance of `novalith.recipes.points_judging.DRAWN_SYMPREC_A`.
        of_the_radii: tightest contact as drawn over the sum of the covalent radii.
        volume_change_percent: by relaxation.
        rms_move_a: root-mean-square move of the atoms by relaxation, Å.
    """

    id: str
    formula: str
    kept: bool
    reason: str
    energy_above_hull_ev_per_atom: float | None = None
    band_gap_ev: float | None = None
    band_gap_uncertainty_ev: float | None = None
    spacegroup: int = 0
    spacegroup_drawn: int = 0
    of_the_radii: float | None = None
    volume_change_percent: float | None = None
    rms_move_a: float | None = None


def screen_photoanodes(
    model: PointCloudGan,
    cells: Sequence[Composition],
    n_draws: int,
    folder: Path,
    limits: PhotoanodeLimits = PhotoanodeLimits(),
    *,
    rng: np.random.Generator,
) -> list[PhotoanodeRow]:
    """Draw, relax and screen; writes `TABLE` and `structures/ID.cif` of the kept ones, in the place of earlier ones.

    Args:
        model: trained.
        cells: contents of the cells to ask for.
        n_draws: products of each.
        folder: to write to; relaxations are kept in `relax` below it and not repeated.
        limits: what to keep.
        rng: same seed, same products.

    Raises:
        CampaignError: structures lie in the folder that no sample wrote; nothing was changed.
    """
    structures = make_folder(folder / STRUCTURES)
    check_sample_folder(folder)
    rows: list[PhotoanodeRow] = []
    crystals: list[Crystal] = []
    rule = Distances(LOOSE_RATIO)
    for cell in cells:
        for drawn in model.draw(cell, n_draws, limits.ask_ev_per_atom, rng=rng):
            if not isinstance(drawn.crystal, Crystal):
                rows.append(PhotoanodeRow("", cell.formula, False, drawn.crystal.reason))
            elif not drawn.as_asked:
                rows.append(PhotoanodeRow("", cell.formula, False, f"{drawn.crystal.composition} came instead."))
            elif not (verdict := rule.check(drawn.crystal)).passed:
                rows.append(PhotoanodeRow("", cell.formula, False, verdict.reason))
            else:
                crystals.append(drawn.crystal)
    judged, kept = _judged(crystals, folder, limits)
    rows += judged
    clear_sample(folder)
    text = io.StringIO()
    table = csv.DictWriter(text, list(PhotoanodeRow.__dataclass_fields__), lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    write_atomic(folder / TABLE, text.getvalue())
    for candidate in kept:
        path, notes = structures / f"{candidate.id}.cif", (f"made by {NAME}, relaxed",)
        write_cif(candidate.crystal, path, symprec=SYMPREC, name=candidate.id, notes=notes)
    return rows


def _judged(
    crystals: Sequence[Crystal], folder: Path, limits: PhotoanodeLimits
) -> tuple[list[PhotoanodeRow], list[Candidate]]:
    """A row for each crystal, and the relaxed crystals that are kept."""
    products = relax_products(crystals, Library(), 1, folder / "relax")
    judged = product_records(products)
    first = group_duplicates([p.final for p in products]) if products else []
    formulas = [p.final.composition.formula for p in products]
    gaps = default_predictor().predict(read_formulas(formulas), "band_gap") if products else None
    low, high = limits.gap_ev
    rows, kept = [], []
    for i, product in enumerate(products):
        candidate = Candidate(product.final, Lineage(NAME))
        above = product.energy_above_hull_ev_per_atom
        gap = float(gaps.value[i]) if gaps is not None else float("nan")
        spread = float(gaps.uncertainty[i]) if gaps is not None and gaps.uncertainty is not None else None
        reason = ""
        if above is None:
            reason = "The relaxation did not converge to a sane energy."
        elif first[i] != i:
            reason = "The same crystal as an earlier one."
        elif above > limits.max_above_hull_ev_per_atom:
            reason = f"{above:.3f} eV/atom above the hull; at most {limits.max_above_hull_ev_per_atom:g} is kept."
        elif not low <= gap <= high:
            reason = f"A band gap of {gap:.2f} eV; {low:g} to {high:g} is kept."
        if not reason:
            kept.append(candidate)
        told = judged[i]
        rows.append(
            PhotoanodeRow(
                candidate.id,
                formulas[i],
                not reason,
                reason,
                above,
                gap,
                spread,
                told["spacegroup_relaxed"],
                told["spacegroup_drawn"],
                told["of_the_radii"],
                told["volume_change_percent"],
                told["rms_move_a"],
            )
        )
    return rows, kept


def told(rows: Sequence[PhotoanodeRow]) -> str:
    """How many were kept, and why the others were not, in one line each."""
    kinds = Counter(_kind(row.reason) for row in rows if not row.kept)
    kept = sum(row.kept for row in rows)
    return "\n".join([f"{len(rows)} drawn, {kept} kept", *(f"  {n} {kind}" for kind, n in kinds.most_common())])


def _kind(reason: str) -> str:
    words = ("above the hull", "band gap", "same crystal", "did not converge", "covalent radii", "came instead")
    return next((word for word in words if word in reason), "made no cell")
