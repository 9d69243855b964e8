import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthproxy.datasets import get_dataset
from synthproxy.metrics import (RANK_METRICS, chance_mrr, gallery_ranks, gap_centroids, gap_classifier, l1_distances, mrr, mrr_512, own_ranks,
                                permutation_test)
from synthproxy.proxies import SynthProxy

tied = arrays(np.float32, st.integers(1, 12).map(lambda n: (n, n)), elements=st.sampled_from([0., .25, .5, 1., 2.])) # few values: many ties


def brute_force_rank(distances: np.ndarray, row: int) -> int:
    "Sort the candidates; the right one comes after all that are as near."
    order = sorted(range(len(distances)), key=lambda column: (distances[row, column], column == row))
    return order.index(row) + 1


@given(tied)
@settings(max_examples=200, deadline=None)
def test_ranks_are_those_of_sorting_in_both_directions(distances):
    for matrix in (distances, distances.T):
        assert own_ranks(matrix).tolist() == [brute_force_rank(matrix, row) for row in range(len(matrix))]


@given(tied, st.integers(1, 12), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_galleries_are_ranked_as_if_alone(distances, gallery, seed):
    n = len(distances)
    for matrix in (distances, distances.T):
        ranked = list(gallery_ranks(matrix, gallery, subsets=4, seed=seed))
        if n <= gallery:
            assert len(ranked) == 1 and np.array_equal(ranked[0], own_ranks(matrix))
            continue
        generator = np.random.default_rng(seed)
        for ranks in ranked:
            members = generator.choice(n, gallery, replace=False)
            part = matrix[np.ix_(members, members)]
            assert ranks.tolist() == [brute_force_rank(part, row) for row in range(gallery)]


@given(arrays(np.int64, st.integers(1, 30), elements=st.integers(1, 40)))
@settings(max_examples=100, deadline=None)
def test_metrics_against_plain_python(ranks):
    found = {name: metric.measure(ranks, 40) for name, metric in RANK_METRICS.items()}
    every = ranks.tolist()
    assert found["mrr"] == pytest.approx(sum(1 / r for r in every) / len(every))
    for k in range(1, 6):
        assert found[f"top_k_mrr_{k}"] == pytest.approx(sum(1 / r if r <= k else 0 for r in every) / len(every))
    for k in (1, 5, 10):
        assert found[f"recall_{k}"] == pytest.approx(sum(r <= k for r in every) / len(every))
    assert found["mean_normalised_rank"] == pytest.approx(sum((r - 1) / 39 for r in every) / len(every))


@given(arrays(np.float32, (5, 3), elements=st.floats(-4, 4, width=32)), arrays(np.float32, (4, 3), elements=st.floats(-4, 4, width=32)))
@settings(max_examples=60, deadline=None)
def test_distances(a, b):
    np.testing.assert_allclose(l1_distances(a, b), np.abs(a[:, None] - b[None]).mean(-1), atol=1e-5)


def test_distances_of_many_rows_and_of_none():
    a, b = (np.random.default_rng(seed).normal(size=(600, 192)).astype(np.float32) for seed in (0, 1))
    a[7, 3], b[5, 0] = np.nan, np.inf
    found, expected = l1_distances(a, b[:40]), np.abs(a[:, None].astype(float) - b[None, :40]).mean(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == np.float32 and np.isnan(found[7]).all() and np.isnan(found).sum() == 40
    assert l1_distances(a[:0], b).shape == (0, 600)
    for wrong in (b[:, :5], b[0]):
        with pytest.raises(ValueError, match=r"embeddings of shapes \(600, 192\)"):
            l1_distances(a, wrong)


def test_a_constant_prediction_never_looks_good():
    sounds = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    constant = np.zeros_like(sounds)
    assert mrr_512(constant, sounds) == pytest.approx(1 / 512) # every candidate ties
    assert mrr(own_ranks(l1_distances(constant, sounds).T)) == pytest.approx(1 / 600)
    assert permutation_test(l1_distances(constant, sounds)[:200, :200], 199)[2] > .01


def test_validation_protocol_by_hand():
    generator = np.random.default_rng(3)
    sounds = generator.normal(size=(520, 6)).astype(np.float32)
    predicted = sounds + generator.normal(size=sounds.shape).astype(np.float32)
    generator, expected = np.random.default_rng(0), []
    for target in generator.choice(520, 256, replace=False):
        others = generator.choice(519, 511, replace=False)
        others = [o if o < target else o + 1 for o in others]
        own = np.abs(predicted[target] - sounds[target]).mean()
        expected.append(1 / (1 + sum(np.abs(predicted[o] - sounds[target]).mean() <= own for o in others)))
    assert mrr_512(predicted, sounds) == pytest.approx(np.mean(expected))


def test_random_ranks_are_chance():
    distances = np.random.default_rng(1).random((1500, 1500))
    assert mrr(own_ranks(distances)) == pytest.approx(chance_mrr(1500), rel=.5)
    assert permutation_test(distances[:300, :300])[2] > .01


def test_the_gap_is_seen_and_not_seen():
    generator = np.random.default_rng(0)
    sounds = generator.normal(size=(500, 5)) + 2
    same, shifted = sounds + generator.normal(size=sounds.shape) * .01, sounds * [1, 1, 1, 1, -1]
    assert gap_classifier(same, sounds) < .6 < .9 < gap_classifier(shifted, sounds)
    assert gap_centroids(same, sounds) < .01 < gap_centroids(shifted, sounds)


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"expected \(N, N\)"):
        own_ranks(np.zeros((3, 4)))


def test_the_last_digits_do_not_decide_whether_there_is_a_gap():
    dataset = get_dataset("dexed", "cpu", "handcrafted")
    predicted = SynthProxy.from_pretrained("dexed/mlp_oh").embed(dataset.presets)
    noise = np.random.default_rng(0).normal(size=predicted.shape).astype(np.float32)
    found = {gap_classifier(x, dataset.embeddings) for x in (predicted, predicted.round(5), predicted + 1e-7 * noise)}
    assert len(found) == 1
