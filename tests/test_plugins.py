"""Plug-ins: found or refused with a reason, the same bytes every time, and no fault costs more than its preset."""
import json
import re
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fake_engine

from synthproxy.datasets import Recipe, generate
from synthproxy import plugins
from synthproxy.plugins import PLUGINS, RENDERERS, Plugin, PluginRenderer, RenderError, find_parameters, plugin_path, preflight
from synthproxy.rendering import Note, rms
from synthproxy.synths import from_dict, get_synth, sample

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
        with pytest.raises(RenderError, match=f"faust_poly: preset 1 cannot be played: .*{message}.*, twice"):
            renderer.render(np.stack([with_noise(0), with_noise(fault), with_noise(0)]), NOTE)
        assert np.array_equal(renderer.render(with_noise(0)[None], NOTE), good)


def test_a_dataset_names_the_rows_that_failed_and_completes(renderers, monkeypatch, tmp_path):
    made = {}
    for name, play in (("good", fake_engine.tone), ("bad", fake_engine.misbehave)):
        renderer = renderers("faust_poly", workers=2, timeout_s=.5, play=play)
        monkeypatch.setitem(RENDERERS, "faust_poly", lambda rate, renderer=renderer: renderer)
        made[name] = generate(Recipe("faust_poly", "mel128", rows=24, seed=1, note=NOTE), tmp_path / name, chunk_rows=8)
    failed = made["bad"].manifest["failed"]
    rows = {int(re.match(r"row (\d+): faust_poly: preset 0 cannot be played: ", line)[1]) for line in failed}
    assert "failed" not in made["good"].manifest and 3 < len(rows) < 24 and failed == sorted(failed)
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


def test_2000_presets_leave_memory_and_threads_as_they_are(renderers):
    renderer = renderers("faust_poly", workers=2)
    presets, seen = sample(renderer.synth, 2000, seed=7), []
    for start in range(0, 2000, 250):
        renderer.render(presets[start:start + 250], NOTE)
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
    assert f"set {variable} to its file, or use a synth that needs none: dexed, faust_poly" in preflight(synth)
    if synth != "talnm": # which asks for a display first
        monkeypatch.setenv(variable, sys.executable)
        assert "cannot be loaded" in preflight(synth) and "is it a VST2 or VST3 instrument" in preflight(synth)


def test_preflight_finds_another_version(monkeypatch):
    installed("amsynth")
    monkeypatch.setenv("DIVA_PATH", str(plugin_path("amsynth")))
    assert "has no parameter 'main:output': is it another version? It has: amp_attack" in preflight("diva")
    assert preflight("amsynth") == preflight("faust_poly") == ""


def test_a_display_is_started_where_one_is_needed(renderers, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setitem(PLUGINS, "faust_poly", Plugin(own_process=False, display=True))
    plugins.display.cache_clear()
    monkeypatch.setattr(plugins.shutil, "which", lambda name: None)
    assert "needs a display, and there is none: install Xvfb" in preflight("faust_poly")
    monkeypatch.undo()
    if plugins.shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    monkeypatch.delenv("DISPLAY", raising=False)
    loud = []
    for display in (False, True):
        monkeypatch.setitem(PLUGINS, "faust_poly", Plugin(own_process=False, display=display))
        loud.append(rms(renderers("faust_poly", workers=1, play=fake_engine.tell_display).render(with_noise(0)[None], NOTE))[0] > .1)
    assert loud == [False, True]


@pytest.mark.parametrize("synth", ["dexed_vst3", "talnm", "amsynth"])
def test_every_parameter_of_a_table_is_in_the_plugin(synth):
    listed = json.loads((Path(__file__).parent / "fixtures" / "plugin_parameters.json").read_text())[synth]
    table = get_synth(synth)
    found = find_parameters([(p.name, p.address) for p in table.parameters], listed)
    missing = [p.name for p, i in zip(table.parameters, found) if i is None]
    assert missing == (["envelope_reset"] if synth == "talnm" else []) and len(set(found)) == len(found)


def test_dexeds_plugin_takes_dexeds_presets():
    inside, outside = get_synth("dexed"), get_synth("dexed_vst3")
    assert [p.__class__(**{**vars(p), "address": ""}) for p in inside.parameters] == [p.__class__(**{**vars(p), "address": ""}) for p in outside.parameters]
    assert next(p.default for p in outside.parameters if p.name == "lfo_key_sync") == 1 # without it the plug-in's LFO runs on
