"""The first page keeps its promises: by energy, at most two of a formula, some of every generator."""

import numpy as np

from novalith.campaign.ranking import PAGE, PER_FORMULA, PER_GENERATOR, Sortable, rank


def rows(n, n_formulas, generators, rng):
    return [
        Sortable(f"id{i}", f"f{rng.integers(n_formulas)}", generators[rng.integers(len(generators))], float(e))
        for i, e in enumerate(rng.normal(size=n))
    ]


def test_every_row_has_one_place_and_each_part_is_sorted_by_energy():
    table = rows(90, 30, "abc", np.random.default_rng(1))
    order = rank(table)
    assert sorted(order) == list(range(90))
    energies = [table[i].energy_above_hull_ev_per_atom for i in order]
    assert energies[:PAGE] == sorted(energies[:PAGE])
    assert energies[PAGE:] == sorted(energies[PAGE:])


def test_the_best_crystal_is_first():
    for seed in range(20):
        table = rows(60, 12, "abc", np.random.default_rng(seed))
        assert rank(table)[0] == min(range(60), key=lambda i: table[i].energy_above_hull_ev_per_atom)


def test_a_weak_generator_and_rare_formulas_reach_the_first_page():
    strong = [Sortable(f"s{i}", f"f{i % 12}", "strong", 0.001 * i) for i in range(60)]
    weak = [Sortable(f"w{i}", f"g{i}", "weak", 1.0 + i) for i in range(5)]
    page = [(*strong, *weak)[i] for i in rank([*strong, *weak])[:PAGE]]
    assert sum(r.generator == "weak" for r in page) == PER_GENERATOR
    formulas = [r.formula for r in page]
    assert max(formulas.count(f) for f in formulas) <= PER_FORMULA


def test_one_formula_alone_is_simply_sorted():
    table = [Sortable(f"id{i}", "NaCl", "a", float(-i)) for i in range(30)]
    assert rank(table) == list(reversed(range(30)))
