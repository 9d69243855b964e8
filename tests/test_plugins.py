"""Plug-ins: found or refused with a reason, the same bytes every time, and no fault costs more than its preset."""
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fake_engine

from synthproxy.datasets import Recipe, generate
from synthproxy.plugins import PLUGINS, PluginRenderer, RenderError, plugin_path
from synthproxy.rendering import RENDERERS, Note, rms
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


@pytest.mark.parametrize("synth", PLUGINS)
def test_the_same_bytes_in_any_order_with_any_number_of_workers(renderers, synth):
    try:
        plugin_path(synth)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    presets = sample(get_synth(synth), 6, seed=2)
    audio = renderers(synth, workers=1).render(presets, NOTE)
    assert audio.shape == (6, 8000) and np.isfinite(audio).all() and len(np.unique(audio, axis=0)) == 6
    again = renderers(synth, workers=2).render(presets[[5, 0, 3, 1, 4, 2, 0]], NOTE)
    assert np.array_equal(again, audio[[5, 0, 3, 1, 4, 2, 0]])


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
