"""How well images come back, and how well the head tells stable from unstable, on prototypes that were held out.

    atoms    max over atoms |r'_i - r_i| (Å) about the middle of the crystal, atoms of an element paired for the least
             sum of squares; infinite where a number of atoms is wrong
    edges    max |a' - a| (Å);   angles  max |alpha' - alpha| (degrees)
    AUC      share of pairs (stable, unstable) that the head puts in order (Mann and Whitney, 1947)

The prototype of a crystal is the skeleton of the structure whose elements were replaced: its space group and occupied
positions without names of elements. All crystals of one prototype are on one side of a split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.library import Library
from novalith.materials import Crystal, Verdict
from novalith.recipes.imatgen import STABLE_EV_PER_ATOM, Imatgen, ImatgenSettings, train_imatgen
from novalith.recipes.imatgen_codes import ImageCodes, crystal_codes, point_sets
from novalith.recipes.substituted_training_set import LabelledCrystal, TrainingSet
from novalith.represent.point_cloud import cell_parameters
from novalith.represent.voxels import upright

#: Published criteria: atoms and edges in Å, angles in degrees.
ATOMS_A, EDGES_A, ANGLES_DEG = 0.2, 0.1, 2.0
#: A held-out part is one of so many.
N_PARTS = 5


@dataclass(frozen=True)
class Errors:
    """What a reconstruction misses.

    Attributes:
        atoms_a: largest displacement; infinite where a number of atoms is wrong.
        edges_a: largest error of an edge.
        angles_deg: largest error of an angle.
    """

    atoms_a: float
    edges_a: float
    angles_deg: float


def reconstruction_errors(
    codes: ImageCodes, rows: NDArray[np.floating[Any]], crystals: Sequence[Crystal], elements: Sequence[str]
) -> list[Errors]:
    """Errors of the crystals that codes (n, k * n_basis + n_cell) stand for."""
    k = len(elements)
    sets = codes.positions(rows[:, : k * codes.n_basis].reshape(-1, codes.n_basis))
    cells = codes.cells(rows[:, k * codes.n_basis :])
    answers = []
    for i, crystal in enumerate(crystals):
        true = point_sets(crystal, elements)
        atoms = max(_displacement(a, b) for a, b in zip(sets[i * k : (i + 1) * k], true, strict=True))
        cell = cells[i]
        wrong = np.full(6, np.inf)
        if not isinstance(cell, Verdict):
            wrong = np.abs(cell - np.concatenate(cell_parameters(upright(crystal))))
        answers.append(Errors(atoms, float(wrong[:3].max()), float(wrong[3:].max())))
    return answers


def _displacement(found: NDArray[np.float64] | Verdict, true: NDArray[np.float64]) -> float:
    from scipy.optimize import linear_sum_assignment

    if isinstance(found, Verdict) or len(found) != len(true):
        return float("inf")
    if not len(true):
        return 0.0
    distances = np.linalg.norm(found[:, None] - true, axis=2)
    return float(distances[linear_sum_assignment(distances**2)].max())


def shares_within(errors: Sequence[Errors]) -> dict[str, float]:
    """Shares within each published criterion, and within all at once."""
    atoms = np.array([e.atoms_a <= ATOMS_A for e in errors])
    edges = np.array([e.edges_a <= EDGES_A for e in errors])
    angles = np.array([e.angles_deg <= ANGLES_DEG for e in errors])
    return {
        "atoms": float(atoms.mean()),
        "edges": float(edges.mean()),
        "angles": float(angles.mean()),
        "all": float((atoms & edges & angles).mean()),
    }


def prototypes(crystals: Sequence[LabelledCrystal], library: Library) -> list[str]:
    """The prototype of each crystal; the id of what it was made from where the library does not know that."""
    skeletons = {s.id: repr(s.gene.skeleton) for s in library.structures}
    return [skeletons.get(c.template, c.template) for c in crystals]


def parts_by_prototype(names: Sequence[str], n_parts: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) the part of each crystal; crystals of one prototype share theirs."""
    kinds = sorted(set(names))
    part = dict(zip(kinds, (rng.permutation(len(kinds)) % n_parts).tolist(), strict=True))
    return np.array([part[name] for name in names])


def auc(scores: NDArray[np.floating[Any]], labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve; NaN where all labels are equal. Equal scores count half."""
    positive, negative = scores[labels], scores[~labels]
    if not len(positive) or not len(negative):
        return float("nan")
    difference = positive[:, None] - negative
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a model trained without a part of the prototypes says of that part.

    Attributes:
        crystals: of the part.
        errors_codes: of their images and codes alone.
        errors: after the autoencoder of codes as well.
        scores: of the head.
    """

    crystals: tuple[LabelledCrystal, ...]
    errors_codes: tuple[Errors, ...]
    errors: tuple[Errors, ...]
    scores: NDArray[np.float32]

    @property
    def stable(self) -> NDArray[np.bool_]:
        """Whether each crystal is at most `STABLE_EV_PER_ATOM` above the hull."""
        return np.array([c.energy_above_hull_ev_per_atom <= STABLE_EV_PER_ATOM for c in self.crystals])


def held_out(
    training: TrainingSet, settings: ImatgenSettings, codes: ImageCodes, *, n_parts: int = N_PARTS,
    parts: Sequence[int] = (0,), seed: int = 0,
) -> list[HeldOut]:  # fmt: skip
    """Train without one part of the prototypes and judge on it, for each of some parts."""
    elements = training.field.elements
    names = prototypes(training.crystals, Library())
    part_of = parts_by_prototype(names, n_parts, rng=np.random.default_rng(seed))
    answers = []
    for part in parts:
        learned = [c for c, p in zip(training.crystals, part_of, strict=True) if p != part]
        model, _ = train_imatgen(learned, training.field, settings, codes, rng=np.random.default_rng(seed))
        aside = [c for c, p in zip(training.crystals, part_of, strict=True) if p == part]
        aside = [c for c in aside if model.check(c.crystal).passed]
        answers.append(_judge(model, aside, elements))
    return answers


def _judge(model: Imatgen, aside: Sequence[LabelledCrystal], elements: Sequence[str]) -> HeldOut:
    crystals = [c.crystal for c in aside]
    rows = crystal_codes(model.codes, crystals, elements)
    latent = model.vae.encode(rows)
    return HeldOut(
        tuple(aside),
        tuple(reconstruction_errors(model.codes, rows, crystals, elements)),
        tuple(reconstruction_errors(model.codes, model.vae.decode(latent), crystals, elements)),
        model.vae.stability(latent),
    )


def held_out_figures(
    training: TrainingSet, settings: ImatgenSettings, codes: ImageCodes, *, seed: int
) -> Mapping[str, float]:
    """Figures of one held-out fifth, for the summary of a training; empty where too few crystals are left."""
    from novalith.errors import InputError

    try:
        judged = held_out(training, settings, codes, seed=seed)[0]
    except InputError:  # four fifths of a very small set are no training set
        return {}
    if not judged.crystals:
        return {}
    shares = shares_within(judged.errors)
    figures = {f"held_out_{name}_share": value for name, value in shares.items()}
    score = auc(judged.scores, judged.stable)
    return figures if np.isnan(score) else figures | {"held_out_stable_auc": score}
