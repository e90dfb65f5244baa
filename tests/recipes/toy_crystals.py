"""A model of crystals whose answers are known: caesium chloride cells, their codes plain numbers.

code = (x, y, e, 0, 0, 0),   a = 4 + e Å,   first element by x, second by y; undecodable where a is not in 2 to 8 Å
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from novalith.materials import Crystal, Verdict
from novalith.recipes.crystal_models import (
    CodeImages,
    CrystalModel,
    check_request,
    codes_around,
    encodable,
)
from novalith.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

FIRST, SECOND = ("Li", "Na", "K", "Rb", "Cs"), ("F", "Cl", "Br", "I")
N_LATENT = 6


def cell(a, first, second):
    return Crystal.from_arrays(np.eye(3) * a, [first, second], [(0, 0, 0), (0.5, 0.5, 0.5)])


class ToyModel(CrystalModel):
    name = "toy"
    honours = frozenset({"targets", "around", "family"})

    def __init__(self, codes, energies, formulas):
        self.targets, self.families = ("formation_energy",), ("caesium chloride",)
        self.training_codes = codes
        self.training_labels = {"formation_energy": energies}
        self.training_formulas = tuple(formulas)

    def check(self, crystal):
        if crystal.n_atoms != 2:
            return Verdict(False, "sites", f"{crystal.n_atoms} sites; expected 2.")
        known = set(crystal.species) & set(FIRST) and set(crystal.species) & set(SECOND)
        return Verdict(bool(known), "elements", f"{crystal.composition} is not of these elements.")

    def encode(self, crystals, targets=None):
        del targets
        encodable(self, crystals)
        codes = np.zeros((len(crystals), N_LATENT), dtype=np.float32)
        for row, crystal in zip(codes, crystals, strict=True):
            cation, anion = sorted(crystal.species, key=lambda s: s in SECOND)
            row[:3] = FIRST.index(cation), SECOND.index(anion), crystal.volume ** (1 / 3) - 4.0
        return codes

    def decode(self, codes, request):
        check_request(self, request)
        return [self._decoded(np.asarray(code, dtype=float)) for code in codes]

    def _decoded(self, code):
        a = 4.0 + code[2]
        if not np.isfinite(code).all() or not 2.0 <= a <= 8.0:
            return Verdict(False, "cell", f"An edge of {a:g} Å is not in 2 to 8 Å.")
        places = (min(max(round(x), 0), n - 1) for x, n in zip(code[:2], (len(FIRST), len(SECOND)), strict=True))
        i, j = places
        return cell(a, FIRST[i], SECOND[j])

    def sample(self, n, request, *, rng):
        check_request(self, request)
        if request.around is not None:
            codes = codes_around(self, request, n, rng=rng)
        else:
            codes = rng.uniform([0, 0, -2.5, 0, 0, 0], [4, 3, 4.5, 1, 1, 1], (n, N_LATENT))
        return self.decode(codes, request)

    def images(self, codes, request):
        check_request(self, request)
        ramp = np.linspace(0, 1, 8, dtype=np.float32)
        cube = ramp[:, None, None] * ramp[:, None] * ramp
        return [CodeImages("density (e/Å³)", cube * np.abs(codes[:, 2]).astype("f4")[:, None, None, None], 8.0)]

    def save(self, path: Path):
        tensors = {"codes": self.training_codes, "formation_energy": self.training_labels["formation_energy"]}
        save_checkpoint(Checkpoint(self.name, tensors, {}, {"formulas": list(self.training_formulas)}), path)

    @classmethod
    def load(cls, path: Path):
        stored = load_checkpoint(path, cls.name)
        return cls(stored.tensors["codes"], stored.tensors["formation_energy"], stored.vocabulary["formulas"])


def toy_model():
    rng = np.random.default_rng(0)
    codes = rng.uniform([0, 0, -0.5, 0, 0, 0], [4, 3, 2.5, 0.2, 0.2, 0.2], (60, N_LATENT)).astype(np.float32)
    formulas = [f"{FIRST[round(float(x))]}{SECOND[round(float(y))]}" for x, y, *_ in codes]
    return ToyModel(codes, (-1.0 - codes[:, 0]).astype(np.float32), formulas)


#: For `novalith.recipes.crystal_models.MODELS` in tests.
ENTRY = {"toy": ("toy_crystals", "ToyModel")}
