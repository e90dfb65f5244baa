"""Nothing vanishes: in = kept + rejected at every stage."""

import pytest

from novalith.campaign.funnel import Funnel
from novalith.campaign.record import FunnelStage
from novalith.materials import Candidate, Crystal, Lineage, Verdict


def candidate(a):
    return Candidate(Crystal.from_arrays([[a, 0, 0], [0, a, 0], [0, 0, a]], ["Na"], [(0, 0, 0)]), Lineage("test"))


def test_counts_add_up_and_survive_json():
    funnel = Funnel(("cell", "charge"))
    for i in range(10):
        c = candidate(3 + i)
        if funnel.passes("cell", c, Verdict(i % 2 == 0, "volume", "too small")):
            funnel.passes("charge", c, Verdict(i > 4, "neutral", "one electron too many"))
    for again in (funnel, Funnel.from_json(funnel.stages, funnel.to_json())):
        cell, charge = again.summary()
        assert (cell.entered, cell.kept, charge.entered, charge.kept) == (10, 5, 5, 2)
        assert sum(charge.rejected.values()) == 3
        assert "too small" in next(iter(cell.rejected))


def test_a_stage_that_loses_a_candidate_is_a_fault():
    with pytest.raises(ValueError, match="loses candidates"):
        FunnelStage("cell", entered=3, kept=1, rejected={"small": 1})
