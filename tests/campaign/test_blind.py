"""The canary: a hidden row cannot be read from any table, nor from a cache that saw it."""

import numpy as np
import pytest

from novalith.campaign.discover import discover
from novalith.campaign.folder import CampaignFolder
from novalith.campaign.plan import Plan
from novalith.data.library import Hidden, Library
from novalith.propose.base import Request
from novalith.propose.registry import PROPOSERS, load_proposers
from novalith.screen.novelty import Grade, NoveltyIndex
from novalith.stability.table import table_phases
from novalith.store.cache import FolderCache

CANARY = "RbI"


@pytest.fixture(scope="module")
def canaries():
    return Library().structures_of(CANARY)


@pytest.fixture(scope="module")
def blind():
    return Library(Hidden.of([CANARY]))


def test_the_canary_sings_where_it_is_not_hidden(canaries):
    index = NoveltyIndex(Library())
    assert canaries
    assert index.judge(canaries[0].crystal).grade is Grade.KNOWN_STRUCTURE


def test_no_table_that_ranks_or_judges_knows_it(blind, canaries):
    novelty = NoveltyIndex(blind).judge(canaries[0].crystal)
    assert novelty.grade is Grade.NEW_FORMULA
    assert novelty.nearest_formula != CANARY
    field = canaries[0].crystal.composition.field
    assert CANARY not in {p.composition.formula for p in table_phases(blind, field)}


@pytest.mark.parametrize("name", PROPOSERS)
def test_no_proposer_starts_from_it(name, blind, canaries):
    field = canaries[0].crystal.composition.field
    (proposer,) = load_proposers([name], blind)
    stream = proposer.propose(Request(field, max_atoms=8), np.random.default_rng(0))
    ids = {known.id for known in canaries}
    proposed = [candidate for candidate, _ in zip(stream, range(20), strict=False)]
    assert proposed
    assert not any(ids & set(c.lineage.parents) for c in proposed)


def test_a_cache_filled_in_full_sight_does_not_leak_into_a_blind_run(tmp_path, canaries):
    plan = Plan(ask="Rb-I", budget=1, hull="same-potential", max_atoms=8, generators=("prototypes",))
    seeing = discover(plan, tmp_path / "seeing", cache=FolderCache(tmp_path / "shared"))
    assert CANARY in {phase.composition.formula for phase in seeing.competing}
    blind_plan = Plan(**{**vars(plan), "hidden": (CANARY,)})
    (tmp_path / "blind").mkdir()
    CampaignFolder(tmp_path / "seeing").cache.rename(CampaignFolder(tmp_path / "blind").cache)
    record = discover(blind_plan, tmp_path / "blind", cache=FolderCache(tmp_path / "shared"))
    assert CANARY not in {phase.composition.formula for phase in record.competing}
    assert all(row.novelty.nearest_formula != CANARY for row in record.ranked)
    assert not {known.id for known in canaries} & {i for row in record.ranked for i in row.lineage.parents}
