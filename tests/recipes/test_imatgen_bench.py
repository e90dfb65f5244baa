"""The bench of iMatGen counts every draw once and finds known crystals where they are."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import parquet

from novalith.data.library import Library
from novalith.materials import Crystal, PhaseField, Verdict
from novalith.recipes.imatgen import SIZES
from novalith.recipes.imatgen_bench import (
    Draws,
    Known,
    draw,
    found_again,
    head_records,
    known_crystals,
    novelty_record,
    set_record,
    way_records,
)
from novalith.recipes.imatgen_codes import WaveCodes
from novalith.recipes.imatgen_judging import Errors, HeldOut
from novalith.recipes.latent_draws import WAYS
from novalith.recipes.substituted_training_set import LabelledCrystal, TrainingSet
from novalith.recipes.voxel_bench import VoxelBench
from novalith.represent.cell_images import CellImages

BENCH = VoxelBench(None, Path("unused"), n=24, size="tiny")


@cache
def oxides():
    """Bundled binary oxides with V in the place of their metal."""
    found = []
    for known in Library().structures:
        crystal, elements = known.crystal, set(known.crystal.species)
        if len(elements) == 2 and "O" in elements and CellImages().check(crystal).passed:
            species = ["O" if s == "O" else "V" for s in crystal.species]
            found.append(Crystal.from_arrays(crystal.lattice, species, crystal.frac_coords))
    return found[:30]


def labelled(crystal, id_, above):
    return LabelledCrystal(id_, crystal, id_, "by hand", -1.0, above, "converged")


@cache
def drawn():
    crystals = [labelled(c, str(i), 0.05) for i, c in enumerate(oxides())]
    return draw(crystals, replace(SIZES["tiny"], n_latent=500), WaveCodes(), BENCH, lambda _: None)


def _larger(crystal):
    return Crystal.from_arrays(1.05 * np.asarray(crystal.lattice), crystal.species, crystal.frac_coords)


def test_every_draw_is_counted_in_one_way():
    records = way_records(drawn())
    assert [r["way"] for r in records] == [*WAYS, "all"]
    assert sum(r["draws"] for r in records[:-1]) == records[-1]["draws"] == BENCH.n
    assert records[-1]["decoded"] == sum(isinstance(o, Crystal) for o in drawn().outcomes)
    assert 0 < records[-1]["sound, both elements"] <= records[-1]["above 0.6 radii"] <= records[-1]["decoded"]


def test_unique_draws_are_known_or_new():
    record = novelty_record(drawn(), BENCH)
    parts = ("of them known structure", "new polymorph of a known formula", "new composition")
    assert sum(record[p] for p in parts) == record["unique"] <= record["compared"]


def test_known_crystals_are_found_whatever_their_size_and_others_are_not():
    known = [Known(str(i), c, str(i)) for i, c in enumerate(oxides()[:6])]
    assert len(found_again([_larger(k.crystal) for k in known], known)) == len(known)
    salt = Crystal.from_arrays(np.eye(3) * 4.0, ["V", "O"], [[0, 0, 0], [0.1, 0.1, 0.5]])
    assert found_again([salt], known) == set()


def test_known_crystals_come_from_the_public_table_where_there_is_one(tmp_path):
    bundled = known_crystals(None)
    assert {"V2O3"} <= {k.crystal.composition.formula for k in bundled} <= {"V2O3", "V2O5", "V3O5", "V8O"}
    rows = {
        "material_id": ["mp-1", "mp-2"],
        "chemsys": ["O-V", "Na-O"],
        "cif": [oxides()[0].to_structure().to(fmt="cif")] * 2,
    }
    parquet.write_table(pyarrow.table(rows), tmp_path / "mp_structures.parquet")
    found = known_crystals(tmp_path)
    assert [k.id for k in found] == ["mp-1"]
    assert found_again([oxides()[0]], found) == {f"{oxides()[0].composition.formula} (mp-1)"}


def test_two_atoms_on_one_place_are_not_sound():
    on_top = Crystal.from_arrays(np.eye(3) * 5.0, ["V", "O"], [[0, 0, 0], [0.01, 0, 0]])
    outcomes = (on_top, Verdict(False, "imatgen", "none"), oxides()[0])
    draws = Draws(drawn().model, outcomes, np.zeros(3, dtype=int), (0.0, 0.0))
    assert draws.sound == [2]


def test_the_head_is_judged_beside_the_composition_alone():
    crystals = tuple(labelled(c, str(i), 0.05 if i % 2 else 0.5) for i, c in enumerate(oxides()))
    right = np.array([0.9 if c.energy_above_hull_ev_per_atom < 0.1 else 0.1 for c in crystals], dtype=np.float32)
    errors = tuple(Errors(0.0, 0.0, 0.0) for _ in crystals)
    records = head_records([HeldOut(crystals, errors, errors, s) for s in (right, 1 - right)])
    assert [r["AUC head"] for r in records] == [1.0, 0.0, 0.5]
    assert records[-1]["crystals"] == 2 * len(crystals)


def test_a_set_is_summed_up():
    crystals = tuple(labelled(c, str(i), 0.05) for i, c in enumerate(oxides()))
    rejected = (("a", Verdict(False, "hull", "high")), ("b", Verdict(False, "hull", "high")))
    record = set_record(TrainingSet(PhaseField.parse("V-O"), crystals, rejected, 30, "none"))
    assert record["kept"] == record["within 0.1 eV/atom"] == len(oxides())
    assert record["left out: hull"] == 2
