"""The chemistry rules against SMACT 4.0.2 itself, documented cases and exhaustive search."""

from __future__ import annotations

import itertools
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novalith.errors import UnknownNameError
from novalith.materials import ATOMIC_NUMBERS, Composition
from novalith.represent.formula_table import read_formulas
from novalith.screen.charge_sums import as_runs, dilate, fold
from novalith.screen.chemistry import (
    OXIDATION_SETS,
    ChemistryOptions,
    is_balanced,
    judge_formulas,
    judge_table,
    stream_verdicts,
)
from novalith.screen.oxidation import load_states

#: Formulas of every kind: ionic, intermetallic, mixed valence, noble gas, boron, elements, organics, large counts.
FORMULAS = """NaCl Fe3O4 Mn3O4 Co3O4 Pb3O4 Cs2SbCl6 U3O8 Eu3S4 BN B4C MgB2 LaB6 NaBH4 B2O3 XeF2 KrF2 ArF2 HeNa2 Cu Si O2
    CuAu NiAl Mg2Si GaAs InSb Bi2Te3 SnTe Li4SnS4 LiFePO4 CaTiO3 K2NaAlF6 YBa2Cu3O7 La2CuO4 Cu2O CuO Cu4O3 Ti4O7 V6O13
    WO3 W18O49 ReO3 NH4Cl CH4 C6H6 CO2 CO H2O H2O2 KO2 Na2O2 OF2 Cl2O7 IF7 ICl3 ClF3 SF6 PH3 PCl5 N2O5 NO AuCs PtO2
    PmCl3 PoO2 AtH RnF2 FrCl RaF2 AcF3 ThO2 Pa2O5 NpO2 PuO2 AmO2 CmO2 BkO2 CfF3 EsCl3 FmCl2 LrF3 Ca2LiSiN3 TaCr2O6
    HgBa2Ca2Cu3O8 Tl2O3 Ag2O AgO PdO Sb2O4 Bi4Ge3O12 CeO2 Ce2O3 EuO YbCl3 Zr3Al3C5 Ti3SiC2 Mn3W3C Fe4N Cr23C6 Na3WH9
    H6Mg2Ru Cd5Fe2O28P8 PH6C2S2NCl2O4 Al12Mg17 Ca46Al92 Na8Si46 K8Ge46 SmS TmSe LiInTe2 CsPbI3 Cs4PbI6 Rb2Ti6O13
    ZnCr2Se4 CuFeS2 Cu3AsS4 Cu12Sb4S13 AgCuS NiAs FeSi2 CoSb3 LaFe4Sb12 Mo6PbS8 Nb3Sn V3Si UGe2 CeCu2Si2""".split()

ALL_OPTIONS = [
    ChemistryOptions(name, pauling, alloys, mixed)
    for name in OXIDATION_SETS
    for pauling, alloys, mixed in itertools.product((True, False), repeat=3)
]


def smact_verdict(formula: str, options: ChemistryOptions) -> bool | None:
    """SMACT's verdict; None where it gave up the search."""
    from smact.screening import smact_validity

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer = smact_validity(
            formula,
            use_pauling_test=options.pauling,
            include_alloys=options.alloys_pass,
            oxidation_states_set=None if options.oxidation_set == "icsd24_consensus3" else options.oxidation_set,
            mixed_valence=options.mixed_valence,
        )
    gave_up = any("Mixed-valence expansion" in str(w.message) for w in caught)
    return None if gave_up else answer


@pytest.mark.parametrize("name", sorted(OXIDATION_SETS))
def test_verdicts_are_those_of_smact(name):
    differing = []
    for options in ALL_OPTIONS:
        if options.oxidation_set != name:
            continue
        # SMACT's mixed-valence search multiplies states; the small formulas keep it in its range and quick.
        formulas = [f for f in FORMULAS if not options.mixed_valence or Composition.parse(f).n_atoms <= 6]
        for verdict in judge_formulas(formulas, options):
            theirs = smact_verdict(verdict.formula, options)
            if theirs is not None and theirs != verdict.balanced:
                differing.append((verdict.formula, options))
    assert not differing


def test_neutral_is_smacts_verdict_without_the_pauling_test():
    options = ChemistryOptions("smact14")
    unordered = ChemistryOptions("smact14", pauling=False)
    for verdict in judge_formulas(FORMULAS, options):
        assert verdict.neutral == smact_verdict(verdict.formula, unordered), verdict.formula


@pytest.mark.skipif("NOVALITH_DATA" not in os.environ, reason="NOVALITH_DATA names no folder of formula tables")
def test_published_flags_of_27389_reported_compounds_come_back():
    import pandas as pd

    table = pd.read_parquet(Path(os.environ["NOVALITH_DATA"]) / "icsd_formulas_85x8.parquet")
    judged = judge_table(read_formulas(table.reduced_formula.tolist()), ChemistryOptions("smact14"))
    assert (judged.neutral == table.charge_neutral_smact14.to_numpy(dtype=bool)).all()
    assert (judged.balanced == table.cn_and_pauling_smact14.to_numpy(dtype=bool)).all()


def test_the_shipped_tables_are_those_of_smact():
    from smact import Element, metals

    attributes = {"smact14": "smact14", "icsd16": "icsd16", "icsd24": "icsd24", "pymatgen_sp": "sp", "wiki": "wiki"}
    for name, attribute in attributes.items():
        states = load_states(name)
        for symbol, z in list(ATOMIC_NUMBERS.items())[:103]:
            element = Element(symbol)
            theirs = getattr(element, f"oxidation_states_{attribute}") or ()
            assert states.states[z] == tuple(sorted(theirs)), (name, symbol)
            assert states.electronegativity[z] == element.pauling_eneg
            assert states.is_metal[z] == (symbol in metals)


@pytest.mark.parametrize(
    ("formula", "options", "expected"),
    [
        ("Fe3O4", ChemistryOptions(), False),  # one state an element
        ("Fe3O4", ChemistryOptions(mixed_valence=True), True),
        (
            "Cs2SbCl6",
            ChemistryOptions("pymatgen_sp", mixed_valence=True),
            False,
        ),  # one Sb cannot be split: still a known limit
        ("NiAl", ChemistryOptions(), False),
        ("NiAl", ChemistryOptions(alloys_pass=True), True),
        ("ArF2", ChemistryOptions(), False),  # no states of argon
        ("XeF2", ChemistryOptions(), True),
        ("BN", ChemistryOptions(), True),
        ("MgB2", ChemistryOptions("smact14"), False),  # boron has no negative state in the set of 2014
        ("MgB2", ChemistryOptions("icsd24"), True),
        ("Cu", ChemistryOptions(), True),  # an element alone
        ("PmCl3", ChemistryOptions("smact14"), False),  # no electronegativity of promethium
        ("PmCl3", ChemistryOptions("smact14", pauling=False), True),
    ],
)
def test_documented_cases(formula, options, expected):
    assert judge_formulas([formula], options)[0].balanced is expected


def test_an_alloy_that_passes_by_option_is_never_called_neutral():
    verdict = judge_formulas(["NiAl"], ChemistryOptions(alloys_pass=True))[0]
    assert verdict.balanced
    assert not verdict.neutral
    assert "alloys pass" in verdict.reason


def test_the_search_goes_on_where_smact_gives_up():
    # 7 Mn of 10 states each are ten million combinations; 4 Mn+3 and 3 Mn+4 balance 12 O-2.
    options = ChemistryOptions("smact14", mixed_valence=True)
    assert smact_verdict("Mn7O12", options) is None
    assert judge_formulas(["Mn7O12"], options)[0].balanced


@pytest.mark.parametrize(
    ("formula", "options", "part"),
    [
        ("NaCl", ChemistryOptions(), "Na+1 Cl-1 balance to zero; electronegativities in order."),
        ("NaCl", ChemistryOptions(pauling=False), "Na+1 Cl-1 balance to zero."),
        ("Na2Cl", ChemistryOptions(), "No combination of icsd24 states sums to zero; nearest +1."),
        ("ArF2", ChemistryOptions(), "icsd24 lists no oxidation state of Ar."),
        ("PmCl3", ChemistryOptions("smact14"), "Pm has no Pauling electronegativity"),
        ("Fe3O4", ChemistryOptions(mixed_valence=True), "Fe+3 (x2) Fe+2 (x1) O-2 balance to zero"),
        ("O", ChemistryOptions(), "alone"),
    ],
)
def test_reasons_name_states_or_the_failed_test(formula, options, part):
    assert part in judge_formulas([formula], options)[0].reason


def _charges_of(reason: str, formula: str) -> int:
    """Total charge of the states that a reason names."""
    import re

    counts = dict(Composition.parse(formula).reduced.counts)
    return sum(
        int(state) * (int(times) if times else counts[symbol])
        for symbol, state, times in re.findall(r"([A-Z][a-z]?)([+-]\d+)(?: \(x(\d+)\))?", reason)
    )


@pytest.mark.parametrize("options", [ChemistryOptions("smact14"), ChemistryOptions(mixed_valence=True)])
def test_states_in_reasons_sum_to_zero(options):
    named = [v for v in judge_formulas(FORMULAS, options) if "balance to zero" in v.reason]
    assert len(named) > 90
    for verdict in named:
        assert verdict.neutral
        assert _charges_of(verdict.reason, verdict.formula) == 0, verdict.reason


def _by_enumeration(parts, states, pauling: bool) -> bool:
    """The definition, word by word: every combination of states."""
    chi = states.electronegativity
    for combination in itertools.product(*(states.states[z] for z, _ in parts)):
        if sum(s * n for s, (_, n) in zip(combination, parts, strict=True)):
            continue
        pairs = [(s, chi[z]) for s, (z, _) in zip(combination, parts, strict=True)]
        if not pauling:
            return True
        if any(x is None for _, x in pairs):
            continue
        if all(a < b for s, a in pairs if s > 0 for t, b in pairs if t < 0):
            return True
    return False


compositions = st.dictionaries(st.sampled_from(sorted(ATOMIC_NUMBERS)[:]), st.integers(1, 40), min_size=2, max_size=5)


@given(counts=compositions, name=st.sampled_from(sorted(OXIDATION_SETS)), order=st.randoms())
@settings(max_examples=150, deadline=None)
def test_any_composition_is_judged_as_by_enumeration_in_any_order(counts, name, order):
    symbols = list(counts)
    order.shuffle(symbols)
    formula = "".join(f"{s}{counts[s]}" for s in symbols if not (s == "Po" and counts[s] >= 3))
    if not formula or len(Composition.parse(formula).counts) < 2:
        return
    states = load_states(name)
    parts = [(ATOMIC_NUMBERS[s], n) for s, n in Composition.parse(formula).reduced.counts]
    verdict = judge_formulas([formula], ChemistryOptions(name))[0]
    assert verdict.neutral == _by_enumeration(parts, states, pauling=False)
    assert verdict.balanced == _by_enumeration(parts, states, pauling=True)
    assert verdict.reason


@given(st.sets(st.integers(0, 12), min_size=1), st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_fold_is_the_set_of_all_sums(numbers, n):
    sums = {0}
    for _ in range(n):
        sums = {a + b for a in sums for b in numbers}
    assert fold(tuple(sorted(numbers)), n) == sum(1 << x for x in sums)


@given(st.sets(st.integers(0, 60), min_size=1), st.integers(1, 5), st.sets(st.integers(0, 40), min_size=1))
@settings(max_examples=100, deadline=None)
def test_runs_lose_no_number(numbers, step, others):
    bits = sum(1 << x for x in numbers)
    runs = as_runs(bits, step)
    assert {first + step * i for first, step, length in runs for i in range(length)} == numbers
    sums = {a + b for a in numbers for b in others}
    assert dilate(sum(1 << x for x in others), runs) == sum(1 << x for x in sums)


def test_sums_beyond_a_machine_word_are_exact():
    # 1200 + 800 charges on each side: the vectorised kernel hands these to integers of any size.
    formulas = ["Ca600Na800Cl2000", "Ca600Na800Cl1999", "W97O292", "Na99999Cl100000", "Na99999Cl99999"]
    verdicts = judge_formulas(formulas, ChemistryOptions("pymatgen_sp"))
    assert [v.balanced for v in verdicts] == [True, False, False, False, True]


def test_a_hostile_mixed_valence_formula_ends_soon():
    options = ChemistryOptions(mixed_valence=True)
    verdicts = judge_formulas(["Fe99999O99998", "Mn99991Cr99989O99999S99998"], options)
    assert verdicts[0].balanced
    assert verdicts[1].neutral


def test_one_verdict_for_every_row_in_order_and_problems_are_told():
    formulas = ["NaCl", "", "D2O", "LiFePo4", "Na-1Cl", "NaCl2.5", "X", "NaCl" * 3]
    verdicts = judge_formulas(formulas)
    assert [v.formula for v in verdicts] == formulas
    assert [bool(v.problem) for v in verdicts] == [False, True, True, True, True, True, True, False]
    assert verdicts[0].balanced
    assert verdicts[-1].balanced
    assert "isotope" in verdicts[2].reason
    assert "polonium" in verdicts[3].reason


def test_streaming_gives_the_verdicts_of_one_call(monkeypatch):
    monkeypatch.setattr("novalith.screen.chemistry.CHUNK", 7)
    streamed = [v.balanced for v in stream_verdicts(iter(FORMULAS), ChemistryOptions())]
    assert streamed == [v.balanced for v in judge_formulas(FORMULAS)]


def test_is_balanced_agrees_with_the_table_and_says_why():
    for options in (ChemistryOptions(), ChemistryOptions("wiki", mixed_valence=True), ChemistryOptions(pauling=False)):
        for verdict in judge_formulas(FORMULAS, options):
            single = is_balanced(Composition.parse(verdict.formula), options)
            assert single.passed == verdict.balanced
            assert single.reason == verdict.reason


def test_unknown_set_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match="icsd24"):
        ChemistryOptions("icsd25")


def test_the_default_says_more_than_smacts_default_on_intermetallics():
    metals = ["Fe", "Al", "Ni", "Ti", "Mg", "Ca", "Zn", "Y"]
    formulas = [f"{a}{i}{b}{j}" for a, b in itertools.combinations(metals, 2) for i, j in ((1, 1), (1, 3), (2, 1))]
    table = read_formulas(formulas)
    assert judge_table(table, ChemistryOptions(alloys_pass=True)).balanced.all()
    assert not judge_table(table, ChemistryOptions()).balanced.any()


def test_empty_table():
    judged = judge_table(read_formulas([]), ChemistryOptions())
    assert judged.balanced.shape == (0,)
    assert np.sum(judged.neutral) == 0
