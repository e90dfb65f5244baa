"""From formulas to monolayers: in = kept + rejected at every stage, and the same stream gives the same bytes."""

import csv
import itertools
import json

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.errors import ContradictionError, CorruptDataError, EmptyResultError, InputError
from novalith.materials import Composition
from novalith.propose.compositions import FormulaRequest
from novalith.propose.monolayers import layer_templates, moves, realise_layer
from novalith.recipes.formula_stream import BLOCK, FormulaBlock, drawn_blocks, file_blocks
from novalith.recipes.song_2d import LayerRow, Monolayers, Song2dOrder, _proposed, song_2d
from novalith.recipes.song_2d_formulas import screen_formulas
from novalith.recipes.song_2d_output import Song2dRun, records, tables, write_output
from novalith.recipes.two_dimensional_classifier import default_classifier
from novalith.represent.formula_table import read_formulas
from novalith.screen.chemistry import ChemistryOptions
from novalith.stability.cost import Limits

FORMULAS = ["WTe2", "W2Te4", "HfSe2", "NaCl", "Na2Cl", "what", "CdBr2", "BaTiO3", "TiBrN", "ZrClN", "Fe3Al"]


class Two:
    """A model that draws two formulas by turns, and counts its calls."""

    name = "two"
    calls = 0

    def draw(self, n, request, *, rng):  # noqa: ARG002  the contract's
        self.calls += 1
        return read_formulas([("NaCl", "MoS2")[i] for i in rng.integers(2, size=n)])


LIBRARY = Library()


def blocks():
    return [FormulaBlock(0, read_formulas(FORMULAS[:6])), FormulaBlock(6, read_formulas(FORMULAS[6:]))]


@pytest.fixture(scope="module")
def screened():
    return screen_formulas(blocks(), default_classifier(), ChemistryOptions(), 0.7)


@pytest.fixture(scope="module")
def templates():
    return layer_templates(LIBRARY)


def balanced(stages):
    for before, after in itertools.pairwise(stages):
        assert after.entered == before.kept
    for stage in stages:
        assert stage.entered == stage.kept + sum(stage.rejected.values())


def test_the_first_half_counts_every_formula(screened):
    balanced(screened.stages)
    first, second, _ = screened.stages
    assert first.entered == len(FORMULAS)
    assert dict(first.rejected) == {"no formula": 1, "met before": 1}
    assert sum(second.rejected.values()) == 2  # Na2Cl and Fe3Al
    kept = [screened.table.composition(i) for i in range(len(screened.table))]
    assert {Composition.parse(f) for f in ("WTe2", "HfSe2", "CdBr2")} <= set(kept)
    assert Composition.parse("BaTiO3") not in kept
    assert (np.diff(screened.scores) <= 0).all()


def test_the_threshold_table_counts_by_number_of_elements(screened):
    by_threshold = {r["s >="]: r for r in screened.threshold_records()}
    assert by_threshold[0.7]["total"] == len(screened.table)
    for record in by_threshold.values():
        assert record["total"] == sum(v for k, v in record.items() if k not in ("s >=", "total"))
    totals = [r["total"] for r in by_threshold.values()]
    assert totals == sorted(totals, reverse=True)


def test_layers_are_proposed_with_their_lineage_and_the_rest_has_reasons(screened, templates):
    order = Song2dOrder(threshold=0.7, top=1)
    rows, proposing, shortlisting = _proposed(screened, templates, order)
    balanced([proposing, shortlisting])
    assert proposing.entered == len(screened.table)
    assert len(rows) == shortlisting.kept == 1
    assert rows[0].candidate.lineage.parents
    assert dict(rows[0].candidate.lineage.scores)["classifier_score"] == rows[0].score
    assert shortlisting.rejected["less likely than the shortlist"] == proposing.kept - 1


def test_the_folder_holds_the_table_the_funnel_and_the_structures(screened, templates, tmp_path):
    move = moves(templates, screened.table.composition(0))[0]
    candidate, layer = realise_layer(templates, move)
    row = LayerRow(candidate, layer, 0.97, candidate.crystal, -0.5, 0.05, 0.06, 17.0, "parent")
    found = Monolayers((row,), (("X-1", "fell apart"),), screened.stages, screened, (), 1.0)
    write_output(found, tmp_path)
    lines = (tmp_path / "monolayers.csv").read_text(encoding="utf-8").splitlines()
    (written,) = csv.DictReader(lines)
    assert float(written["exfoliation_ev_per_atom"]) == 0.06
    assert written["template"] == move.template.id
    text = (tmp_path / written["file"]).read_text(encoding="utf-8")
    assert "not a DFT result" in text
    assert json.loads((tmp_path / "funnel.json").read_text(encoding="utf-8"))["stages"][0]["in"] == len(FORMULAS)
    assert "fell apart" in (tmp_path / "rejected.csv").read_text(encoding="utf-8")
    assert records(found)[0]["rank"] == 1
    assert [t.title.split()[0] for t in tables(found)] == ["Funnel", "Formulas", "Monolayers"]


def test_a_stream_that_was_kept_is_not_drawn_again(tmp_path):
    model = Two()
    first = [b.table.counts.tolist() for b in drawn_blocks(model, BLOCK + 5, FormulaRequest(), tmp_path, 3)]
    assert model.calls == 2
    again = [b.table.counts.tolist() for b in drawn_blocks(model, BLOCK + 5, FormulaRequest(), tmp_path, 3)]
    assert model.calls == 2
    assert first == again
    assert [len(part) for part in first] == [BLOCK, 5]
    next(tmp_path.glob("*.npz")).write_bytes(b"broken")
    with pytest.raises(CorruptDataError, match="Delete it"):
        list(drawn_blocks(model, BLOCK + 5, FormulaRequest(), tmp_path, 3))


def test_a_file_is_a_stream_too(tmp_path):
    path = tmp_path / "formulas.csv"
    path.write_text("formula\nMoS2\nnonsense\n", encoding="utf-8")
    (block,) = file_blocks(path)
    assert len(block.table) == 2
    assert list(block.table.problems) == [1]
    path.write_text("formula\n", encoding="utf-8")
    with pytest.raises(EmptyResultError, match="no rows"):
        list(file_blocks(path))


def test_orders_that_contradict_themselves_are_refused(tmp_path):
    with pytest.raises(ContradictionError, match="either --formulas"):
        Song2dRun(tmp_path, Song2dOrder())
    with pytest.raises(InputError, match="without dispersion"):
        Song2dOrder(potential="chgnet-d3")
    with pytest.raises(InputError, match="score from 0 to 1"):
        Song2dOrder(threshold=2)


HAFNIUM = [FormulaBlock(0, read_formulas(["HfS2", "NaCl"]))]


def test_from_formulas_to_a_monolayer():
    lines = []
    order = Song2dOrder(threshold=0.5, top=1, max_atoms=6)
    found = song_2d(HAFNIUM, default_classifier(), order, LIBRARY, report=lines.append)
    balanced(found.stages)
    assert len(found.stages) == 8
    assert len(lines) == 9  # a line a stage, and what the exfoliation energies will cost before them
    assert lines[7].startswith("exfoliation of 1 layer will take about")
    (row,) = found.rows
    assert row.formation_energy_ev_per_atom < 0
    assert 0 <= row.exfoliation_ev_per_atom < 0.2
    assert row.relaxed.lattice[2][2] > 15


def test_what_would_take_too_long_is_told_and_not_made():
    lines = []
    order = Song2dOrder(threshold=0.5, top=1, max_atoms=6, phonons=1, limits=Limits(seconds=1e-3))
    found = song_2d(HAFNIUM, default_classifier(), order, LIBRARY, report=lines.append)
    balanced(found.stages)
    assert not found.rows
    assert "exfoliation would take" in found.rejected[0][1]
    assert "1 would take more than the limits allow" in lines[7]
