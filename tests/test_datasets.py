import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from synthproxy.datasets import (Dataset, Recipe, embed_presets, generate, make_rows, manifest_hash, read_log,
                                 store_handcrafted)
from synthproxy.plugins import get_renderer
from synthproxy.rendering import Note, rms
from synthproxy.synths import draw, get_synth, row_generator, sample

RECIPE = Recipe("dexed", "mel128", rows=512, seed=77, shard_rows=64)
SMALL = Recipe("dexed", "mel128", rows=48, seed=5, shard_rows=16)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Dataset:
    return generate(RECIPE, tmp_path_factory.mktemp("data") / "reference", workers=1, chunk_rows=64)


@pytest.mark.parametrize(("workers", "chunk"), [(2, 64), (2, 7), (1, 7)])
def test_workers_and_chunks_change_nothing(tmp_path, reference, workers, chunk):
    assert manifest_hash(generate(RECIPE, tmp_path, workers=workers, chunk_rows=chunk).folder) == manifest_hash(reference.folder)


def test_another_executor_changes_nothing(tmp_path, reference):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        made = generate(RECIPE, tmp_path, chunk_rows=32, executor=pool)
    assert manifest_hash(made.folder) == manifest_hash(reference.folder)


def test_a_killed_run_is_resumed(tmp_path, reference):
    code = f"from synthproxy.datasets import *; generate({RECIPE!r}, {str(tmp_path)!r}, chunk_rows=7)"
    code = "from synthproxy.rendering import Note; " + code
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    while len(list(tmp_path.glob("shard-*.safetensors"))) < 3 and process.poll() is None:
        time.sleep(.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*.safetensors")}
    assert 3 <= len(finished) < 8
    with pytest.raises(ValueError, match="shards are not made yet; generate again to resume"):
        Dataset(tmp_path)
    made = generate(RECIPE, tmp_path)
    assert manifest_hash(made.folder) == manifest_hash(reference.folder)
    kept = [name for name, time_ns in finished.items() if (tmp_path / name).stat().st_mtime_ns == time_ns]
    assert len(kept) >= len(finished) - 1 # at most the shard between its renaming and its entry in the manifest is made again


def test_two_processes_at_once_make_one_dataset(tmp_path, reference):
    code = f"from synthproxy.datasets import *; from synthproxy.rendering import Note; print(len(generate({RECIPE!r}, {str(tmp_path / 'data')!r})))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == ["512", "512"]
    assert manifest_hash(tmp_path / "data") == manifest_hash(reference.folder)
    assert len(read_log(tmp_path / "data")) == 1 # only one of them did the work


def test_early_rejection_keeps_exactly_the_accepted_rows():
    # the plain way: render every candidate of each row, one after the other
    synth, renderer = get_synth("dexed"), get_renderer("dexed", 32_000)
    made, spent = make_rows(SMALL, range(12))
    for row in range(12):
        generator, draws = row_generator(SMALL.seed, row), 0
        while True:
            preset, draws = draw(synth, generator, 1), draws + 1
            if .01 < rms(renderer.render(preset, Note()))[0] < 1:
                break
        assert np.array_equal(made["presets"][row], preset[0]) and made["draws"][row] == draws
    assert spent["renders"] < spent["draws"] / 3


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b[:900] + bytes([b[900] ^ 1]) + b[901:], lambda b: b""])
def test_verify_names_a_damaged_shard_and_generate_mends_it(tmp_path, damage):
    made = generate(SMALL, tmp_path)
    before, path = manifest_hash(tmp_path), tmp_path / "shard-00001.safetensors"
    made.verify()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="shard-00001.safetensors: sha256"):
        made.verify()
    generate(SMALL, tmp_path).verify()
    assert manifest_hash(tmp_path) == before
    path.unlink()
    with pytest.raises(ValueError, match="shard-00001.safetensors: missing"):
        made.verify()


class _Trap:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_refused_and_not_executed(tmp_path):
    generate(SMALL, tmp_path / "data")
    trap = pickle.dumps(_Trap(tmp_path / "executed"))
    (tmp_path / "data" / "shard-00000.safetensors").write_bytes(trap)
    with pytest.raises(ValueError, match="shard-00000.safetensors: not a readable safetensors shard"):
        Dataset(tmp_path / "data").read("presets")
    assert not (tmp_path / "executed").exists()
    pickle.loads(trap) # the trap does work
    assert (tmp_path / "executed").exists()


def test_slices_are_those_of_the_whole(reference):
    for start, stop in ((0, 512), (60, 70), (64, 128), (500, 600), (511, 512)):
        assert np.array_equal(reference.read("embeddings", start, stop), reference.embeddings[start:stop])
    with pytest.raises(ValueError, match="unknown tensor 'preset'.*did you mean 'presets'"):
        reference.read("preset")


def test_another_recipe_is_not_mixed_in(tmp_path):
    generate(SMALL, tmp_path)
    with pytest.raises(ValueError, match="holds another dataset: note is"):
        generate(Recipe("dexed", "mel128", rows=48, seed=5, shard_rows=16, note=Note(pitch=61)), tmp_path)


def test_a_longer_dataset_begins_with_the_shorter(reference, tmp_path):
    longer = generate(Recipe("dexed", "mel128", rows=70, seed=77, shard_rows=70), tmp_path)
    assert np.array_equal(longer.presets[:64], reference.presets[:64])
    assert np.array_equal(longer.embeddings, reference.embeddings[:70])


@pytest.mark.parametrize(("change", "message"), [
    ({"synth": "dexxed"}, "did you mean 'dexed'"), ({"audio_model": "mn4"}, "did you mean 'mn04'"),
    ({"distribution": "uniforme"}, "did you mean 'uniform'"), ({"rows": 0}, "both must be positive")])
def test_wrong_recipes(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**({"synth": "dexed", "audio_model": "mel128", "rows": 4, "seed": 0} | change))


def test_an_impossible_gate_ends(monkeypatch):
    monkeypatch.setattr("synthproxy.datasets._MOST_DRAWS", 64)
    with pytest.raises(ValueError, match="none of 64 presets has an RMS in"):
        make_rows(Recipe("dexed", "mel128", rows=1, seed=0, rms_low=.9), range(1))


def test_the_log_tells_the_cost(reference):
    entry = read_log(reference.folder)[0]
    assert entry["rows"] == 512 and .05 < entry["acceptance_rate"] < .2 and entry["renders_per_row"] < 3
    assert set(entry["stage_seconds"]) == {"draw", "bound", "render", "embed"} and entry["hardware"]
    assert reference.manifest["acceptance_rate"] == pytest.approx(entry["acceptance_rate"], abs=1e-3)


def test_handcrafted_drops_duplicates_and_silence_and_keeps_names(tmp_path):
    synth = get_synth("dexed")
    presets = sample(synth, 6, seed=77)
    presets[:4] = generate(SMALL, tmp_path / "loud").presets[:4]
    presets[4] = presets[1]
    for n in range(1, 7):
        presets[5, synth.names.index(f"op{n}_output_level")] = 0
    made = store_handcrafted("dexed", "mel128", list("abcdef"), [f"x:{i}" for i in range(6)], presets, tmp_path / "hand")
    assert made.names == ["a", "b", "c", "d"] and len(made.verify()) == 4
    assert made.manifest["dropped"] == {"duplicate": ["e (x:4)"], "silent": ["f (x:5)"]}
    assert np.array_equal(made.embeddings, embed_presets("dexed", "mel128", presets[:4])["embeddings"])


def test_memory_stays_under_2_gb(tmp_path, mn04_weights):
    code = (f"from synthproxy.datasets import *; import resource; generate(Recipe('dexed', 'mn04', 4096, 3), {str(tmp_path)!r});"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024) < 2e9 # all threads together
    assert read_log(tmp_path)[0]["rows"] == 4096
