"""Studies: the same trials whether or not they were stopped, none lost and none twice, and the table that training reads."""
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import psutil
import pytest

import synthproxy.hpo as hpo
from synthproxy.datasets import Recipe, generate
from synthproxy.preset_encoders import ENCODERS, Settings
from synthproxy.training import TUNED, read_settings, train_config

CONFIG = hpo.StudyConfig("dexed", "smoke", "hn_oh", "network", rows=96, epochs=2, seed=3, spread=3)
TRIALS = 6 # four from the quasi-random start or before it, two that the past decides


@pytest.fixture(scope="module")
def sets(tmp_path_factory, validation_set):
    return {"train": generate(Recipe("dexed", "mel128", 96, 500), tmp_path_factory.mktemp("train")), "validation": validation_set}


@pytest.fixture
def small(sets, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(hpo, "get_dataset", lambda synth, profile, split: sets[split])


def outcome(study) -> pd.DataFrame: # what does not depend on the machine
    return hpo.trials_table(study, CONFIG).drop(columns=["seconds", "hardware", "commit"])


def test_a_process_that_is_killed_loses_and_doubles_nothing(small, sets, tmp_path):
    through = outcome(hpo.run_study(CONFIG, tmp_path / "through.journal", TRIALS))
    assert len(through) == TRIALS and through.trial.tolist() == list(range(TRIALS)) and through.value.between(0, 1).all()
    mark, asleep, storage, shared = tmp_path / "mark", tmp_path / "asleep", tmp_path / "killed.journal", tmp_path / "shared.journal"
    code = (f"import time, pathlib, synthproxy.hpo as h; from synthproxy.datasets import Dataset\n"
            f"folders = {({split: str(s.folder) for split, s in sets.items()})!r}\n"
            f"h.get_dataset = lambda synth, profile, split: Dataset(folders[split])\n"
            f"curve = h.validation_curve\n"
            f"def slow(*given):\n"
            f"    for value in curve(*given):\n"
            f"        yield value\n"
            f"        if pathlib.Path({str(mark)!r}).is_file():\n" # in the middle of a trial, to be killed there
            f"            pathlib.Path({str(asleep)!r}).touch()\n"
            f"            time.sleep(600)\n"
            f"h.validation_curve = slow\n"
            f"h.run_study(h.{CONFIG!r}, {str(storage)!r}, 4)\n"
            f"pathlib.Path({str(mark)!r}).touch()\n"
            f"h.run_study(h.{CONFIG!r}, {str(storage)!r}, {TRIALS})")
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    while not asleep.is_file() and process.poll() is None: # a trial that has told a value, and neither ends nor is pruned
        time.sleep(.05)
    shutil.copy(storage, shared)
    joined = outcome(hpo.run_study(CONFIG, shared, TRIALS)) # while the other lives: its trial is left to it
    assert joined.trial.is_unique and set(joined.trial) < set(range(TRIALS)) and len(joined) == TRIALS - 1
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stderr.read().decode()
    assert outcome(hpo.run_study(CONFIG, shared, TRIALS)).trial.tolist() == list(range(TRIALS)) # and taken now
    resumed = hpo.run_study(CONFIG, storage, TRIALS)
    pd.testing.assert_frame_equal(outcome(resumed), through)
    assert [t.state.name for t in resumed.trials].count("FAIL") == 1 # the one that was killed: begun anew


@pytest.mark.parametrize("where", ["study.journal", "sqlite:///study.db"])
def test_a_trial_that_nobody_runs_is_begun_anew(small, tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    study, curve, now = hpo.open_study(CONFIG, where), hpo.validation_curve, time.time()
    here, today = socket.gethostname(), now - 3_600
    for machine, process, heard in (("elsewhere", 1, today), ("elsewhere", 1, now - 2 * 86_400), (here, os.getpid(), today), (here, os.getppid(), 0), (here, os.getppid(), now)):
        trial = study.ask(hpo.search_space(CONFIG)) # alive as far as one knows, silent, this very process, one that had another's number, another
        trial.set_user_attr("heard", heard)
        trial.set_user_attr("runs_on", (machine, process))

    def stopped(*given):
        yield from [0.1]
        raise KeyboardInterrupt

    monkeypatch.setattr(hpo, "validation_curve", stopped)
    with pytest.raises(KeyboardInterrupt):
        hpo.run_study(CONFIG, where, 6)
    assert [t.state.name for t in study.trials] == ["RUNNING", "FAIL", "FAIL", "FAIL", "RUNNING", "FAIL", "WAITING", "WAITING", "WAITING"]
    monkeypatch.setattr(hpo, "validation_curve", curve)
    table = hpo.trials_table(hpo.run_study(CONFIG, where, 5), CONFIG)
    assert table.trial.tolist() == [1, 2, 3]
    spread = hpo.spread_point(1, hpo.search_space(CONFIG), CONFIG.seed)
    assert table.loc[0, list(spread)].to_dict() == spread
    with pytest.raises(ValueError, match="the settings in use have not been tried"): # they run elsewhere
        hpo.keep_best(table.assign(profile="cpu"), tmp_path / "tuned.csv")
    drawn = hpo.plot_history(table, plt.figure().gca()).lines
    assert "in use" not in [line.get_label() for line in drawn]


ALONE = """
import os, pathlib, sys, time
import synthproxy.hpo as hpo

def work(config, folder):
    (pathlib.Path(folder) / str(os.getpid())).touch()
    time.sleep(120)

work.__module__, hpo.work = "synthproxy.hpo", work # also in the processes that are begun
if __name__ == "__main__":
    hpo.in_processes("hpo", "work", [(hpo.StudyConfig("dexed", "smoke", "hn_oh", "network", 96, 2), sys.argv[1])] * 2, 2)
"""


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_no_worker_goes_on_alone(tmp_path):
    script, folder = tmp_path / "alone.py", tmp_path / "begun"
    script.write_text(ALONE)
    folder.mkdir()
    with subprocess.Popen([sys.executable, script, folder]) as head:
        while len(workers := [int(path.name) for path in folder.iterdir()]) < 2:
            assert head.poll() is None
            time.sleep(.1)
        head.kill()
    until = time.monotonic() + 30
    while any(map(lives, workers)):
        assert time.monotonic() < until
        time.sleep(.1)


def test_what_two_begin_at_once_is_run_once(small, tmp_path):
    study = hpo.open_study(CONFIG, tmp_path / "study.journal")
    first = hpo.next_trial(study, 1)
    hpo.fail(study, first.number)
    hpo.queue_again(study)
    study.enqueue_trial(first.params, {"anew": 0}) # by another, who has not seen it
    again = hpo.next_trial(study)
    again.set_user_attr("runs_on", ("elsewhere", 1))
    new = hpo.next_trial(study)
    assert hpo.indices(study.trials)[new.number] == 1
    assert [t.state.name for t in study.trials] == ["FAIL", "RUNNING", "FAIL", "RUNNING"]
    assert hpo._is_one_too_many(study, study.ask().number, 2) and not hpo._is_one_too_many(study, study.ask().number, 9)


def test_what_fails_again_and_again_is_left_alone(small, tmp_path, monkeypatch):
    def broken(*given):
        raise RuntimeError("out of memory")

    curve, storage = hpo.validation_curve, tmp_path / "study.journal"
    monkeypatch.setattr(hpo, "validation_curve", broken)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="out of memory"):
            hpo.run_study(CONFIG, storage, 2)
    monkeypatch.setattr(hpo, "validation_curve", curve)
    assert hpo.trials_table(hpo.run_study(CONFIG, storage, 2), CONFIG).trial.tolist() == [1, 2]


def test_what_is_stopped_again_and_again_is_begun_anew(small, tmp_path):
    study = hpo.open_study(CONFIG, tmp_path / "study.journal")
    for _ in range(4):
        hpo.fail(study, hpo.next_trial(study).number)
    study.tell(study.ask(), state=hpo.TrialState.FAIL) # a copy that was dropped: it has no parameters
    last = hpo.next_trial(study)
    assert hpo.indices(study.trials)[last.number] == 0 and last.params == hpo.settings_in_use(CONFIG)


@pytest.mark.parametrize("lines", [2, 9, 20]) # that still have room: while a trial begins, while it says its parameters, while it runs
def test_a_full_disk_loses_no_trial(small, tmp_path, monkeypatch, lines):
    storage, append, written = tmp_path / "study.journal", hpo.JournalFileBackend.append_logs, []
    hpo.run_study(CONFIG, storage, 1)
    shutil.copy(storage, tmp_path / "through.journal")
    through = outcome(hpo.run_study(CONFIG, tmp_path / "through.journal", 2))

    def full(backend, logs):
        written.append(logs)
        if len(written) <= lines:
            return append(backend, logs)
        with open(storage, "ab") as file:
            file.write(b'{"op_code": 4, "wor') # what still had room
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hpo.JournalFileBackend, "append_logs", full)
    with pytest.raises(OSError, match="study.journal cannot be read or written .*No space left.* what is finished is kept, run the same again"):
        hpo.run_study(CONFIG, storage, 2)
    monkeypatch.setattr(hpo.JournalFileBackend, "append_logs", append)
    pd.testing.assert_frame_equal(outcome(hpo.run_study(CONFIG, storage, 2)), through)


def test_what_is_no_storage_is_named_and_left_as_it_is(small, tmp_path):
    path = tmp_path / "study.db"
    for content in ("of something\nelse", '{"a": "table"}'):
        path.write_text(content)
        with pytest.raises(ValueError, match="study.db is no journal of a study; a database is named by its URL"):
            hpo.run_study(CONFIG, path, 1)
        assert path.read_text() == content
    with pytest.raises(OSError, match="cannot be read or written .*not a database"):
        hpo.run_study(CONFIG, f"sqlite:///{path}", 1)


def test_a_study_that_wants_more_rows_has_a_larger_set_made_that_begins_with_the_same(small, sets):
    assert hpo.training_set(CONFIG) is sets["train"]
    larger = hpo.training_set(hpo.replace(CONFIG, rows=128))
    assert len(larger) == 128 and larger.folder.parent == sets["train"].folder.parent
    np.testing.assert_array_equal(larger.read("presets", 0, 96), sets["train"].presets)
    np.testing.assert_allclose(larger.read("embeddings", 0, 96), sets["train"].embeddings, atol=1e-5)


def test_a_study_is_refused_where_it_differs(small, tmp_path):
    hpo.open_study(CONFIG, tmp_path / "study.journal")
    with pytest.raises(ValueError, match="holds a study with another epochs; name another storage"):
        hpo.open_study(hpo.replace(CONFIG, epochs=3), tmp_path / "study.journal")
    for wrong, why in (({}, "expected trials or minutes"), ({"trials": -1}, "expected trials or minutes"), ({"trials": 2, "workers": 0}, "workers=0: expected at least 1")):
        with pytest.raises(ValueError, match=why):
            hpo.run_study(CONFIG, tmp_path / "study.journal", **wrong)


def test_trials_are_kept_beside_those_of_other_studies(small, tmp_path):
    study = hpo.run_study(CONFIG, tmp_path / "study.journal", 2)
    table, path = hpo.trials_table(study, CONFIG), tmp_path / "hpo.csv"
    hpo.save_trials(table.assign(encoder="tfm", pool="mean"), path)
    hpo.save_trials(table.assign(value=0), path)
    hpo.save_trials(table, path)
    whole = pd.read_csv(path)
    assert whole.groupby("encoder").size().to_dict() == {"hn_oh": 2, "tfm": 2} and whole.columns[-1] == "commit"
    assert whole[whole.encoder == "hn_oh"].value.tolist() == table.value.tolist()
    pd.testing.assert_frame_equal(hpo.kept_trials(CONFIG, path), table, check_exact=True) # to the last digit, and of the same kinds, beside another study's
    before = path.read_bytes()
    assert not hpo.save_trials(table[:1], path) and path.read_bytes() == before # its storage was lost, and it was begun anew
    assert hpo.kept_trials(hpo.replace(CONFIG, seed=9), path).empty and hpo.kept_trials(CONFIG, tmp_path / "none.csv").empty


def test_a_trial_that_diverges_is_noted_and_the_study_goes_on(small, tmp_path, monkeypatch):
    curve, begun = hpo.validation_curve, []

    def some(params, config, data):
        begun.append(params)
        yield from [0.1] if len(begun) == 2 else curve(params, config, data) # after one epoch its loss is no number

    monkeypatch.setattr(hpo, "validation_curve", some)
    table = hpo.trials_table(hpo.run_study(CONFIG, tmp_path / "study.journal", 3), CONFIG)
    assert table.state.tolist() == ["complete", "diverged", "complete"] and table.value[1] == 0.1
    monkeypatch.setattr(hpo, "validation_curve", curve)
    again = hpo.compare_best(table, CONFIG, "cpu", (CONFIG.seed,)) # the same seed: the same numbers
    assert again.settings.tolist() == ["in use", "best"] and again.value.tolist() == table.value[[0, 2]].tolist()
    given = []
    monkeypatch.setattr(hpo, "validation_curve", lambda params, config, data: given.append(params) or [0.1])
    hpo.compare_best(table, CONFIG, "cpu", (1,))
    assert [{name: type(value) for name, value in params.items()} for params in given] == [{name: type(value) for name, value in hpo.settings_in_use(CONFIG).items()}] * 2
    assert len(hpo.plot_slices(table).axes) == len(hpo._varied(table[table.state == "complete"]))
    assert len(hpo.plot_parallel(table).lines) == 2


def test_a_trial_that_starts_late_is_not_stopped_at_once_and_a_poor_one_is(small, tmp_path, monkeypatch):
    config, curves = hpo.replace(CONFIG, epochs=5), iter([[.1, .2, .3, .4, .5]] * 4 + [[0, 0, .9, .9, .9], [.01, .02, .03, .04, .05]])
    monkeypatch.setattr(hpo, "validation_curve", lambda params, config, data: iter(next(curves)))
    study = hpo.run_study(config, tmp_path / "study.journal", 6)
    assert hpo.trials_table(study, config).state.tolist() == ["complete"] * 5 + ["pruned"]
    assert list(study.trials[-1].intermediate_values) == [0, 1, 2]


PAPERS = {"mlp_oh": (512, 1.2e-2, True), "hn_oh": (512, 4e-3, True), "hn_pt": (512, 7e-3, True), "hn_ptgru": (512, 1.5e-3, False), "tfm": (256, 1e-3, False)}


def test_the_papers_settings_stay_whatever_a_study_finds():
    for encoder, (batch_size, learning_rate, bfloat16) in PAPERS.items():
        assert read_settings(encoder, "paper") == Settings(batch_size, learning_rate, standardise=False)
        assert ENCODERS[encoder].bfloat16 == train_config(encoder, "paper").bfloat16 == bfloat16


def test_settings_are_a_studys_or_the_entrys(tmp_path):
    path = tmp_path / "tuned.csv"
    path.write_text("\n".join(TUNED.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(ValueError, match="no row for encoder tfm in size small, and its entry"):
        read_settings("tfm", "small", path=path)
    assert read_settings("opgraph", "small", "dexed", path) == read_settings("opgraph", "small", "dexed", tmp_path / "none.csv") == ENCODERS["opgraph"].small.settings
    trial = {"profile": "cpu", "synth": "dexed", "encoder": "opgraph", "state": "complete", "learning_rate": 1e-3, "batch_size": 64, "contrastive": .1,
             "final_rate": 1e-5, "standardise": False, "warmup_epochs": .25, "space": "training", "rows": 96, "epochs": 5, "seed": 0, "hardware": "here", "commit": "now"}
    in_use = hpo.settings_in_use(hpo.StudyConfig("dexed", "cpu", "opgraph", "training", 96, 5))
    study = pd.DataFrame([trial | in_use | {"trial": 0, "value": .2}, trial | {"trial": 1, "value": .3}])
    assert hpo.keep_best(study, path) and hpo.keep_best(study, tmp_path / "new.csv") # also for an encoder that had no row, and where there was no table
    found = Settings(64, 1e-3, .1, 0.0, False, 1e-5, .25)
    assert read_settings("opgraph", "small", "dexed", path) == read_settings("opgraph", "small", "dexed", tmp_path / "new.csv") == found
    assert read_settings("opgraph", "small", "amsynth", path) == ENCODERS["opgraph"].small.settings # found on another synth
    before = path.read_bytes()
    for wrong, why in (({"profile": "smoke"}, "too short to say"), ({"hidden": 512}, r"another network \(hidden\)"), ({"learning_rate": 5e-3}, "began from another learning_rate"), ({"state": "pruned"}, "no trial of this study has ended")):
        with pytest.raises(ValueError, match=why):
            hpo.keep_best(study.assign(**wrong), path)
    assert path.read_bytes() == before
    assert read_settings("hn_oh", "small", path=path) == read_settings("hn_oh", "small") # the others stay
    assert pd.read_csv(path).iloc[-1][["synth", "study", "rows", "mrr_512", "commit"]].tolist() == ["dexed", "dexed_cpu_opgraph_training", 96, 0.3, "now"]


SHIPPED = sorted((path.parent.parts[-4], path.parent.name) for path in (Path(__file__).parent.parent / "data").glob("*/cpu/checkpoints/*/config.json"))


@pytest.mark.parametrize("synth, encoder", SHIPPED)
def test_what_ships_was_trained_with_the_settings_in_use(synth, encoder):
    "Moving the numbers changed none of them."
    card = json.loads((Path(__file__).parent.parent / "data" / synth / "cpu" / "checkpoints" / encoder / "config.json").read_text())
    now, then = train_config(encoder, "cpu", synth=synth), card["training"]
    for name in ("contrastive", "windows", "standardise", "bfloat16", "final_rate"):
        assert getattr(now, name) == (then.get(name, 0.0) if name == "windows" else then[name]), name # which is younger than some of them
    assert now.learning_rate / now.batch_size ** .5 == pytest.approx(then["learning_rate"] / then["batch_size"] ** .5)
