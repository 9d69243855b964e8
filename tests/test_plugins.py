"""Plug-ins: found or refused with a reason, the same bytes every time, and no fault costs more than its preset."""
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fake_engine

from synthproxy import hosts
from synthproxy.datasets import Recipe, generate, make_rows
from synthproxy.hosts import HostError, Workers, answers, own_display
from synthproxy.plugins import PLUGINS, RENDERERS, Plugin, PluginRenderer, RenderError, file_hash, find_parameters, get_renderer, plugin_path, preflight
from synthproxy.notes import Note
from synthproxy.rendering import rms
from synthproxy.synths import Parameter, Synth, from_dict, get_synth, sample

NOTE = Note(hold_s=.1, duration_s=.25)
FAULTS = {1: "no answer within 1 s", 2: "ended with code", 3: "ended with code", 4: "NaN", 5: r"audio of shape \(7,\), expected \(8000,\)"}


@pytest.fixture
def renderers():
    made = []

    def make(synth: str, **arguments) -> PluginRenderer:
        made.append(PluginRenderer(synth, **arguments))
        return made[-1]

    yield make
    for renderer in made:
        renderer.close()


def with_noise(value: int) -> np.ndarray:
    return from_dict(get_synth("faust_poly"), {"noise": value / 10})


def test_a_fault_costs_one_preset(renderers):
    renderer = renderers("faust_poly", workers=2, timeout_s=1.0, play=fake_engine.misbehave)
    good = renderer.render(with_noise(0)[None], NOTE)
    for fault, message in FAULTS.items():
        with pytest.raises(RenderError, match=f"faust_poly: preset 1 cannot be played: .*{message}.*, each time, while another preset plays"):
            renderer.render(np.stack([with_noise(0), with_noise(fault), with_noise(0)]), NOTE)
        assert np.array_equal(renderer.render(with_noise(0)[None], NOTE), good)


def test_a_dataset_names_the_rows_that_failed_and_completes(renderers, monkeypatch, tmp_path):
    made = {}
    for name, play in (("good", fake_engine.tone), ("bad", fake_engine.misbehave)):
        renderer = renderers("faust_poly", workers=2, timeout_s=.5, play=play)
        monkeypatch.setitem(RENDERERS, "faust_poly", lambda rate, renderer=renderer: renderer)
        made[name] = generate(Recipe("faust_poly", "mel128", rows=16, seed=1, note=NOTE), tmp_path / name, chunk_rows=8)
    failed = made["bad"].manifest["failed"]
    rows = {int(re.match(r"row (\d+): faust_poly: preset 0 cannot be played: ", line)[1]) for line in failed}
    assert "failed" not in made["good"].manifest and 3 < len(rows) < 16 and failed == sorted(failed)
    same = (made["good"].presets == made["bad"].presets).all(1)
    assert set(np.flatnonzero(~same)) == rows and np.array_equal(made["good"].embeddings[same], made["bad"].embeddings[same])


def test_a_second_try_helps(renderers, tmp_path):
    renderer = renderers("faust_poly", workers=1, play=fake_engine.misbehave)
    renderer.path = tmp_path / "mark"
    assert rms(renderer.render(with_noise(6)[None], NOTE))[0] > .1 and (tmp_path / "mark").exists()


def memory_and_threads() -> tuple[float, int]: # MB and threads of this process and its workers
    everyone = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(p.memory_info().rss for p in everyone) / 1e6, sum(p.num_threads() for p in everyone)


def test_a_leak_ends_with_its_process(renderers):
    renderer = renderers("faust_poly", workers=1, play=fake_engine.leak)
    renderer.render(with_noise(0)[None], NOTE)
    before, highest = memory_and_threads()[0], 0
    for _ in range(10):
        renderer.render(np.repeat(with_noise(0)[None], 50, 0), NOTE)
        highest = max(highest, memory_and_threads()[0])
    assert 100 < highest - before < 1200 # all 500 renders leaked 2000 MB, a process lives for 200


@pytest.mark.parametrize("count", [320, pytest.param(2000, marks=pytest.mark.slow)])
def test_many_presets_leave_memory_and_threads_as_they_are(renderers, count):
    renderer = renderers("faust_poly", workers=2)
    presets, seen = sample(renderer.synth, count, seed=7), []
    for part in np.split(presets, 8):
        renderer.render(part, NOTE)
        seen.append(memory_and_threads())
    memory, threads = zip(*seen)
    assert max(memory[4:]) < max(memory[:4]) + 30, memory # highest of each half: at a time a worker may just be replaced
    assert max(threads[4:]) <= max(threads[:4]) + 2, threads


def installed(synth: str) -> None: # else the test is skipped
    try:
        plugin_path(synth)
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("synth", ["amsynth", "faust_poly"])
def test_the_same_bytes_in_any_order_with_any_number_of_workers(renderers, synth):
    installed(synth)
    presets = sample(get_synth(synth), 6, seed=2)
    audio = renderers(synth, workers=1).render(presets, NOTE)
    assert audio.shape == (6, 8000) and np.isfinite(audio).all() and len(np.unique(audio, axis=0)) == 6
    again = renderers(synth, workers=2).render(presets[[5, 0, 3, 1, 4, 2, 0]], NOTE)
    assert np.array_equal(again, audio[[5, 0, 3, 1, 4, 2, 0]])


def test_only_amsynths_noise_depends_on_other_instances(renderers):
    installed("amsynth")
    synth = get_synth("amsynth")
    presets = np.concatenate([sample(synth, 9, seed=5), [from_dict(synth, {"osc1_waveform": 4, "osc_mix": 0})]])
    alone = renderers("amsynth", workers=1).render(presets, NOTE)
    beside = renderers("amsynth", workers=1, play=fake_engine.play_beside_another).render(presets, NOTE)
    process_wide = {i for i in range(10) if not np.array_equal(alone[i], beside[i])}
    waves = [synth.names.index(name) for name in ("osc1_waveform", "osc2_waveform", "lfo_waveform")]
    assert process_wide == {i for i in range(10) if np.isin(presets[i][waves], [3, 4]).any()}, process_wide # noise, random
    assert 9 in process_wide and len(process_wide) < 10


def test_every_used_parameter_of_faust_poly_does_something(renderers):
    renderer, synth = renderers("faust_poly", workers=2), get_synth("faust_poly")
    start = from_dict(synth, {"osc1_wave": 3, "osc2_wave": 3, "noise": .2, "lfo_to_pitch": .4, "lfo_to_filter": .3, "lfo_to_amp": .3, "osc2_detune": .6, "filter_envelope": .8})
    others = np.repeat(start[None], len(synth), 0)
    for i, p in enumerate(synth.used):
        others[i, i] = (start[i] + 1) % p.categories if p.categories else .25 if start[i] > .5 else 1.0
    audio = renderer.render(np.concatenate([start[None], others]), Note(hold_s=.6, duration_s=1.0))
    change = rms(audio[1:] - audio[0]) / rms(audio[:1])
    assert (change > .01).all(), [p.name for p, c in zip(synth.used, change) if c <= .01]


def test_missing_and_foreign_plugins_are_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("AMSYNTH_PATH", str(tmp_path / "nothing.so"))
    with pytest.raises(FileNotFoundError, match="set AMSYNTH_PATH to its file, or use a synth that needs none: dexed, faust_poly"):
        PluginRenderer("amsynth")
    foreign = bytearray(Path(sys.executable).resolve().read_bytes()[:64])
    (tmp_path / "nothing.so").write_bytes(bytes(foreign[:18]) + b"\xf3\x00" + bytes(44)) # an ELF file for RISC-V
    with pytest.raises(ValueError, match="holds unknown, this machine is"):
        PluginRenderer("amsynth")
    (tmp_path / "nothing.so").write_text("MZ, a Windows library perhaps")
    with pytest.raises(ValueError, match="holds no Linux library"):
        PluginRenderer("amsynth")
    with pytest.raises(ValueError, match="did you mean 'faust_poly'"):
        plugin_path("faustpoly")


@pytest.mark.parametrize(("synth", "variable"), [("talnm", "TALNM_PATH"), ("diva", "DIVA_PATH"), ("dexed_vst3", "DEXED_PATH"), ("amsynth", "AMSYNTH_PATH")])
def test_preflight_says_what_is_wrong(synth, variable, monkeypatch, tmp_path):
    monkeypatch.setenv(variable, str(tmp_path / "nothing.vst3"))
    assert f"set {variable} to its file, or use a synth that needs none: dexed, faust_poly" in preflight(synth).problem
    if synth != "talnm": # which asks for a display first
        monkeypatch.setenv(variable, sys.executable)
        found = preflight(synth)
        assert "cannot be loaded" in found.problem and "is it a VST2 or VST3 instrument" in str(found) and found.measured is None


def test_preflight_finds_another_version(monkeypatch):
    installed("amsynth")
    monkeypatch.setenv("DIVA_PATH", str(plugin_path("amsynth")))
    assert "has no parameter 'main:output': is it another version? It has: amp_attack" in preflight("diva").problem
    assert preflight("amsynth", measure=False).problem == ""


def test_a_library_that_is_not_whole_is_one_clear_error(tmp_path, monkeypatch):
    whole = Path(np.__file__).parent.glob("_core/*multiarray_umath*.so").__next__().read_bytes()
    for size in (5, 19, 63, 64, 4096, len(whole) // 2, len(whole) - 4096):
        (tmp_path / "half.so").write_bytes(whole[:size])
        monkeypatch.setenv("AMSYNTH_PATH", str(tmp_path / "half.so"))
        with pytest.raises(ValueError, match="is not whole, get it again"):
            plugin_path("amsynth")
    (tmp_path / "half.so").write_bytes(whole)
    assert plugin_path("amsynth") and "cannot be loaded" in preflight("amsynth").problem
    monkeypatch.setenv("AMSYNTH_PATH", str(tmp_path))
    with pytest.raises(ValueError, match="holds no library"):
        plugin_path("amsynth")


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch, renderers):
    installed("amsynth")
    plugin = plugin_path("amsynth")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.so").symlink_to(plugin)
    monkeypatch.setenv("AMSYNTH_PATH", "~/mine.so")
    assert plugin_path("amsynth") == tmp_path / "mine.so"
    monkeypatch.delenv("AMSYNTH_PATH")
    monkeypatch.setenv("SYNTHPROXY_ROOT", str(tmp_path))
    (tmp_path / ".env").write_text("AMSYNTH_PATH=~/mine.so\n")
    assert plugin_path("amsynth") == tmp_path / "mine.so"
    assert renderers("amsynth", path="~/mine.so").path == tmp_path / "mine.so"
    monkeypatch.setenv("AMSYNTH_PATH", "~nobody-of-that-name/mine.so")
    with pytest.raises(FileNotFoundError, match="set AMSYNTH_PATH"):
        plugin_path("amsynth")


def test_the_variable_of_any_synth_can_be_exported(tmp_path, monkeypatch):
    (tmp_path / "my-synth.2.csv").write_text((Path(hosts.__file__).parent / "specs" / "faust_poly.csv").read_text())
    monkeypatch.setenv("SYNTHPROXY_SPECS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"MY_SYNTH_2_PATH is not set"):
        get_renderer("my-synth.2", 32_000)
    PLUGINS.pop("my-synth.2")
    RENDERERS.pop("my-synth.2")


def test_a_dataset_knows_the_plugins_content(tmp_path, renderers):
    source = plugin_path("faust_poly").read_bytes()
    (tmp_path / "faust_poly.dsp").write_bytes(source)
    made = [renderers("faust_poly").describe(), renderers("faust_poly", path=tmp_path / "faust_poly.dsp").describe()]
    (tmp_path / "faust_poly.dsp").write_bytes(source + b"\n// louder\n")
    made.append(renderers("faust_poly", path=tmp_path / "faust_poly.dsp").describe())
    assert made[0] == made[1] != made[2] and made[0]["engine_sha256"] == hashlib.sha256(source).hexdigest()
    assert "deterministic" not in made[0] # measured, and so no part of an identity
    for name in ("b.so", "a/c.txt"): # a folder, as sha256sum has it
        (tmp_path / "x.vst3" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x.vst3" / name).write_text(name)
    shell = "find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    assert subprocess.run(shell, shell=True, cwd=tmp_path / "x.vst3", capture_output=True, text=True).stdout.split()[0] == file_hash(tmp_path / "x.vst3")


# Displays


@pytest.fixture
def no_display(monkeypatch):
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    monkeypatch.delenv("DISPLAY", raising=False)


@pytest.mark.parametrize("dead", ["", ":4711", "localhost:47.0", "nonsense"])
def test_any_plugin_gets_a_display_if_it_ends_without(renderers, no_display, monkeypatch, dead):
    monkeypatch.setenv("DISPLAY", dead)
    renderer = renderers("faust_poly", workers=2, play=fake_engine.need_display)
    assert rms(renderer.render(np.stack([with_noise(0)] * 4), NOTE)).min() > .1
    assert answers(renderer._workers.display) and b"-noreset" in Path(f"/proc/{hosts._displays[-1].pid}/cmdline").read_bytes()
    assert "failed" not in generate_with(renderer, monkeypatch).manifest


def generate_with(renderer, monkeypatch):
    import tempfile

    monkeypatch.setitem(RENDERERS, "faust_poly", lambda rate: renderer)
    return generate(Recipe("faust_poly", "mel128", rows=8, seed=1, note=NOTE), Path(tempfile.mkdtemp()) / "set")


def test_a_display_that_is_lost_is_replaced(renderers, no_display):
    renderer = renderers("faust_poly", workers=1, play=fake_engine.need_display)
    good = renderer.render(with_noise(0)[None], NOTE)
    for _ in range(2):
        os.kill(hosts._displays[-1].pid, signal.SIGKILL)
        time.sleep(.2)
        assert np.array_equal(renderer.render(with_noise(0)[None], NOTE), good)


def test_a_crash_is_no_reason_for_a_display(renderers, no_display):
    renderer = renderers("faust_poly", workers=1, play=fake_engine.misbehave)
    with pytest.raises(RenderError, match="ended with code 3"): # -11
        renderer.render(with_noise(2)[None], NOTE)
    assert renderer._workers.display == ""


def test_without_xvfb_it_is_one_clear_error(renderers, monkeypatch, tmp_path):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(hosts, "_displays", [])
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None)
    renderer = renderers("faust_poly", workers=1, play=fake_engine.need_display)
    with pytest.raises(HostError, match="nothing can be played.* ended with code 1.*no X display and no Xvfb.*install it"):
        renderer.render(with_noise(0)[None], NOTE)
    monkeypatch.setitem(PLUGINS, "faust_poly", Plugin(own_process=False, display=True))
    assert "needed and there is none: install Xvfb" in preflight("faust_poly").problem
    monkeypatch.setattr(shutil, "which", which)
    for broken in ("#!/bin/sh\nexit 1\n", "no program"):
        (tmp_path / "Xvfb").write_text(broken)
        (tmp_path / "Xvfb").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        problem = preflight("faust_poly", measure=False).problem
        assert "Xvfb does not start" in problem and "to see why" in problem


def test_a_display_is_given_from_the_start_where_that_is_known(renderers, no_display, monkeypatch):
    loud = []
    for display in (False, True):
        monkeypatch.setitem(PLUGINS, "faust_poly", Plugin(own_process=False, display=display))
        loud.append(rms(renderers("faust_poly", workers=1, play=fake_engine.tell_display).render(with_noise(0)[None], NOTE))[0] > .1)
    assert loud == [False, True]


# What is killed, and what is the machine's fault


def worker_ids(renderer) -> list[int]:
    return [int(folder.name) for folder in renderer._workers.scratch.iterdir()]


def kill_workers(renderer) -> None:
    for pid in worker_ids(renderer):
        with suppress(ProcessLookupError): # it has just ended by itself
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("wait_s", [0, .5])
def test_idle_workers_that_are_killed_cost_nothing(renderers, wait_s, caplog):
    renderer = renderers("faust_poly", workers=2, play=fake_engine.tone)
    good = renderer.render(with_noise(0)[None], NOTE)
    for _ in range(3):
        kill_workers(renderer)
        time.sleep(wait_s)
        assert np.array_equal(renderer.render(with_noise(0)[None], NOTE), good)
    assert not caplog.records # no try was lost


def test_workers_that_are_killed_at_work_cost_a_try(renderers, caplog):
    renderer = renderers("faust_poly", workers=2, play=fake_engine.need_file)
    presets = np.stack([with_noise(0)] * 100)
    good = renderer.render(presets[:1], NOTE)[0]

    def kill_all() -> None:
        for _ in range(4):
            time.sleep(.3)
            kill_workers(renderer)

    killer = threading.Thread(target=kill_all)
    killer.start()
    audio = renderer.render(presets, NOTE)
    killer.join()
    assert (audio == good).all() and any("tried again in a new process: the process ended with code -9" in r.message for r in caplog.records)


def test_the_machines_fault_stops_a_run(renderers, tmp_path, monkeypatch):
    (tmp_path / "engine.dsp").write_text("it is there")
    renderer = renderers("faust_poly", workers=2, play=fake_engine.need_file, path=tmp_path / "engine.dsp")
    renderer.render(with_noise(0)[None], NOTE)
    (tmp_path / "engine.dsp").unlink()
    with pytest.raises(HostError, match="nothing can be played: preset 0: the process ended with code 7; another preset: .*engine.dsp is no longer there"):
        renderer.render(with_noise(1)[None], NOTE)
    assert not issubclass(HostError, RenderError)
    monkeypatch.setitem(RENDERERS, "faust_poly", lambda rate: renderer)
    with pytest.raises(HostError): # no other preset is drawn for the row
        make_rows(Recipe("faust_poly", "mel128", rows=8, seed=1, note=NOTE), range(2))
    (tmp_path / "engine.dsp").write_text("it is there again")
    assert len(renderer.render(with_noise(1)[None], NOTE)) == 1


def test_a_full_disk_and_a_lost_program_are_the_machines_fault(renderers, tmp_path):
    with pytest.raises(HostError, match="No space left on device; another preset: .*MB are free"):
        renderers("faust_poly", workers=1, play=fake_engine.full_disk).render(with_noise(0)[None], NOTE)
    shutil.copy(plugin_path("faust_poly"), tmp_path / "mine.dsp")
    renderer = renderers("faust_poly", workers=1, path=tmp_path / "mine.dsp")
    renderer.render(with_noise(0)[None], NOTE)
    (tmp_path / "mine.dsp").write_text("process = nonsense;")
    with pytest.raises(HostError, match="mine.dsp cannot be compiled"):
        renderer.render(with_noise(1)[None], NOTE)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "_scratch_place", lambda: tmp_path) # where no other test works at the same time
    renderer = PluginRenderer("faust_poly", workers=2, play=fake_engine.untidy)
    renderer.render(with_noise(0)[None], NOTE)
    (mine,) = tmp_path.iterdir()
    for fault in (2, 3):
        with pytest.raises(RenderError):
            renderer.render(with_noise(fault)[None], NOTE)
    time.sleep(.2)
    renderer._workers._scratch.sweep()
    assert all(psutil.pid_exists(pid) for pid in worker_ids(renderer)) and mine.is_dir()
    renderer.close()
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    code = ("import os, sys; sys.path.insert(0, 'tests'); import fake_engine; from synthproxy.plugins import PluginRenderer; from synthproxy.synths import from_dict\n"
            "if __name__ == '__main__':\n"
            "    r = PluginRenderer('faust_poly', workers=1, play=fake_engine.untidy); r.render(from_dict(r.synth, {})[None]); print(r._workers.scratch, flush=True); os.kill(os.getpid(), 9)")
    run = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    killed = Path(run.stdout.strip())
    assert killed.name.startswith("synthproxy-"), run.stderr
    renderer = PluginRenderer("faust_poly", workers=1) # the next one tidies up after the dead, and not after the living
    assert not killed.exists() and renderer._workers.scratch.is_dir()
    beside = PluginRenderer("faust_poly", workers=1)
    assert renderer._workers.scratch.is_dir() and beside._workers.scratch.is_dir()
    renderer.close()
    beside.close()


unclosed = []


def never_close() -> None:
    unclosed.append(Workers(1, 10))
    assert unclosed[0].result(unclosed[0].submit(pow, (2, 10), timeout_s=20)) == 1024


def test_a_process_that_closes_no_workers_ends():
    process = multiprocessing.get_context("spawn").Process(target=never_close)
    process.start()
    process.join(60)
    ended = process.exitcode
    process.kill()
    assert ended == 0


# What is measured


@pytest.mark.parametrize(("play", "repeats", "heard"), [(fake_engine.tone, True, 5), (fake_engine.noise, False, 5), (fake_engine.remember, False, 5), (fake_engine.silence, None, 0)])
def test_whether_it_repeats_is_measured(renderers, play, repeats, heard):
    renderer = renderers("faust_poly", workers=1, play=play)
    seen = renderer.measured()
    assert (seen["deterministic"], seen["presets_compared"], seen["presets_heard"]) == (repeats, 5, heard)
    assert renderer.deterministic is bool(repeats) and (seen["largest_difference_db"] is None) == (repeats is not False)
    assert json.loads(json.dumps(seen)) == renderer.measured() == seen and "largest_difference_db" not in renderer.describe()
    assert (seen["default_rms"] > .1) == (play is not fake_engine.silence)


@pytest.mark.parametrize(("synth", "file", "play", "repeats"), [
    ("faust_poly", "", fake_engine.play, True), ("amsynth", "", fake_engine.play, True), ("", "/usr/lib/vst/Kars-vst.so", fake_engine.play, True),
    ("", "/usr/lib/vst/Kars-vst.so", fake_engine.play_unseeded, False)]) # its noise is rand(), which we set
def test_whether_real_engines_repeat(renderers, synth, file, play, repeats):
    if file and not Path(file).exists():
        pytest.skip(f"{file} is not there: install dpf-plugins-vst")
    if synth:
        installed(synth)
    kars = Synth("kars", (Parameter("volume", "num", .75, .5, 1.0, (), (), True, None, "Volume"), Parameter("release", "num", .2, 0, 1.0, (), (), True, None, "Release")))
    renderer = renderers(synth, play=play) if synth else renderers(kars, play=play, path=file)
    assert renderer.measured()["deterministic"] is repeats and renderer.measured()["presets_heard"] >= 3, renderer.measured()


def test_preflight_reports_what_is_measured(monkeypatch):
    found = preflight("faust_poly")
    assert not found.problem and found.measured["deterministic"] and "presets that sound repeat sample by sample" in str(found)


@pytest.mark.parametrize("synth", ["dexed_vst3", "talnm", "amsynth"])
def test_every_parameter_of_a_table_is_in_the_plugin(synth):
    listed = json.loads((Path(__file__).parent / "fixtures" / "plugin_parameters.json").read_text())[synth]
    table = get_synth(synth)
    found = find_parameters([(p.name, p.address) for p in table.parameters], listed)
    missing = [p.name for p, i in zip(table.parameters, found) if i is None]
    assert missing == (["envelope_reset"] if synth == "talnm" else []) and len(set(found)) == len(found)


def test_dexeds_plugin_takes_dexeds_presets():
    inside, outside = get_synth("dexed"), get_synth("dexed_vst3")
    where = {"address": "", "file_name": ""} # both differ: a byte of a voice for the one, a name for the other
    bare = [[p.__class__(**(vars(p) | where)) for p in synth.parameters] for synth in (inside, outside)]
    assert bare[0] == bare[1]
    assert next(p.default for p in outside.parameters if p.name == "lfo_key_sync") == 1 # without it the plug-in's LFO runs on
