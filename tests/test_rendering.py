from concurrent.futures import ThreadPoolExecutor

import dexed
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthproxy.plugins import get_renderer
from synthproxy.notes import Note
from synthproxy.rendering import DEXED_GAIN, DexedRenderer, block_dc, render_voices, rms
from synthproxy.synths import from_dx7, from_uniform, sample, to_dx7

RENDERER = DexedRenderer()
SYNTH = RENDERER.synth


@given(arrays(np.float64, (2, len(SYNTH)), elements=st.sampled_from([0., .01, .3, .5, .77, .98, .999])), st.sampled_from([.5, 2.0]))
@settings(max_examples=60, deadline=None)
def test_the_bound_holds_for_extreme_presets(u, hold):
    # few distinct values make equal neighbouring envelope levels likely, where the engine waits
    presets, note = from_uniform(SYNTH, u), Note(hold_s=hold, duration_s=3.0)
    assert (rms(RENDERER.render(presets, note)) <= RENDERER.rms_bound(presets, note)).all()


@pytest.mark.parametrize("rate", [16_000, 32_000, 44_100])
def test_the_bound_holds_at_other_rates(rate):
    renderer, presets, note = DexedRenderer(rate), sample(SYNTH, 60, seed=9), Note(hold_s=1.0, duration_s=2.0)
    assert (rms(renderer.render(presets, note)) <= renderer.rms_bound(presets, note)).all()


def test_no_accepted_preset_is_lost_among_thousands():
    presets = sample(SYNTH, 3000, seed=21)
    bound = RENDERER.rms_bound(presets, above=.01)
    rejected = presets[bound <= .01]
    with ThreadPoolExecutor(2) as pool:
        levels = np.concatenate(list(pool.map(lambda part: rms(RENDERER.render(part)), np.array_split(rejected, 40))))
    assert len(rejected) > 2000 # it is worth having
    assert (levels <= bound[bound <= .01]).all()


def test_a_coarse_bound_is_a_bound_too():
    presets = sample(SYNTH, 200, seed=5)
    fine, coarse = RENDERER.rms_bound(presets), RENDERER.rms_bound(presets, above=.05)
    assert (coarse >= fine - 1e-12).all() and ((coarse == fine) | (coarse <= .05)).all()


def test_same_bytes_whatever_came_before_and_however_many_threads():
    presets = sample(SYNTH, 24, seed=4)
    alone = np.concatenate([DexedRenderer().render(p[None]) for p in presets])
    assert np.array_equal(RENDERER.render(presets[::-1])[::-1], alone)
    with ThreadPoolExecutor(4) as pool:
        assert np.array_equal(np.concatenate(list(pool.map(lambda p: RENDERER.render(p[None]), presets))), alone)


def test_level_is_the_plugins_and_the_end_is_silent():
    voice = dexed.Patch()
    audio = render_voices(np.frombuffer(voice.to_sysex()[:155], np.uint8)[None])
    engine = dexed.DexedSynth(32_000)
    engine.load_patch(voice)
    raw = engine.render(60, 100, 2.0, 5.0)
    assert audio.shape == (1, 160_000) and audio[0, -1] == 0
    assert np.array_equal(audio[0, :150_000], block_dc(raw[None, :150_000].copy(), 32_000, 1 / 8)[0])


def test_the_bound_refuses_nothing_of_an_empty_batch():
    assert RENDERER.rms_bound(np.empty((0, len(SYNTH)), np.float32)).shape == (0,)


def test_unknown_and_unrenderable_synths(monkeypatch):
    with pytest.raises(ValueError, match="unknown synth 'dexd'.*did you mean 'dexed'"):
        get_renderer("dexd", 32_000)
    monkeypatch.delenv("TALNM_PATH", raising=False)
    with pytest.raises(FileNotFoundError, match="talnm: no plug-in.*; set TALNM_PATH to its file, or use a synth that needs none: dexed, faust_poly"):
        get_renderer("talnm", 32_000)


def test_invalid_preset_is_refused_before_rendering():
    with pytest.raises(ValueError, match="parameter 'algorithm' is nan"):
        RENDERER.render(np.full((1, len(SYNTH)), np.nan, np.float32))


def test_projected_voices_render_as_their_presets():
    presets = sample(SYNTH, 3, seed=8)
    assert np.array_equal(from_dx7(SYNTH, to_dx7(SYNTH, presets)), presets)
    assert np.array_equal(render_voices(to_dx7(SYNTH, presets)), RENDERER.render(presets))


def test_the_dc_blocker_is_its_formula():
    x = np.random.default_rng(0).normal(size=(10, 500)).astype(np.float32)
    r, y = 1 - 126 / 44_100, np.zeros((10, 500))
    for n in range(500):
        y[:, n] = x[:, n].astype(float) - (x[:, n - 1] if n else 0) + r * (y[:, n - 1] if n else 0)
    np.testing.assert_allclose(block_dc(x.copy(), 44_100), y, atol=1e-6)
    step = block_dc(np.ones((1, 3), np.float32), 32_000)[0]
    np.testing.assert_allclose(step, [1, 1 - 126 / 32_000, (1 - 126 / 32_000) ** 2], rtol=1e-6)


@pytest.mark.parametrize("rate", [22_050, 32_000, 48_000])
def test_the_dc_blocker_lifts_nothing_above_the_bound(rate):
    "The bound is multiplied by 2 / (1 + r), the filter's largest gain; the highest frequency nearly reaches it."
    most = 1 / (1 - 63 / rate)
    worst = np.tile(np.float32([1, -1]), 20_000)[None]
    assert 0.9999 * most < rms(block_dc(worst, rate))[0] <= most * (1 + 1e-6)
    noise = np.random.default_rng(1).normal(size=(20, 5_000)).astype(np.float32)
    assert (rms(block_dc(noise.copy(), rate)) <= rms(noise) * most).all()


def test_some_presets_are_loud_by_an_offset_alone():
    presets = sample(SYNTH, 1500, seed=8)
    presets = presets[RENDERER.rms_bound(presets) > .01]
    audio = RENDERER.render(presets)
    offset = np.stack([_bare(voice) for voice in to_dx7(SYNTH, presets)])
    loud, without = rms(audio) > .01, rms(offset) > .01
    assert 2 <= (without & ~loud).sum() <= .2 * without.sum() and not (loud & ~without).sum() > .02 * loud.sum()


def _bare(voice: np.ndarray) -> np.ndarray: # (T,) as the engine plays it, at the plug-in's level
    engine = dexed.DexedSynth(32_000)
    engine.load_patch(dexed.Patch.from_sysex(voice.tobytes()))
    return engine.render(60, 100, 2.0, 5.0)[:160_000] * DEXED_GAIN
