import errno
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from synthproxy import datasets
from synthproxy.datasets import (Dataset, Recipe, embed_presets, generate, get_dataset, import_presets, make_dataset, make_rows, manifest_hash,
                                 open_dataset, profile_recipe, read_log, recipe_prior, store_handcrafted)
from synthproxy.plugins import RenderError, get_renderer
from synthproxy.priors import differing, near, read_voices
from synthproxy.project import PROFILES, Profile
from synthproxy.notes import Note
from synthproxy.rendering import rms
from synthproxy.synths import draw, encode, get_synth, row_generator, sample

ROWS = 192
RECIPE = Recipe("dexed", "mel128", rows=ROWS, seed=77, shard_rows=24)
SMALL = Recipe("dexed", "mel128", rows=48, seed=5, shard_rows=16)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Dataset:
    return generate(RECIPE, tmp_path_factory.mktemp("data") / "reference", workers=1, chunk_rows=48)


@pytest.mark.parametrize(("workers", "chunk"), [(2, 48), (2, 7), (1, 7)])
def test_workers_and_chunks_change_nothing(tmp_path, reference, workers, chunk):
    assert manifest_hash(generate(RECIPE, tmp_path, workers=workers, chunk_rows=chunk).folder) == manifest_hash(reference.folder)


def test_another_executor_changes_nothing(tmp_path, reference):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        made = generate(RECIPE, tmp_path, chunk_rows=20, executor=pool)
    assert manifest_hash(made.folder) == manifest_hash(reference.folder)


def test_a_killed_run_is_resumed(tmp_path, reference):
    code = (f"from synthproxy.datasets import *; from synthproxy.notes import Note; import time, synthproxy.datasets as d\n"
            f"save, saved = d._save_shard, []\n"
            f"d._save_shard = lambda *a: save(*a) if saved.append(1) or len(saved) < 4 else time.sleep(600)\n" # to be killed there
            f"generate({RECIPE!r}, {str(tmp_path)!r}, chunk_rows=7)")
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    while len(list(tmp_path.glob("shard-*.safetensors"))) < 3 and process.poll() is None:
        time.sleep(.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*.safetensors")}
    assert len(finished) == 3
    with pytest.raises(ValueError, match="shards are not made yet; generate again to resume"):
        Dataset(tmp_path)
    made = generate(RECIPE, tmp_path)
    assert manifest_hash(made.folder) == manifest_hash(reference.folder)
    kept = [name for name, time_ns in finished.items() if (tmp_path / name).stat().st_mtime_ns == time_ns]
    assert len(kept) >= len(finished) - 1 # at most the shard between its renaming and its entry in the manifest is made again


def test_two_processes_at_once_make_one_dataset(tmp_path, reference):
    code = f"from synthproxy.datasets import *; from synthproxy.notes import Note; print(len(generate({RECIPE!r}, {str(tmp_path / 'data')!r})))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == [str(ROWS)] * 2
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
    for start, stop in ((0, ROWS), (20, 50), (24, 48), (ROWS - 12, ROWS + 88), (ROWS - 1, ROWS)):
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
    ({"distribution": "uniforme"}, "did you mean 'uniform'"), ({"rows": 0}, "rows is 0, expected an integer from 1"), ({"rows": 1.5}, "rows is 1.5, expected an integer"), ({"rows": True}, "rows is True"),
    ({"rows": 10**15}, "rows is 1000000000000000, expected an integer from 1 to 1,000,000,000"), ({"seed": -1}, "seed is -1"),
    ({"rows": 10**9, "shard_rows": 1}, "expected at most 100,000 shards, so shard_rows of at least 10,000"), ({"rms_low": float("nan")}, "expected 0 <= rms_low < rms_high")])
def test_wrong_recipes(change, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**({"synth": "dexed", "audio_model": "mel128", "rows": 4, "seed": 0} | change))


def test_an_impossible_gate_ends(monkeypatch):
    monkeypatch.setattr("synthproxy.datasets._MOST_DRAWS", 64)
    with pytest.raises(ValueError, match="none of 64 presets has an RMS in"):
        make_rows(Recipe("dexed", "mel128", rows=1, seed=0, rms_low=.9), range(1))


def test_the_log_tells_the_cost(reference):
    entry = read_log(reference.folder)[0]
    assert entry["rows"] == ROWS and .05 < entry["acceptance_rate"] < .2 and entry["renders_per_row"] < 3
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


def test_a_run_that_is_interrupted_says_how_to_go_on(tmp_path, reference, monkeypatch, caplog):
    save, saved = datasets._save_shard, []

    def interrupted(*given) -> str: # Ctrl-C while the third shard is written
        saved.append(given)
        if len(saved) == 3:
            raise KeyboardInterrupt
        return save(*given)

    monkeypatch.setattr(datasets, "_save_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate(RECIPE, tmp_path)
    assert f"{tmp_path}: stopped; 2 of 8 shards are there, generate again to go on" in [record.message for record in caplog.records]
    monkeypatch.undo()
    assert manifest_hash(generate(RECIPE, tmp_path).folder) == manifest_hash(reference.folder)


def test_a_disk_without_room_is_said_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=150_000))
    with pytest.raises(OSError, match="a dataset of 0.0 GB, and 0.0 GB are free: choose another folder, or make room"):
        generate(RECIPE, tmp_path)
    assert not list(tmp_path.glob("shard-*"))


def test_an_estimate_grows_with_rows_and_is_shown_for_a_long_run(tmp_path, monkeypatch):
    with ThreadPoolExecutor(2) as pool:
        assert 0 < datasets.estimate_s(RECIPE, 10, pool, 2) < datasets.estimate_s(RECIPE, 100_000, pool, 2)
    shown = []
    assert datasets._is_long(2_000, 2) and not datasets._is_long(2_000, 64)
    monkeypatch.setattr(datasets, "_is_long", lambda rows, workers: rows >= ROWS)
    monkeypatch.setattr(datasets.tqdm, "write", lambda bar, text, file: shown.append(text))
    monkeypatch.setattr("sys.stderr", Terminal())
    generate(RECIPE, tmp_path / "long")
    generate(SMALL, tmp_path / "short")
    assert len(shown) == 1 and re.fullmatch(r"long: 192 rows, about [0-9.]+ minutes", shown[0])


def test_an_executor_of_the_callers_keeps_no_work_after_an_interruption(tmp_path, monkeypatch):
    given = []

    class Kept(ThreadPoolExecutor):
        def submit(self, *work):
            given.append(super().submit(*work))
            return given[-1]

    with Kept(1) as pool:
        pool.submit(time.sleep, .3) # so that all others wait
        monkeypatch.setattr(datasets, "wait", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            generate(RECIPE, tmp_path, workers=3, executor=pool)
        assert len(given) == 7 and all(future.cancelled() for future in given[1:])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_set_that_torch_embedded_opens_and_is_not_mixed_with_another_implementation(tmp_path):
    generate(SMALL, tmp_path)
    path, compiled = tmp_path / "manifest.json", {"implementation": "compiled"}
    manifest = json.loads(path.read_text())
    assert compiled.items() <= manifest["made_from"]["audio_model"].items()
    del manifest["made_from"]["audio_model"]["implementation"]
    path.write_text(json.dumps(manifest))
    assert len(generate(SMALL, tmp_path)) == SMALL.rows and json.loads(path.read_text()) == manifest # nothing to make, nothing changed
    (tmp_path / manifest["shards"][0]["file"]).unlink()
    with pytest.raises(ValueError, match="holds another dataset: audio_model is .*implementation"):
        generate(SMALL, tmp_path)
    assert json.loads(path.read_text()) == manifest


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak of a process of its own is read from /proc")
@pytest.mark.parametrize(("model", "sizes"), [("mel128", (256, 1024)), ("mn04", (160,))])
def test_memory_stays_under_2_gb_and_does_not_grow_with_rows(tmp_path, mn04_weights, model, sizes):
    "The peak of all threads together, each run in a process of its own. The system's ru_maxrss would count what the process that started it had."
    code = ("import sys; from synthproxy.datasets import *\n"
            "model, rows = sys.argv[2], int(sys.argv[3])\n" # the least is more than the chunks that are made at a time
            "generate(Recipe('dexed', model, rows, 3), sys.argv[1], workers=2, chunk_rows=32)\n"
            "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])")
    peaks = [int(subprocess.run([sys.executable, "-c", code, str(tmp_path / str(rows)), model, str(rows)], capture_output=True,
                                text=True, check=True).stdout) * 1024 / 1e6 for rows in sizes] # MB; the audio of 768 rows is 490
    assert 100 < peaks[0] < 2000 and peaks[-1] < peaks[0] + 100
    assert read_log(tmp_path / str(sizes[-1]))[0]["rows"] == sizes[-1]


# one's own presets, three verbs, and what ships

ROOT = Path(__file__).parent.parent


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path: # an empty project with a profile of a few rows
    monkeypatch.setenv("SYNTHPROXY_ROOT", str(tmp_path))
    monkeypatch.setitem(PROFILES, "smoke", Profile("smoke", "mel128", 24, 8, 8, "small", (1,), 4, gallery=8, subsets=2))
    return tmp_path


def write_presets(folder: Path, **families: np.ndarray) -> Path: # file name -> presets of Dexed
    folder.mkdir(exist_ok=True)
    table = get_synth("dexed")
    for name, presets in families.items():
        named = {f"{name} {i}": dict(zip((p.name for p in table.parameters), row)) for i, row in enumerate(encode(table, presets).tolist())}
        (folder / f"{name}.json").write_text(json.dumps(named))
    return folder


@pytest.fixture(scope="module")
def loud(tmp_path_factory) -> np.ndarray: # presets that can be heard
    return generate(Recipe("dexed", "mel128", rows=20, seed=9), tmp_path_factory.mktemp("loud")).presets


def hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock"}


def test_imported_presets_are_split_tested_on_and_learned_from(root, loud):
    folder = write_presets(root / "mine", bob=loud[:16], eve=loud[16:])
    assert not datasets.has_handcrafted("dexed", "smoke") and profile_recipe("dexed", "smoke", "train").distribution == "uniform"
    own = root / "data" / "dexed" / "smoke" / "handcrafted"
    made = import_presets("dexed", folder, own, "mel128")
    assert made.names == [f"eve {i}" for i in range(4)] and made.manifest["split"]["test"] == ["eve"] and made.manifest["split"]["rule"] == "whole families"
    assert len(read_voices(own, "dexed")) == made.manifest["voices"]["rows"] == 16
    recipe = profile_recipe("dexed", "smoke", "train")
    prior = recipe_prior(recipe.distribution, recipe.synth, recipe.voices)
    assert recipe.distribution == "prior" and np.array_equal(prior.held_out, made.presets) and 0 < len(prior.voices) <= 16
    train = make_dataset("dexed", "smoke", "train")
    assert differing(prior.synth, train.presets, made.presets).min() > near(prior.synth) == 20
    assert "voices" not in train.manifest["made_from"] and train.manifest["made_from"]["prior"]["held_out"] == 4
    before = hashes(root / "data")
    assert import_presets("dexed", folder, own, "mel128").manifest == made.manifest and len(open_dataset("dexed", "smoke", "train")) == 24
    write_presets(folder, eve=loud[15:])
    with pytest.raises(ValueError, match="holds another dataset; choose another folder or profile, or delete this one first"):
        import_presets("dexed", folder, own, "mel128")
    assert hashes(root / "data") == before
    write_presets(folder, eve=loud[17:])
    shutil.rmtree(own) # other voices make another training set, which is refused where the first one lies
    import_presets("dexed", folder, own, "mel128")
    with pytest.raises(ValueError, match="holds another dataset than profile smoke asks for: prior differs"):
        get_dataset("dexed", "smoke", "train")


def test_a_shipped_test_set_stays_the_test_set(root, loud):
    shutil.copytree(ROOT / "data" / "dexed" / "cpu" / "handcrafted", root / "data" / "dexed" / "cpu" / "handcrafted")
    made = import_presets("dexed", write_presets(root / "mine", bob=loud), root / "data" / "dexed" / "smoke" / "handcrafted", "mel128", most=5)
    assert len(made) == 5 and made.names[0] == "BRASS   1" and made.manifest["split"]["test"] == []
    recipe = profile_recipe("dexed", "smoke", "train")
    prior = recipe_prior(recipe.distribution, recipe.synth, recipe.voices)
    assert len(prior.held_out) == 423 and len(prior.voices) == 20


def test_opening_makes_nothing(root):
    for split in ("train", "validation", "test", "handcrafted"):
        with pytest.raises(FileNotFoundError, match=f"no {split} set of dexed in profile smoke: `make reproduce SYNTH=dexed PROFILE=smoke"):
            open_dataset("dexed", "smoke", split)
    with pytest.raises(FileNotFoundError, match="VOICES=folder` makes it, from a folder of its presets"):
        make_dataset("dexed", "smoke", "handcrafted")
    assert not list(root.iterdir())
    made = get_dataset("dexed", "smoke", "test")
    assert open_dataset("dexed", "smoke", "test").manifest == made.manifest and len(made) == 8


def test_nothing_that_ships_can_be_changed(root, loud, monkeypatch):
    for synth in ("dexed", "faust_poly"):
        for split in ("handcrafted", "test"):
            shutil.copytree(ROOT / "data" / synth / "cpu" / split, root / "data" / synth / "cpu" / split)
    cpu, mine = root / "data" / "dexed" / "cpu", write_presets(root / "mine", bob=loud[:16], eve=loud[16:])
    before = hashes(root / "data")
    (root / "link").symlink_to(cpu / "handcrafted")
    attempts = [lambda: import_presets("dexed", mine, folder, "mel128") for folder in (cpu / "handcrafted", cpu / "test", cpu / "test" / ".." / "handcrafted", root / "link")]
    attempts += [lambda: store_handcrafted("dexed", "mel128", ["a"], ["b"], loud[:1], cpu / "test"),
                 lambda: generate(SMALL, cpu / "test"), lambda: generate(SMALL, cpu / "handcrafted"), lambda: make_dataset("dexed", "cpu", "tset"),
                 lambda: get_dataset("../dexed", "cpu", "test"), lambda: make_dataset("dexed", "cpuu", "test"),
                 lambda: import_presets("dexed", root / "nowhere", cpu / "handcrafted", "mel128")]
    monkeypatch.setitem(PROFILES, "cpu", Profile("cpu", "mel128", 24, 8, 8, "small", (1,), 4)) # another profile than the one that shipped
    attempts += [lambda: get_dataset("dexed", "cpu", "test"), lambda: make_dataset("dexed", "cpu", "test"), lambda: open_dataset("faust_poly", "cpu", "test")]
    for attempt in attempts:
        with pytest.raises((ValueError, FileNotFoundError)):
            attempt()
    assert get_dataset("dexed", "cpu", "handcrafted").names and hashes(root / "data") == before


@pytest.mark.parametrize("field", ["audio_model", "distribution", "kind", "note", "prior", "rms_high", "rms_low", "rows", "seed", "shard_rows", "synth", "table_sha256"])
def test_a_set_is_that_of_a_profile_only_if_its_whole_recipe_matches(field):
    recipe = profile_recipe("amsynth", "cpu", "train")
    made = json.loads(json.dumps(recipe.known())) | {"renderer": {"engine": "any"}}
    made["audio_model"] |= {"dims": 192, "sample_rate_hz": 32_000}
    assert datasets._unlike(recipe, {"made_from": made}) == ""
    assert datasets._unlike(recipe, {"made_from": made | {"device": "cuda", "audio_model": made["audio_model"] | {"device": "cuda"}}}) == "" # wherever it was made
    made[field] = {"audio_model": made["audio_model"] | {"name": "mn05"}, "prior": made["prior"] | {"held_out_sha256": "0" * 64}}.get(field, "another")
    assert datasets._unlike(recipe, {"made_from": made}) == field


def test_a_prior_is_compared_also_where_the_voices_cannot_be_had(monkeypatch):
    recipe = profile_recipe("amsynth", "cpu", "train")
    made = json.loads(json.dumps(recipe.known())) | {"renderer": {}}
    monkeypatch.setattr(datasets.Recipe, "known", lambda self, known=Recipe.known: known(self) if self.distribution == "uniform" else (_ for _ in ()).throw(FileNotFoundError()))
    assert datasets._unlike(recipe, {"made_from": made}) == ""
    made["prior"]["held_out_sha256"] = "0" * 64
    assert datasets._unlike(recipe, {"made_from": made}) == "prior"


# damage and malice

PATHS = [("shards",), ("shards", 0), ("shards", 0, "file"), ("shards", 0, "rows"), ("shards", 0, "sha256"), ("made_from",), ("made_from", "synth"),
         ("made_from", "kind"), ("made_from", "rows"), ("made_from", "shard_rows"), ("made_from", "audio_model"), ("made_from", "audio_model", "dims"),
         ("made_from", "audio_model", "name"), ("made_from", "note"), ("made_from", "renderer"), ("made_from", "seed"), ("made_from", "distribution")]
WRONG = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([10**15, 10**300, -1, 1e308, "../../etc/passwd", "/etc/passwd", "shard-00001.safetensors"]),
                  st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20), st.lists(st.none(), max_size=3), st.dictionaries(st.text(max_size=5), st.integers(), max_size=2))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Dataset:
    return generate(SMALL, tmp_path_factory.mktemp("small") / "data")


def use(folder: Path) -> None: # all that reads a dataset
    dataset = Dataset(folder)
    repr(dataset), len(dataset), dataset.presets, dataset.embeddings, dataset.verify(), dataset.names
    generate(SMALL, folder)


@settings(max_examples=100, deadline=None)
@given(path=st.sampled_from(PATHS), value=WRONG, drop=st.booleans())
def test_a_mutated_manifest_is_one_clear_error_or_harmless(small, tmp_path_factory, path, value, drop):
    folder = tmp_path_factory.mktemp("mutated") / "data"
    shutil.copytree(small.folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    place = manifest
    for key in path[:-1]:
        place = place[key]
    if drop and isinstance(place, dict):
        del place[path[-1]]
    else:
        place[path[-1]] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = hashes(small.folder)
    try:
        use(folder)
    except ValueError as error:
        assert str(folder) in str(error) and (";" in str(error) or "generate again" in str(error) or "expected one of" in str(error))
    assert hashes(small.folder) == before


@pytest.mark.parametrize(("text", "message"), [
    ("", "no readable JSON object"), ("[]", "a list, expected an object"), ("null", "expected an object"), ('{"shards":' + "[" * 200_000, "nested too deeply"),
    ("\udc80".encode("utf-8", "surrogatepass").decode("latin-1"), "no readable JSON object"), ("{}", "field made_from.kind is None, expected str"),
    ('{"made_from": {"kind": 7}}', "field made_from.kind is 7, expected str"), ('{"rows": ' + "9" * 5000 + "}", "no readable JSON object")])
def test_what_is_no_manifest_is_refused(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    for opened in (lambda: Dataset(tmp_path), lambda: generate(SMALL, tmp_path)):
        with pytest.raises(ValueError, match=f"manifest.json: .*{message}"):
            opened()


@pytest.mark.parametrize(("tensors", "message"), [
    ({"presets": np.zeros((16, 99), np.float32)}, r"tensor 'presets' is F32 \[16, 99\], expected F32 \[16, 100\]"),
    ({"presets": np.zeros((15, 100), np.float32)}, r"expected F32 \[16, 100\]"), ({"presets": np.zeros((16, 100), np.float64)}, "is F64"),
    ({"presets": np.zeros((16, 100, 1), np.float32)}, r"\[16, 100, 1\], expected"), ({"weights": np.zeros(3, np.float32)}, "unknown tensor 'presets'")])
def test_shards_of_another_form_are_refused(small, tmp_path, tensors, message):
    folder = Path(shutil.copytree(small.folder, tmp_path / "data"))
    save_file(tensors, folder / "shard-00001.safetensors")
    with pytest.raises(ValueError, match=message):
        Dataset(folder).read("presets")


def test_a_huge_header_and_a_link_are_refused(small, tmp_path):
    folder = Path(shutil.copytree(small.folder, tmp_path / "data"))
    path = folder / "shard-00001.safetensors"
    path.write_bytes((10**17).to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(ValueError, match="shard-00001.safetensors: not a readable safetensors shard"):
        Dataset(folder).read("presets")
    path.unlink()
    path.symlink_to(small.folder / path.name)
    with pytest.raises(ValueError, match="shard-00001.safetensors: a link to .*, expected a file"):
        Dataset(folder).read("presets")
    with pytest.raises(ValueError, match="no rows from 7 to 7, expected some of 0 to 48"):
        small.read("presets", 7, 7)


# what stops a run

@pytest.mark.parametrize("which", [1, 2, 3, 4]) # the manifest, a shard, and so on
def test_a_full_disk_stops_the_run_which_can_then_be_resumed(small, tmp_path, monkeypatch, which):
    calls, sync = [], os.fsync

    def full(number: int) -> None:
        calls.append(number)
        if len(calls) == which:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        generate(SMALL, tmp_path / "data", workers=1, chunk_rows=16)
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["manifest.json"][:which - 1] + ["shard-00000.safetensors"][:which // 3]
    assert manifest_hash(generate(SMALL, tmp_path / "data").folder) == manifest_hash(small.folder)


class Broken: # plays as Dexed does, until its host fails
    def __init__(self, after: int, error: Exception):
        self.engine, self.left, self.error = get_renderer("dexed", 32_000), after, error
        self.rms_bound, self.describe = self.engine.rms_bound, self.engine.describe

    def render(self, presets: np.ndarray, note: Note) -> np.ndarray:
        self.left -= len(presets)
        if self.left <= 0:
            self.left = 10**9
            raise self.error
        return self.engine.render(presets, note)

    def measured(self) -> dict:
        return {"repeats": 8, "identical": 8}


class Picky(Broken): # cannot play one preset, and says which only by its number in the batch
    def __init__(self, unplayable: np.ndarray):
        super().__init__(10**9, RuntimeError())
        self.unplayable = unplayable

    def render(self, presets: np.ndarray, note: Note) -> np.ndarray:
        if len(at := np.flatnonzero((presets == self.unplayable).all(1))):
            raise RenderError(f"preset {at[0]} cannot be played")
        return self.engine.render(presets, note)


def test_a_failing_host_stops_the_run_which_can_then_be_resumed(small, tmp_path, monkeypatch):
    broken = Broken(40, RuntimeError("the display is gone"))
    monkeypatch.setattr(datasets, "get_renderer", lambda synth, sample_rate_hz: broken)
    with pytest.raises(RuntimeError, match="the display is gone"):
        generate(SMALL, tmp_path, workers=1, chunk_rows=8)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert None in manifest["shards"] and any(manifest["shards"]) and "failed" not in manifest
    made = generate(SMALL, tmp_path)
    assert np.array_equal(made.presets, small.presets) and np.array_equal(made.embeddings, small.embeddings)
    assert made.manifest["measured"] == {"repeats": 8, "identical": 8} and made.manifest["made_from"] == small.manifest["made_from"]
    broken.left, broken.error = 1, RuntimeError("the display is gone again")
    with pytest.raises(RuntimeError, match="gone again"):
        store_handcrafted("dexed", "mel128", ["a"] * 9, ["b"] * 9, small.presets[:9], tmp_path / "hand")
    assert not (tmp_path / "hand").exists()


def test_one_preset_that_cannot_be_played_costs_one_row(small, tmp_path, monkeypatch):
    picky = Picky(small.presets[2])
    monkeypatch.setattr(datasets, "get_renderer", lambda synth, sample_rate_hz: picky)
    made = generate(SMALL, tmp_path, workers=1, chunk_rows=8)
    assert len(made.manifest["failed"]) == 1 and np.flatnonzero((made.presets != small.presets).any(1)).tolist() == [2]


def test_an_empty_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no presets of dexed to store in .*: expected at least one"):
        store_handcrafted("dexed", "mel128", [], [], np.empty((0, 100), np.float32), tmp_path / "data")
    assert not (tmp_path / "data").exists()
