"""The published figures come out, and the published score is a norm."""

import numpy as np
import pytest

from novalith.data.reported_fields import li_candidates, published_scores, two_anion_rows
from novalith.recipes.vasylenko import PublishedNetwork, Standardiser, norm_scores, published_figures


def test_published_figures():
    figures = published_figures(0, np.random.default_rng(0))
    assert round(figures.training_below_half, 3) == 0.794
    assert np.mean(figures.folds_below) == pytest.approx(0.793, abs=0.015)
    assert figures.ranks == {"Li-Sn-S-Cl": 5, "Li-P-S-O": 8}
    assert figures.published_minus_norm < 0.00051


@pytest.mark.parametrize("name", ["training", "li"])
def test_every_published_score_is_the_norm_of_the_standardised_vector(name):
    standardiser = Standardiser.of(two_anion_rows())
    rows, scores = zip(*published_scores(name), strict=True)
    assert np.abs(norm_scores(standardiser, rows) - scores).max() < 0.00051
    # The mean over elements counted once instead of row by row would miss by far.
    once = Standardiser.of(sorted({(s,) for row in two_anion_rows() for s in row}))
    assert np.abs(norm_scores(once, rows) - scores).max() > 0.1


def test_the_paper_ranked_303_candidates():
    assert len(set(li_candidates())) == 303
    assert all("Li" in field for field in li_candidates())


def test_the_order_of_the_elements_does_not_change_the_network_score():
    import torch

    torch.manual_seed(0)
    network = PublishedNetwork(148)
    network.module.eval()
    vectors = Standardiser.of(two_anion_rows()).vectors([("Li", "Sn", "S", "Cl"), ("Cl", "S", "Sn", "Li")])
    assert network.scores(vectors[:1])[0] == pytest.approx(network.scores(vectors[1:])[0], rel=1e-6)
    assert (network.reconstruct(vectors) > 0).all()
