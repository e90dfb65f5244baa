"""Masks by reachability: nothing that breaks a request can be drawn, and nothing that satisfies it is out of reach."""

import itertools

import numpy as np
import pytest

from novalith.materials import ATOMIC_NUMBERS
from novalith.represent.formula_table import table_of
from novalith.screen.charge_paths import ChargePaths, ChargeRule, PathLimits, window
from novalith.screen.chemistry import ChemistryOptions, judge_table


def limits_of(rule, allowed, required=(), n_elements=(1, 3), max_atoms=12, max_count=6):
    mask = lambda symbols: np.array([e in symbols for e in rule.elements])  # noqa: E731
    return PathLimits(mask(allowed), mask(required), n_elements, max_atoms, max_count)


def every_path(paths):
    """All complete formulas that the masks allow, by exhausting them."""
    rule, found, open_paths = paths.rule, [], [((), paths.rule.start(1))]
    while open_paths:
        pairs, prefix = open_paths.pop()
        mask = paths.elements(prefix)[0]
        if mask[-1]:
            found.append(pairs)
        followed = bool(mask[-1])
        for rank in np.flatnonzero(mask[:-1]).tolist():
            counts = np.flatnonzero(paths.counts(prefix, np.array([rank]))[0]) + 1
            assert len(counts), "an element was offered that no count completes"
            for count in counts.tolist():
                extended = rule.extend(prefix, np.array([rank]), np.array([count]))
                open_paths.append(((*pairs, (rank, count)), extended))
                followed = True
        assert followed, "a beginning was offered that leads nowhere"
    return found


def by_brute_force(rule, limits, options):
    """All formulas within the limits that the rules pass, from every vector of counts."""
    allowed = np.flatnonzero(limits.allowed)
    rows = [
        counts
        for counts in itertools.product(range(limits.max_count + 1), repeat=len(allowed))
        if 0 < sum(counts) <= limits.max_atoms
    ]
    z = np.array([ATOMIC_NUMBERS[rule.elements[r]] for r in allowed])
    counts = np.array(rows)
    arity = (counts > 0).sum(axis=1)
    keep = (arity >= limits.n_elements[0]) & (arity <= limits.n_elements[1])
    required = np.isin(allowed, np.flatnonzero(limits.required))
    keep &= (counts[:, required] > 0).all(axis=1)
    counts = counts[keep]
    if options is not None:
        counts = counts[judge_table(table_of(np.tile(z, (len(counts), 1)), counts), options).balanced]
    return {tuple((int(r), int(c)) for r, c in zip(allowed, row, strict=True) if c) for row in counts}


@pytest.mark.parametrize("pauling", [True, False])
@pytest.mark.parametrize("oxidation_set", ["smact14", "icsd24", "wiki"])
@pytest.mark.parametrize(
    ("allowed", "required"),
    [
        ("Li Sn S Cl", "Li"),
        ("Fe O H", ""),
        ("C N Cl S", ""),  # carbon and sulphur tie in electronegativity in some tables
        ("Na K Bi Te", "Bi"),
        ("Cu Ag Ni Si", ""),
        ("He Na Cl", ""),
    ],
)
def test_the_masks_allow_exactly_what_the_rules_pass(oxidation_set, pauling, allowed, required):
    rule = ChargeRule(oxidation_set, pauling)
    # A lone element is balanced by definition for the rules and by charge for the paths: leave it out.
    limits = limits_of(rule, allowed.split(), required.split(), (2, 3), 9, 5)
    options = ChemistryOptions(oxidation_set, pauling)
    paths, truth = ChargePaths(rule, limits), by_brute_force(rule, limits, options)
    assert paths.possible == bool(truth)
    if truth:
        found = every_path(paths)
        assert len(found) == len(set(found))
        assert set(found) == truth


def test_without_rules_only_the_limits_count():
    rule = ChargeRule(None)
    limits = limits_of(rule, ["Na", "Xe", "O"], ["O"], (2, 3), 6, 4)
    assert set(every_path(ChargePaths(rule, limits))) == by_brute_force(rule, limits, None)


def test_an_impossible_request_is_known_before_any_draw():
    rule = ChargeRule("smact14")
    assert not ChargePaths(rule, limits_of(rule, ["Mg", "Zn"], n_elements=(2, 2))).possible
    assert ChargePaths(rule, limits_of(rule, ["Na", "Cl"], n_elements=(2, 2))).possible


def test_what_ends_balanced_is_what_the_rules_say():
    rule, rng = ChargeRule("smact14"), np.random.default_rng(0)
    n = 4000
    ranks = np.sort(np.array([rng.choice(len(rule.elements), 3, replace=False) for _ in range(n)]), axis=1)
    counts = rng.integers(1, 9, (n, 3))
    prefix = rule.start(n)
    for j in range(2):
        prefix = rule.extend(prefix, ranks[:, j], counts[:, j])
    said = rule.balances(prefix, ranks[:, 2], 8)[np.arange(n), counts[:, 2] - 1]
    whole = rule.extend(prefix, ranks[:, 2], counts[:, 2])
    z = np.array([ATOMIC_NUMBERS[e] for e in rule.elements])
    truth = judge_table(table_of(z[ranks], counts), ChemistryOptions("smact14")).balanced
    assert 0.02 < truth.mean() < 0.9
    assert (said == truth).all()
    assert (whole.balanced == truth).all()


def test_the_window_shows_the_charges_in_reach():
    rule = ChargeRule("smact14")
    prefix = rule.extend(rule.start(1), np.array([rule.elements.index("Na")]), np.array([3]))
    # Three Na+ in A; in B three Na-, which this set also lists.
    assert np.flatnonzero(window(prefix)[0]).tolist() == [24 + 3, 49 + 24 - 3]
