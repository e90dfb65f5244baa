"""Limits refuse the right elements, name the rule, and contradictions are told before anything is enumerated."""

import numpy as np
import pytest

from novalith.errors import ContradictionError, EmptyResultError, InputError
from novalith.materials import ELEMENTS, PhaseField
from novalith.propose.fields import enumerate_fields
from novalith.represent.phase_field import decode_fields, encode_fields
from novalith.screen.field_limits import FieldLimits

KNOWN = frozenset("Li Na Mg Al P S Cl O Fe Sn Pb Tc".split())
NOTHING = np.empty((0, 3), np.int64)


def make(**given):
    return FieldLimits(**{k: frozenset(v.split()) if isinstance(v, str) else v for k, v in given.items()})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"require": "Li", "deny": "Li"}, "Li cannot be both required and denied"),
        ({"allow": "Li Na", "deny": "Na"}, "Na cannot be both allowed and denied"),
        ({"require": "Pb", "no_toxic": True}, "--no-toxic"),
        ({"require": "Tc", "no_radioactive": True}, "--no-radioactive"),
        ({"require": "Fe", "no_redox_active": True}, "--no-redox-active"),
        ({"require": "Li Na K", "arity": 2}, "room for 2"),
        ({"require": "O S Cl", "n_anions": 2}, "more than 2 anions"),
        ({"require": "Li Na K", "n_anions": 2}, "leave room for 2"),
        ({"n_anions": 5}, "cannot have 5 anions"),
        ({"require": "Rh", "max_price_usd_per_kg": 10.0}, "--max-price"),
        ({"require": "Nb", "max_hhi": 1000.0}, "--max-hhi"),
    ],
)
def test_contradictions_name_both_sides(given, named):
    with pytest.raises(ContradictionError, match=named):
        make(**given)


@pytest.mark.parametrize("arity", [0, 1, 6, 9])
def test_arity_is_two_to_five(arity):
    with pytest.raises(InputError, match="2 to 5"):
        make(arity=arity)


def test_enumeration_equals_a_count_by_hand():
    limits = make(arity=3, require="Li", allow="Na S Cl O", n_anions=2)
    names = {f.name for f in decode_fields(enumerate_fields(limits, KNOWN, NOTHING))}
    assert names == {"Cl-Li-S", "Li-O-S", "Cl-Li-O"}
    reported = encode_fields([PhaseField.parse("Li-O-S")])
    assert len(enumerate_fields(limits, KNOWN, reported)) == 2


def test_phosphorus_may_stand_on_either_side():
    limits = make(arity=4, n_anions=2)
    assert limits.admits(PhaseField.parse("Li-P-S-O"))
    assert limits.admits(PhaseField.parse("Li-Sn-P-S"))
    assert not limits.admits(PhaseField.parse("Li-Na-Sn-S"))
    assert not limits.admits(PhaseField.parse("Li-O-S-Cl"))


def test_every_field_enumerated_is_admitted_and_no_other():
    limits = make(arity=3, n_anions=1, no_toxic=True, no_radioactive=True)
    rows = enumerate_fields(limits, KNOWN, NOTHING)
    assert all(limits.admits(f) for f in decode_fields(rows))
    every = enumerate_fields(make(arity=3), KNOWN, NOTHING)
    assert len(rows) == sum(limits.admits(f) for f in decode_fields(every))


def test_nothing_left_names_the_rule():
    with pytest.raises(EmptyResultError, match="--no-toxic"):
        enumerate_fields(make(arity=3, allow="Pb As Li", no_toxic=True), KNOWN, NOTHING)
    with pytest.raises(EmptyResultError, match="--anions"):
        enumerate_fields(make(arity=3, allow="Li Na K", n_anions=2), KNOWN, NOTHING)
    with pytest.raises(EmptyResultError, match="reported already"):
        fields = encode_fields([PhaseField.parse("Li-P-S")])
        enumerate_fields(make(arity=3, require="Li P S"), KNOWN, fields)


def test_too_many_candidates_are_refused_before_they_are_made():
    with pytest.raises(InputError, match="Require an element"):
        enumerate_fields(make(arity=5), frozenset(ELEMENTS[:70]), np.empty((0, 5), np.int64))
