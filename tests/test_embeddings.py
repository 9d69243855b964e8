"""Other audio models on the same rows: as if the set had been made with them, resumed, and refused where it is another set."""
import shutil
from dataclasses import replace

import numpy as np
import pytest

from synthproxy import embeddings as module
from synthproxy.datasets import Dataset, Recipe, generate, manifest_hash, store_handcrafted
from synthproxy.embeddings import Embedded, embed_dataset, embedded_by, open_embedded
from synthproxy.evaluation import evaluate_proxy
from synthproxy.synths import get_synth, sample
from synthproxy.training import TrainConfig, train

RECIPE = Recipe("dexed", "mel128", rows=48, seed=1, shard_rows=16)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return generate(RECIPE, tmp_path_factory.mktemp("mel"))


@pytest.fixture
def mel(shared, tmp_path): # a copy of one's own
    return Dataset(shutil.copytree(shared.folder, tmp_path / "set"))


def test_the_rows_are_those_of_a_set_made_with_the_other_model(mel, tmp_path):
    drawn = generate(replace(RECIPE, audio_model="mfcc40"), tmp_path / "drawn")
    before, other = manifest_hash(mel.folder), embed_dataset(mel, "mfcc40")
    assert all(np.array_equal(other.read(name), drawn.read(name)) for name in ("presets", "embeddings", "rms", "draws"))
    assert np.array_equal(other.read("embeddings", 10, 30), drawn.embeddings[10:30]) and len(other) == 48
    assert manifest_hash(mel.folder) == before != other.sha256 and embedded_by(mel) == ["mel128", "mfcc40"]
    assert np.array_equal(Dataset(mel.folder).embeddings, mel.embeddings) # its own stay
    assert embedded_by(other) == embedded_by(mel) and embed_dataset(other, "mel128") is mel and open_embedded(other, "mfcc40").sha256 == other.sha256
    assert "mfcc40" in repr(other) and "mel128" in repr(mel)


def test_an_interrupted_run_goes_on_and_comes_to_the_same(mel, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_ROWS", 16)
    whole = embed_dataset(Dataset(shutil.copytree(mel.folder, tmp_path / "whole")), "mfcc40")
    listen, played = module._listen, []

    def interrupted(*given) -> dict:
        played.append(given[-2:])
        if len(played) == 2:
            raise KeyboardInterrupt
        return listen(*given)

    monkeypatch.setattr(module, "_listen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        embed_dataset(mel, "mfcc40")
    assert embedded_by(mel) == ["mel128"]
    with pytest.raises(ValueError, match="2 of 3 shards are not made yet"):
        open_embedded(mel, "mfcc40")
    again = embed_dataset(mel, "mfcc40")
    assert played == [(0, 16), (16, 32), (16, 32), (32, 48)] and again.sha256 == whole.sha256
    assert embed_dataset(mel, "mfcc40").sha256 == whole.sha256 and len(played) == 4 # nothing is played again


def test_embeddings_of_another_set_are_refused(mel, tmp_path):
    embed_dataset(mel, "mfcc40")
    another = generate(replace(RECIPE, seed=2), tmp_path / "another")
    shutil.copytree(mel.folder / "embeddings", another.folder / "embeddings")
    with pytest.raises(ValueError, match="holds embeddings of another set: of_sha256 differs; choose another folder or delete this one"):
        embed_dataset(another, "mfcc40")
    with pytest.raises(ValueError, match="holds embeddings of another set than .* is now; delete it"):
        open_embedded(another, "mfcc40")
    shard = mel.folder / "embeddings" / "mfcc40" / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\1")
    with pytest.raises(ValueError, match="shard-00000.safetensors: sha256"):
        open_embedded(mel, "mfcc40").verify()
    before = open_embedded(mel, "mfcc40").sha256
    assert embed_dataset(mel, "mfcc40").verify().sha256 == before # just that file is made again
    assert embedded_by(another) == ["mel128"] # those that lie there belong to another set


def test_another_engine_or_table_embeds_nothing(mel, monkeypatch):
    loud = module.get_renderer("dexed", 32_000)

    class Louder:
        synth, describe = loud.synth, loud.describe

        def render(self, presets, note):
            return loud.render(presets, note) * np.float32(1.1)

    monkeypatch.setattr(module, "get_renderer", lambda *_: Louder())
    with pytest.raises(ValueError, match=r"row \d+ has an RMS of .*, and had .* when the set was made: this is another version of the engine"):
        embed_dataset(mel, "mfcc40")
    assert embedded_by(mel) == ["mel128"]
    mel.manifest["made_from"]["table_sha256"] = "0" * 64
    with pytest.raises(ValueError, match="another parameter table of dexed"):
        embed_dataset(mel, "mfcc40")


def test_what_is_not_there_says_what_makes_it(mel):
    with pytest.raises(FileNotFoundError, match="which has mel128: `papermill nbs/03_datasets.ipynb out.ipynb -p synth dexed -p audio_model mfcc40` makes them"):
        open_embedded(mel, "mfcc40")
    with pytest.raises(ValueError, match="did you mean 'mfcc40'"):
        embed_dataset(mel, "mfcc4")
    assert embed_dataset(mel, "mel128") is mel is open_embedded(mel, "mel128") and not (mel.folder / "embeddings").exists()


def test_it_is_learned_from_and_tested_on(mel, validation_set, tmp_path):
    config, other = TrainConfig("mlp_oh", "small", batch_size=16, learning_rate=1e-3, epochs=(1,), warmup_steps=1), embed_dataset(mel, "mfcc40")
    validation = embed_dataset(Dataset(shutil.copytree(validation_set.folder, tmp_path / "validation")), "mfcc40")
    proxy = train(config, other, validation, tmp_path / "run", "cpu")
    assert (proxy.config["audio_model"], proxy.config["dims"], proxy.config["data"]["manifest_sha256"]) == ("mfcc40", 40, other.sha256)
    with pytest.raises(ValueError, match="holds a run with other data"):
        train(config, mel, mel, tmp_path / "run", "cpu")
    assert len(evaluate_proxy(proxy, other, 32, 2))
    with pytest.raises(ValueError, match="the proxy predicts mfcc40, the dataset holds embeddings of mel128"):
        evaluate_proxy(proxy, mel, 32, 2)


def test_hand_crafted_sets_too(tmp_path):
    presets = sample(get_synth("faust_poly"), 6, seed=1)
    made = store_handcrafted("faust_poly", "mel128", [str(i) for i in range(6)], ["x"] * 6, presets, tmp_path / "people")
    other = embed_dataset(made, "mfcc40")
    assert isinstance(other, Embedded) and other.names == made.names and other.embeddings.shape == (len(made), 40)
