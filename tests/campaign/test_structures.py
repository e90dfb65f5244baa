"""Crystals from a folder go down the ladder like those of any proposer, and the folder cannot change unnoticed."""

import csv
from itertools import pairwise

import numpy as np
import pytest

from novalith.campaign.discover import discover
from novalith.campaign.gather import gather
from novalith.campaign.plan import Plan
from novalith.campaign.summary import summary_text
from novalith.data.writers import write_cif
from novalith.errors import CampaignError, ContradictionError, EmptyResultError, UnknownNameError
from novalith.materials import Candidate, Crystal, Lineage
from novalith.propose.request import parse_request
from novalith.propose.sampling import write_sample
from novalith.propose.structures import NAME, Structures, read_given
from novalith.screen.cell import CellSanity
from novalith.screen.distances import Distances


def cubic(a, species, sites):
    return Crystal.from_arrays(np.eye(3) * a, species, sites)


def caesium_chloride(a, first, second):
    return cubic(a, [first, second], [(0, 0, 0), (0.5, 0.5, 0.5)])


def rock_salt(a, first, second):
    fcc = np.array([(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])
    shifted = (fcc + np.array([0.5, 0, 0])) % 1
    return cubic(a, [first] * 4 + [second] * 4, [*fcc, *shifted])


MADE = {
    "good": caesium_chloride(3.85, "K", "Br"),  # known as rock salt alone
    "touching": caesium_chloride(1.2, "Rb", "I"),
    "table_salt": rock_salt(5.69, "Na", "Cl"),  # a known structure, and a conventional cell of eight atoms
    "radon": caesium_chloride(4.0, "Rn", "O"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("given") / "cifs"
    out.mkdir()
    for name, crystal in MADE.items():
        write_cif(crystal, out / f"{name}.cif", symprec=0.1, name=name, notes=())
    (out / "broken.cif").write_text("data_broken\n_cell_length_a three\n", encoding="utf-8")
    return out


def plan(folder, **changes):
    return Plan(
        **{"ask": "", "generators": (NAME,), "structures": str(folder), "budget": 5, "hidden": ("KBr",)} | changes
    )


def test_a_folder_of_many_systems_is_screened_relaxed_ranked_and_resumed(folder, tmp_path):
    out = tmp_path / "run"
    record = discover(plan(folder), out, workers=1)
    assert [row.crystal.composition.formula for row in record.ranked] == ["KBr"]
    assert record.ranked[0].spacegroup == 221
    assert record.title == str(folder)
    assert {s for p in record.competing for s in p.composition.field.elements} == {"K", "Br"}  # no other hull is needed
    stages = {stage.name: stage for stage in record.funnel}
    assert stages["reading"].entered == len(MADE) + 1
    for before, after in zip(record.funnel, record.funnel[1:], strict=False):
        assert after.entered == before.kept, (before.name, after.name)
    with (out / "rejected.csv").open(encoding="utf-8") as lines:
        stopped = {row["formula"] or row["id"]: row["stage"] for row in csv.DictReader(lines)}
    assert stopped == {"broken": "reading", "RnO": "request", "RbI": "cell", "NaCl": "known structure"}
    assert "Of 5 structures given, 1 could not be read and 0 came after the budget" in summary_text(record)
    table = (out / "candidates.csv").read_bytes()
    assert discover(plan(folder), out, workers=1) == record
    assert (out / "candidates.csv").read_bytes() == table


def test_a_folder_that_changed_belongs_to_another_campaign_and_its_recipe_is_cited(tmp_path):
    made = Candidate(MADE["good"], Lineage("court", move="drawn"))
    write_sample([made], tmp_path / "drawn")
    small = plan(tmp_path / "drawn", budget=1)
    record = discover(small, tmp_path / "run", workers=1)
    assert "court" in record.cited
    assert "structures given" not in summary_text(record)
    changed = caesium_chloride(3.9, "K", "Br")
    write_cif(changed, tmp_path / "drawn" / "structures" / f"{made.id}.cif", symprec=0.1, name=made.id, notes=())
    with pytest.raises(CampaignError, match="data card structures"):
        discover(small, tmp_path / "run", workers=1)


def test_a_system_that_is_asked_for_stops_all_others(folder, tmp_path):
    record = discover(plan(folder, ask="K-Br"), tmp_path / "run", workers=1)
    assert {row.crystal.composition.formula for row in record.ranked} == {"KBr"}
    assert sum({s.name: s for s in record.funnel}["request"].rejected.values()) == 3


def test_the_table_of_a_sample_says_who_made_each_crystal(tmp_path):
    made = Candidate(rock_salt(6.7, "K", "Br"), Lineage("court", move="drawn for -2 eV/atom"))
    write_sample([made], tmp_path / "drawn")
    given = read_given(tmp_path / "drawn")
    assert [(g.id, g.generator, g.move) for g in given.crystals] == [(made.id, "court", "drawn for -2 eV/atom")]
    proposed = list(Structures(given).propose(parse_request("KBr"), np.random.default_rng(0)))
    assert [c.crystal.n_atoms for c in proposed] == [2]  # the primitive cell of eight atoms
    assert proposed[0].lineage.generator == "court"
    assert proposed[0].lineage.move.startswith("drawn for -2 eV/atom")


def test_the_order_is_drawn_and_repeats_itself(folder):
    def order(seed):
        proposed = Structures(read_given(folder)).propose(parse_request("KBr"), np.random.default_rng(seed))
        return [c.crystal.composition.formula for c in proposed]

    assert order(0) == order(0)
    assert sorted(order(0)) == sorted(order(1)) == ["KBr", "NaCl", "RbI", "RnO"]
    assert len({tuple(order(seed)) for seed in range(6)}) > 1


def test_what_does_not_fit_together_is_refused(folder, tmp_path):
    with pytest.raises(ContradictionError, match="belong together"):
        Plan(ask="K-Br", structures=str(folder))
    with pytest.raises(ContradictionError, match="belong together"):
        Plan(ask="K-Br", generators=(NAME,))
    with pytest.raises(ContradictionError, match="only given structures"):
        Plan(ask="", generators=(NAME, "prototypes"), structures=str(folder))
    with pytest.raises(UnknownNameError, match="structures"):
        Plan(ask="K-Br", generators=("structure",), structures=str(folder))
    (tmp_path / "broken.cif").write_text("data_broken\n_cell_length_a three\n", encoding="utf-8")
    with pytest.raises(EmptyResultError, match="None of the 1 structures"):
        discover(plan(tmp_path), tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("budget", [1, 3, 9])
def test_structures_beyond_the_budget_are_counted(folder, tmp_path, budget):
    many = tmp_path / "many"
    many.mkdir()
    for i, first in enumerate(("K", "Rb", "Cs", "Na", "Li")):
        write_cif(caesium_chloride(3.8 + i / 10, first, "Br"), many / f"{first}.cif", symprec=0.1, name=first, notes=())
    for path in folder.iterdir():
        (many / f"other_{path.name}").write_bytes(path.read_bytes())
    given = read_given(many)
    asked = plan(many, budget=budget, keep_known=True)
    request = asked.request(("K", "Rb", "Cs", "Na", "Li", "Br", "Cl", "I"))
    made = gather(asked, request, [Structures(given)], (CellSanity(), Distances()), None)
    made.funnel.refuse("reading", given.refused)
    stages = made.funnel.summary()
    assert stages[0].entered == len(list(many.iterdir())) == 10
    for before, after in pairwise(stages):
        assert after.entered == before.kept, (before.name, after.name)
    assert stages[-1].kept == len(made.queue) == min(budget, 6)
    left = [r for r in made.funnel.rejections if r.stage == "budget"]
    assert all(f"budget of {budget} relaxations" in r.reason for r in left)
    assert bool(left) == (budget < 6)
