"""Where training presets come from, and what is kept away from them."""
import numpy as np
import pytest

from synthproxy.datasets import Recipe, generate, make_rows, recipe_prior
from synthproxy.priors import NEAR, PRESETS_VARIABLE, SHARES, Prior, dexed_cartridges, differing, get_prior, have_voices
from synthproxy.synths import get_synth, row_generator, sample, to_dx7, validate

DEXED = get_synth("dexed")


@pytest.fixture
def cartridges() -> np.ndarray:
    if not have_voices("dexed"):
        pytest.skip(f"no Dexed cartridges: set {PRESETS_VARIABLE}, or connect to the network once")
    return dexed_cartridges()


@pytest.fixture
def prior() -> Prior: # with random presets in place of voices
    return Prior("prior", DEXED, sample(DEXED, 40, seed=1), sample(DEXED, 5, seed=2))


def test_kinds_have_their_shares(prior):
    kinds = [prior.choose(row_generator(0, row)) for row in range(4000)]
    for kind, share in SHARES["prior"].items():
        assert kinds.count(kind) / len(kinds) == pytest.approx(share, abs=.03)
    assert get_prior("uniform", "dexed").choose(row_generator(0, 0)) == "uniform"


@pytest.mark.parametrize("kind", SHARES["prior"])
def test_presets_are_valid_and_candidates_do_not_matter(prior, kind):
    together = validate(DEXED, prior.draw(kind, row_generator(3, 1), 8))
    generator = row_generator(3, 1)
    assert np.array_equal(together, np.concatenate([prior.draw(kind, generator, n) for n in (1, 2, 5)]))
    assert len(np.unique(together, axis=0)) == 8


def test_mutations_and_crossovers_hold_on_to_their_parents(prior):
    nearest = {kind: differing(DEXED, prior.draw(kind, row_generator(0, 0), 300), prior.voices).min(1) for kind in SHARES["prior"]}
    assert np.median(nearest["mutation"]) < 30 < np.median(nearest["crossover"]) + 10 < np.median(nearest["uniform"]) + 10
    assert (nearest["mutation"] == 0).any() and np.median(nearest["mutation"]) < np.median(nearest["crossover"])


def test_differing_counts_audible_parameters():
    a = sample(DEXED, 3)
    b = a.copy()
    b[:, DEXED.names.index("op2_f_fine")] = 0.5
    assert differing(DEXED, a, b).diagonal().tolist() == [1, 1, 1] and differing(DEXED, a, a).diagonal().tolist() == [0, 0, 0]
    for x in (a, b):
        x[:, DEXED.names.index("op2_output_level")] = 0
    assert differing(DEXED, a, b).diagonal().tolist() == [0, 0, 0]
    a[:, DEXED.names.index("op2_output_level")] = 1 # heard in one of the two: all counts again
    assert differing(DEXED, a, b).diagonal().tolist() == [2, 2, 2]


def test_nothing_near_the_held_out_is_allowed(prior):
    near = prior.held_out.copy()
    near[:, 20:20 + NEAR] = prior.voices[:5, 20:20 + NEAR]
    assert not prior.allowed(near).any() and prior.allowed(sample(DEXED, 50, seed=9)).all()


def test_a_prior_dataset_keeps_away_from_the_test_set(cartridges, tmp_path):
    recipe = Recipe("dexed", "mel128", rows=96, seed=11, distribution="prior", shard_rows=64)
    dataset = generate(recipe, tmp_path / "a", workers=2, chunk_rows=16)
    described, prior = dataset.manifest["made_from"]["prior"], recipe_prior("prior", "dexed")
    assert described["shares"] == SHARES["prior"] and described["near"] == NEAR and described["voices"] == len(prior.voices) < len(cartridges)
    assert differing(DEXED, prior.voices, prior.held_out).min() > NEAR and len(prior.held_out) == described["held_out"] == 423
    assert differing(DEXED, dataset.presets, prior.held_out).min() > NEAR
    again, _ = make_rows(recipe, range(40, 44)) # in another chunk
    assert np.array_equal(again["presets"], dataset.read("presets", 40, 44))
    with pytest.raises(ValueError, match="holds another dataset: distribution is prior, not uniform"):
        generate(Recipe("dexed", "mel128", rows=96, seed=11, shard_rows=64), tmp_path / "a")


def test_missing_and_wrong_cartridges_are_one_clear_error(tmp_path, monkeypatch):
    import pooch

    def no_network(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr(pooch, "retrieve", no_network)
    monkeypatch.setenv(PRESETS_VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"holds no dexed/\*.syx, and the download of https://.*builtin_pgm.zip failed .*use the distribution 'uniform'"):
        dexed_cartridges()
    (tmp_path / "dexed").mkdir()
    import dexed
    dexed.Patch.save_to_bank(str(tmp_path / "dexed" / "mine.syx"), [dexed.Patch.from_sysex(bytes(v)) for v in to_dx7(DEXED, sample(DEXED, 32))])
    with pytest.raises(ValueError, match="not exactly Dexed's own cartridges"):
        dexed_cartridges()
    with pytest.raises(ValueError, match="unknown distribution 'priors'.*did you mean 'prior'"):
        Recipe("dexed", "mel128", rows=1, seed=0, distribution="priors")
