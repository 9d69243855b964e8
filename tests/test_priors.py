"""Where training presets come from, and what is kept away from them."""
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from synthproxy.datasets import Dataset, Recipe, generate, import_presets, make_rows, profile_recipe, recipe_prior
from synthproxy.presets import read_presets
from synthproxy.priors import (PRESETS_VARIABLE, SHARES, VOICES_FILE, Prior, dexed_cartridges, describe_prior, differing, families, find_voices, get_prior,
                               have_voices, name_voices, near, preset_folder, read_voices, split_presets)
from synthproxy.project import cache_folder, data_folder
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


def test_voices_are_called_what_their_cartridges_call_them(cartridges):
    names, sources = name_voices("dexed", cartridges[::50])
    read = read_presets("dexed", preset_folder("dexed") or cache_folder() / "dexed_cartridges")
    for voice, name, source in zip(cartridges[::50], names, sources):
        i = read.sources.index(source.removeprefix("Dexed's "))
        assert np.array_equal(read.presets[i], voice) and read.names[i] == name
    strange = sample(DEXED, 1, seed=3)
    assert name_voices("dexed", strange) == name_voices("amsynth", strange) == (["voice 0"], ["the synth's own voices"])


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
    close, most = prior.held_out.copy(), near(DEXED)
    close[:, 20:20 + most] = prior.voices[:5, 20:20 + most]
    assert not prior.allowed(close).any() and prior.allowed(sample(DEXED, 50, seed=9)).all()


def test_what_is_wrong_in_the_synths_own_cartridges_is_said_only_where_voices_are_missing(cartridges, caplog, tmp_path, monkeypatch):
    assert not caplog.records # one of the files has a fault
    if folder := preset_folder("dexed"):
        shutil.copytree(folder, tmp_path / "dexed")
        cut = sorted((tmp_path / "dexed").glob("*.syx"))[3]
        cut.write_bytes(cut.read_bytes()[:2000])
        monkeypatch.setenv(PRESETS_VARIABLE, str(tmp_path))
        with pytest.raises(ValueError, match=f"not exactly Dexed's own cartridges; .*{cut.name}: .*it is cut"):
            dexed_cartridges()


def test_a_prior_dataset_keeps_away_from_the_test_set(cartridges, tmp_path):
    recipe = Recipe("dexed", "mel128", rows=96, seed=11, distribution="prior", shard_rows=64)
    dataset = generate(recipe, tmp_path / "a", workers=2, chunk_rows=16)
    described, prior = dataset.manifest["made_from"]["prior"], recipe_prior("prior", "dexed")
    assert described["shares"] == SHARES["prior"] and described["near"] == near(DEXED) == 20 and described["voices"] == len(prior.voices) < len(cartridges)
    assert differing(DEXED, prior.voices, prior.held_out).min() > near(DEXED) and len(prior.held_out) == described["held_out"] == 423
    assert differing(DEXED, dataset.presets, prior.held_out).min() > near(DEXED)
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
    assert name_voices("dexed", np.empty((0, len(DEXED)), np.float32)) == ([], []) # nothing is fetched to name nobody
    with pytest.raises(FileNotFoundError, match=r"holds no dexed/\*.syx, and the download of https://.*builtin_pgm.zip failed .*use the distribution 'uniform'"):
        dexed_cartridges()
    (tmp_path / "dexed").mkdir()
    import dexed
    dexed.Patch.save_to_bank(str(tmp_path / "dexed" / "mine.syx"), [dexed.Patch.from_sysex(bytes(v)) for v in to_dx7(DEXED, sample(DEXED, 32))])
    with pytest.raises(ValueError, match="not exactly Dexed's own cartridges"):
        dexed_cartridges()
    with pytest.raises(ValueError, match="unknown distribution 'priors'.*did you mean 'prior'"):
        Recipe("dexed", "mel128", rows=1, seed=0, distribution="priors")


BANKS = Path("/usr/share/amsynth/banks")
AMSYNTH = get_synth("amsynth")


def test_banks_of_one_author_are_one_family():
    assert families(["BriansBank07.amSynth.bank:3", "briansbank22.bank:0", "amsynth_factory.bank:1", "dx7_roms.dx7:5", "a1.syx:0"]).tolist() == [
        "briansbank", "briansbank", "amsynth", "dx7", "a1"]


@pytest.mark.parametrize(("sizes", "test"), [
    ({"brian": 2632, "patrik": 637, "factory": 26}, ["patrik"]), ({"a": 50, "b": 50}, ["a"]), ({"a": 90, "b": 6, "c": 5}, ["b", "c"]),
    ({"one": 100}, []), ({"one": 100, "tiny": 2}, []), ({"only": 1}, [])])
def test_whole_families_are_tested_where_they_are_of_a_fair_size(sizes, test):
    sources = [f"{name}.json:{i}" for name, size in sizes.items() for i in range(size)]
    learn, tested, report = split_presets(np.arange(len(sources), dtype=float)[:, None], sources)
    assert report == {"rule": "whole families" if test else "every fifth preset", "families": dict(sorted(sizes.items())), "test": test}
    assert sorted([*learn, *tested]) == list(range(len(sources)))
    assert set(families([sources[i] for i in tested])) == set(test) if test else tested.tolist() == list(range(0, len(sources), 5))


def test_equal_presets_never_straddle_the_split():
    presets = np.repeat(np.arange(20.), 2)[:, None]
    learn, tested, _ = split_presets(presets, [f"{'ab'[i % 2]}.json:{i}" for i in range(40)])
    assert len(learn) + len(tested) == 20 and not set(presets[learn, 0]) & set(presets[tested, 0])
    with pytest.raises(ValueError, match="no presets to split"):
        split_presets(np.empty((0, 3)), [])


def test_amsynths_prior_learns_from_two_authors_and_keeps_away_from_the_third():
    shipped = Dataset(data_folder("amsynth", "cpu") / "handcrafted").verify()
    assert set(families(shipped.manifest["sources"])) == set(shipped.manifest["split"]["test"]) == {"patriksbank"} and len(shipped) == 637
    recipe = profile_recipe("amsynth", "cpu", "train")
    prior = recipe_prior(recipe.distribution, "amsynth")
    assert recipe.distribution == "prior" and recipe.rows == 12_288 and np.array_equal(prior.held_out, shipped.presets)
    assert near(AMSYNTH) == 7 and differing(AMSYNTH, prior.voices, prior.held_out).min() > 7 and len(prior.voices) <= 2658
    assert describe_prior(prior)["near"] == 7
    assert [profile_recipe("amsynth", "cpu", split).distribution for split in ("validation", "test")] == ["uniform"] * 2


@pytest.mark.skipif(not BANKS.is_dir(), reason="Debian's amsynth is not installed")
def test_the_shipped_split_of_amsynth_is_what_the_banks_give():
    read, shipped = read_presets("amsynth", BANKS), Dataset(data_folder("amsynth", "cpu") / "handcrafted")
    learn, test, split = split_presets(read.presets, read.sources)
    assert np.array_equal(read.presets[test], shipped.presets) and [read.names[i] for i in test] == shipped.names
    assert np.array_equal(np.unique(read.presets[learn], axis=0), find_voices("amsynth"))
    assert {k: shipped.manifest["split"][k] for k in split} == split
    assert import_presets("amsynth", BANKS, shipped.folder, "mn04").manifest == shipped.manifest # the same presets: opened, not made again


def write_presets(folder: Path, **families: np.ndarray) -> Path: # file name -> presets of faust_poly
    synth = get_synth("faust_poly")
    folder.mkdir(exist_ok=True)
    for name, presets in families.items():
        content = {f"{name} {i}": {p.name: float(p.values[int(x)] if p.categories else x) for p, x in zip(synth.used, preset)} for i, preset in enumerate(presets)}
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_a_folder_of_ones_own_is_enough_for_a_prior(tmp_path):
    synth = get_synth("faust_poly")
    folder = write_presets(tmp_path / "mine", bob=sample(synth, 30, seed=1), eve=sample(synth, 8, seed=2))
    prior = get_prior("prior", "faust_poly", voices=folder)
    assert len(prior.held_out) == 8 and 0 < len(prior.voices) <= 30 and differing(synth, prior.voices, prior.held_out).min() > near(synth) == 4
    given = get_prior("prior", "faust_poly", prior.held_out[:2], folder)
    assert len(given.held_out) == 2 and len(given.voices) > 30
    with pytest.raises(ValueError, match="no voices to learn from for 'faust_poly': name a folder of its presets"):
        get_prior("prior", "faust_poly")
    with pytest.raises(ValueError, match="none of 2 voices differs in more than 4 parameters"):
        get_prior("prior", "faust_poly", prior.voices, prior.voices[:2])


def test_damaged_voices_are_one_clear_error(tmp_path):
    folder = Path(shutil.copytree(data_folder("amsynth", "cpu") / "handcrafted", tmp_path / "set"))
    assert len(read_voices(folder, "amsynth")) == 2658
    path = folder / VOICES_FILE
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"voices.safetensors: no readable voices \(its sha256 is not the one in manifest.json"):
        read_voices(folder, "amsynth")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["voices"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="voices.safetensors: no readable voices"):
        read_voices(folder, "amsynth")
    path.unlink()
    with pytest.raises(ValueError, match="voices.safetensors: no readable voices"):
        read_voices(folder, "amsynth")
