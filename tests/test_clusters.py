"""A dataset made by a Dask cluster is the one that a single process makes, whatever happens to its workers."""
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from synthproxy import datasets
from synthproxy.clusters import cluster
from synthproxy.datasets import Recipe, generate, manifest_hash

RECIPE = Recipe("dexed", "mel128", rows=224, seed=77, shard_rows=32)
ROOT = Path(__file__).parent.parent


@contextmanager
def dask(*words: str, tmp_path: Path, says: str): # a process, and what it said of itself
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SYNTHPROXY_ROOT": str(tmp_path / "no project"), "OMP_NUM_THREADS": "1"}
    log = tmp_path / f"{len(list(tmp_path.glob('*.log')))}.log"
    with open(log, "w") as file, subprocess.Popen([sys.executable, "-m", "distributed.cli." + words[0], *words[1:]], cwd=tmp_path, env=environment,
                                                  stdout=file, stderr=subprocess.STDOUT, start_new_session=True) as process:
        try:
            for _ in range(600):
                if found := re.search(says, log.read_text()):
                    break
                assert process.poll() is None, log.read_text()
                time.sleep(.1)
            yield process, found.group(1)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def workers_of(scheduler: str, count: int, tmp_path: Path): # in an empty folder that knows no project
    words = ("dask_worker", scheduler, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path))
    if not count:
        yield []
        return
    with dask(*words, tmp_path=tmp_path, says=r"Registered to:\s+(tcp://\S+)") as (process, _), workers_of(scheduler, count - 1, tmp_path) as others:
        yield [process, *others]


def test_a_cluster_that_loses_a_worker_makes_the_same_dataset(tmp_path, monkeypatch):
    alone = generate(RECIPE, tmp_path / "alone", workers=1)
    began, finish = [], datasets._finish

    def watch(*given) -> None: # the first rows are there: one worker goes
        finish(*given)
        if not began:
            began.append(os.killpg(processes[0].pid, signal.SIGKILL))

    with dask("dask_scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1", tmp_path=tmp_path, says=r"Scheduler at:\s+(tcp://\S+)") as (_, scheduler):
        with workers_of(scheduler, 2, tmp_path) as processes:
            with cluster(scheduler) as (executor, workers):
                assert workers == 2
                monkeypatch.setattr(datasets, "_finish", watch)
                together = generate(RECIPE, tmp_path / "together", workers, chunk_rows=16, executor=executor)
            assert processes[0].wait(10) == -signal.SIGKILL and processes[1].poll() is None
        with pytest.raises(ValueError, match="has no workers: start some with `dask worker tcp://"), cluster(scheduler, timeout_s=.5):
            pass
    assert manifest_hash(together.folder) == manifest_hash(alone.folder) and len(together.verify()) == RECIPE.rows


def test_a_worker_with_other_means_makes_no_row(monkeypatch):
    prior, made_by = datasets.recipe_prior("uniform", "dexed"), datasets._made_by(RECIPE)
    made, _ = datasets._make_chunk(RECIPE, range(2), prior, made_by)
    assert len(made["presets"]) == 2
    by_torch = made_by | {"audio_model": {k: v for k, v in made_by["audio_model"].items() if k != "implementation"}}
    with pytest.raises(ValueError, match="worker on .*: audio_model is .*'compiled'.*, not .*; every worker needs the same version"):
        datasets._make_chunk(RECIPE, range(2), prior, by_torch)


def test_without_dask_an_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'synthproxy\[cluster\]'"), cluster("tcp://127.0.0.1:9"):
        pass
