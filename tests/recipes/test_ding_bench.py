"""The bench of generation: a generator that is right scores at the floor, one that ignores the target does not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from novalith.errors import CapabilityError
from novalith.materials import ATOMIC_NUMBERS, ELEMENTS
from novalith.predict.base import Prediction
from novalith.predict.composition import CompositionPredictor, TrainingDomain
from novalith.propose.compositions import CompositionModel, FormulaRequest
from novalith.recipes.ding_bench import (
    PUBLISHED,
    BenchData,
    BenchSettings,
    Judges,
    KnownFormulas,
    corner_targets,
    first_half,
    floors,
    run,
)
from novalith.recipes.ding_controls import NeighbourExchange
from novalith.recipes.ding_experiment import prepare
from novalith.recipes.ding_tables import generation_tables
from novalith.represent.formula_table import FormulaTable, formula_keys, read_formulas, table_of

POOL = ELEMENTS[2:60]
RNG = np.random.default_rng(0)


def truth(table: FormulaTable) -> dict[str, np.ndarray]:
    """A made-up law: mean atomic number in three units."""
    total = np.maximum(table.counts.sum(axis=1), 1)
    mean = (table.atomic_numbers * table.counts).sum(axis=1) / total
    return {"formation_energy": mean / 30 - 2, "energy_per_atom": -mean / 8, "volume_per_atom": mean}


def random_table(n: int, rng: np.random.Generator) -> FormulaTable:
    z = 3 + rng.permuted(np.tile(np.arange(58), (n, 1)), axis=1)[:, :2]
    table = table_of(z, rng.integers(1, 5, size=(n, 2)))
    return table.select(np.unique(formula_keys(table), return_index=True)[1])


def known(table: FormulaTable) -> KnownFormulas:
    return KnownFormulas(table, truth(table))


ALL = random_table(4000, RNG)
FIRST = first_half(ALL)
DATA = BenchData(known(ALL.select(FIRST)), known(ALL.select(~FIRST)), known(ALL))


class Law(CompositionPredictor):
    """The law itself with a constant error."""

    def __init__(self, shift: float) -> None:
        self._shift = shift
        self._domain = TrainingDomain.of(ALL, truth(ALL))

    @property
    def domain(self) -> TrainingDomain:
        return self._domain

    def values(self, table: FormulaTable, target: str) -> Prediction:
        return Prediction(truth(table)[target] + self._shift, None)


class Random(CompositionModel):
    """Draws any formula; with an aim, the drawn ones nearest to the volume."""

    name = "random"
    honours = frozenset({"targets"})

    def __init__(self, aims: bool) -> None:
        self._aims = aims

    @property
    def elements(self):
        return POOL

    @property
    def target_ranges(self):
        return {"volume_per_atom": (1.0, 60.0)} if self._aims else {}

    def draw(self, n, request, *, rng):
        self.check(request)
        table = random_table(20 * n if self._aims else n, rng)
        if self._aims:
            far = np.abs(truth(table)["volume_per_atom"] - dict(request.targets)["volume_per_atom"])
            table = table.select(np.argsort(far)[:n])
        return table.select(np.resize(np.arange(len(table)), n))

    def save(self, path):
        raise NotImplementedError


SMALL = BenchSettings(n_targets=12, n_formulas=20, n_draws=60)
JUDGES = Judges(Law(0.01), Law(0.0))


@pytest.fixture(scope="module")
def records():
    return run({"aiming": Random(True), "blind": Random(False)}, JUDGES, DATA, SMALL)


def one(records, kind, model, choice):
    return next(r for r in records if (r["kind"], r["model"], r["choice"]) == (kind, model, choice))


def test_the_halves_depend_on_the_formula_alone():
    table = read_formulas(["Li2O", "Fe2O3", "NaCl"])
    other = read_formulas(["O2Li4", "ClNa", "Ca3Al2Si3O12", "Fe4O6"])
    assert first_half(table).tolist() == first_half(other)[[0, 3, 1]].tolist()
    assert 0.45 < FIRST.mean() < 0.55


def test_the_floor_is_the_error_of_the_judge():
    assert floors(JUDGES.judge, DATA.held) == pytest.approx(dict.fromkeys(PUBLISHED, 0.01))


def test_aiming_and_filtering_come_nearer_than_neither(records):
    blind, filtered, aimed = (
        one(records, "on-manifold", m, c)["error"]["median"]["volume_per_atom"]
        for m, c in (("blind", "plain"), ("blind", "filtered"), ("aiming", "plain"))
    )
    assert aimed < filtered < 0.7 * blind
    assert one(records, "on-manifold", "aiming", "plain")["success_per_draw"] <= 20 / 60


def test_hits_are_tabulated_and_never_trained_on(records):
    record = one(records, "on-manifold", "blind", "filtered")
    assert record["hits"]["n"] > 0
    # The guide is the law, so that the best 20 of 60 random formulas are as near as the judge says.
    assert record["hits"]["median"]["volume_per_atom"] < 2 * record["error"]["median"]["volume_per_atom"] + 1
    everything = BenchData(known(ALL), DATA.held, known(ALL))
    none = run({"blind": Random(False)}, JUDGES, everything, replace(SMALL, n_targets=3))
    assert all(r["hits"]["n"] == 0 for r in none)


def test_corners_are_tails_drawn_apart():
    corners = corner_targets(DATA.held, 500, rng=np.random.default_rng(0))
    for column, values in zip(corners.T, DATA.held.values.values(), strict=True):
        low, high = np.quantile(values, [0.06, 0.94])
        assert ((column < low) | (column > high)).all()
    assert abs(np.corrcoef(corners.T)[0, 2]) < 0.15  # the properties themselves are proportional


def test_formulas_outside_of_the_judges_range_get_no_number(records):
    class Narrow(Law):
        def __init__(self) -> None:
            super().__init__(0.01)
            light = ALL.select((ALL.atomic_numbers < 30).all(axis=1))
            self._domain = TrainingDomain.of(light, truth(light))

    told = run({"blind": Random(False)}, Judges(Narrow(), Law(0.0)), DATA, replace(SMALL, n_targets=3))
    record = one(told, "on-manifold", "blind", "plain")
    assert record["out_of_range"] > 0.5
    assert one(records, "on-manifold", "blind", "plain")["out_of_range"] < 0.05


def test_exchange_keeps_counts_and_starts_near_the_target():
    control = NeighbourExchange(DATA.training.table, DATA.training.values)
    request = FormulaRequest(targets=(("volume_per_atom", 30.0),))
    drawn = control.draw(400, request, rng=np.random.default_rng(0))
    near = np.argsort(np.abs(DATA.training.values["volume_per_atom"] - 30.0), kind="stable")[:30]
    start = [dict(DATA.training.table.parts(row)) for row in near]
    for row in range(40):
        parts = dict(drawn.parts(row))
        assert any(len(parts.items() & other.items()) >= len(other) - 1 for other in start)
    assert not set(drawn.problems)
    assert set(np.unique(drawn.atomic_numbers)) <= {0, *(ATOMIC_NUMBERS[s] for s in control.elements)}
    again = control.draw(400, request, rng=np.random.default_rng(0))
    assert formula_keys(drawn).tolist() == formula_keys(again).tolist()
    with pytest.raises(CapabilityError):
        control.save("x")


def test_a_cache_gives_the_same_records_and_the_tables_print(records, tmp_path):
    models = {"aiming": Random(True), "blind": Random(False)}
    first = run(models, JUDGES, DATA, SMALL, tmp_path)
    begun = []
    second = run(models, JUDGES, DATA, SMALL, tmp_path, begun.append)
    assert not begun
    assert json.dumps(first) == json.dumps(second) == json.dumps(records)
    tables = generation_tables(records, floors(JUDGES.judge, DATA.held), SMALL, model="aiming")
    assert len(tables) == 5
    assert "0.3986" in tables[0].text
    assert all(len(line) < 170 for table in tables for line in table.text.splitlines()[1:])


def test_an_experiment_trains_once_and_keeps_the_halves_apart(tmp_path):
    import pandas as pd

    values = truth(ALL)
    part = np.where(np.arange(len(ALL)) % 5 == 0, "val", "train")
    rows = {"formula": [ALL.composition(i).formula for i in range(len(ALL))], "crabnet_eform_split": part}
    rows |= {"delta_e": values["formation_energy"], "energy_pa": values["energy_per_atom"]}
    frame = pd.DataFrame(rows | {"volume_pa": values["volume_per_atom"]})[:600]
    frame.loc[3, "delta_e"] = -150.0
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    told: list[str] = []
    experiment = prepare(path, tmp_path / "models", "tiny", watch=told.append)
    assert set(experiment.set_aside) == {3}
    assert len(experiment.data.reference.table) == 599
    trained, held = (set(formula_keys(p.table).tolist()) for p in (experiment.data.training, experiment.data.held))
    assert not trained & held
    assert first_half(experiment.data.training.table).all()
    assert any("judge epoch 2" in line for line in told)
    told.clear()
    again = prepare(path, tmp_path / "models", "tiny", watch=told.append)
    assert not told
    small = BenchSettings(2, 5, 20)
    results = [run(e.models, e.judges, e.data, small) for e in (experiment, again)]
    assert json.dumps(results[0]) == json.dumps(results[1])
    assert {r["model"] for r in results[0]} == {"ding", "ding, normal prior", "vae", "exchange"}
