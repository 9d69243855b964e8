"""A dataset in a store: one writer at a time, and what was interrupted goes on."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from synthproxy import datasets
from synthproxy.datasets import Dataset, Recipe, generate, manifest_hash
from synthproxy.stores import LOCK, alone, as_folder, local_copy

RECIPE = Recipe("dexed", "mel128", rows=40, seed=7, shard_rows=8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SYNTHPROXY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store(request) -> Path: # empty, of this test alone
    return as_folder(f"memory://{request.node.name}/set")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_interrupted_goes_on(store, tmp_path, monkeypatch):
    finish = datasets._finish

    def stop(recipe, folder, manifest, shard, *rest) -> None:
        finish(recipe, folder, manifest, shard, *rest)
        if sum(map(bool, manifest["shards"])) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "_finish", stop)
    with pytest.raises(KeyboardInterrupt):
        generate(RECIPE, store, workers=1, chunk_rows=8)
    assert not (store / LOCK).exists()
    there = content(store)
    assert sum(name.startswith("shard") for name in there) == 2
    monkeypatch.setattr(datasets, "_finish", finish)
    made = generate(RECIPE, store).verify()
    assert {name: data for name, data in content(store).items() if name.startswith("shard") and name in there} == {k: v for k, v in there.items() if k.startswith("shard")}
    near = generate(RECIPE, tmp_path / "near")
    assert manifest_hash(store) == manifest_hash(near.folder) and np.array_equal(made.presets, near.presets)
    assert datasets.read_log(store)[-1]["rows"] == 24


def test_a_second_writer_overwrites_nothing(store):
    store.mkdir(parents=True, exist_ok=True)
    (store / LOCK).write_text('{"machine": "another 0123", "since": "2026-01-01T00:00:00+00:00"}')
    before = content(store)
    with pytest.raises(BlockingIOError, match="another 0123 writes there since 2026-01-01.*; if it does not any more, delete memory://"):
        generate(RECIPE, store)
    assert content(store) == before


def test_a_store_that_cannot_create_is_found_out(store, monkeypatch):
    fs = type(store.fs)
    plain = fs.pipe_file
    monkeypatch.setattr(fs, "pipe_file", lambda self, path, value, mode="overwrite", **kwargs: plain(self, path, b'{"machine": "faster"}' if mode == "create" else value, **kwargs))
    with pytest.raises(BlockingIOError, match="another machine has begun to write there at the same time"), alone(store):
        pass


def test_a_killed_writer_leaves_a_lock_that_its_machine_takes_over(tmp_path):
    url = f"file://{tmp_path}/store/set"
    code = f"from synthproxy.datasets import *; generate(Recipe('dexed', 'mel128', rows=4096, seed=7, shard_rows=8), {url!r}, workers=1, chunk_rows=8)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"SYNTHPROXY_CACHE": str(tmp_path / "cache")}) as process:
        for _ in range(1200):
            if (tmp_path / "store" / "set" / "shard-00000.safetensors").is_file():
                break
            assert process.poll() is None, process.communicate()[0].decode()
            time.sleep(.05)
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "store" / "set" / LOCK).is_file()
    with alone(as_folder(url)):
        pass
    assert not (tmp_path / "store" / "set" / LOCK).exists()


def test_a_damaged_shard_is_named_and_not_kept(store, cache):
    generate(RECIPE, store)
    path = store / "shard-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(ValueError, match="shard-00002.safetensors: sha256 .*: damaged; delete it and generate again to make just this file"):
        Dataset(store).embeddings
    path.unlink()
    assert len(generate(RECIPE, store).embeddings) == RECIPE.rows
    assert len(list((cache / "shards").iterdir())) == 5 # one for each shard


def test_a_copy_is_fetched_once(store, monkeypatch):
    made = generate(RECIPE, store)
    shard = made.manifest["shards"][0]
    copy = local_copy(store / shard["file"], shard["sha256"])
    (store / shard["file"]).unlink()
    assert local_copy(store / shard["file"], shard["sha256"]) == copy and copy.is_file()


def test_an_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(ImportError, match=r"s3://bucket/x: .*; a folder in a store needs pip install 'synthproxy\[cluster\]'"):
        generate(RECIPE, "s3://bucket/x")


SCRIPT = """
import sys
from pathlib import Path
from synthproxy.datasets import Recipe, generate

generate(Recipe("faust_poly", "mel128", rows=2, seed=1), Path(sys.argv[1]))
"""


def test_a_script_that_its_workers_run_again_says_what_it_lacks(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, tmp_path / "script.py", tmp_path / "set"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 1 and 'below `if __name__ == "__main__":`' in done.stderr
