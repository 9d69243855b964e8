"""The batch DX7 gives dexed-py's samples, bit for bit."""
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from synthproxy.dx7 import CARRIERS, SILENT, block_state, exact_bound
from synthproxy import dx7_batch
from synthproxy.dx7_batch import LOWEST_RATE_HZ, amplitude, engine_render, is_exact, render_batch
from synthproxy.priors import PRESETS_VARIABLE
from synthproxy.notes import Note
from synthproxy.rendering import DexedRenderer, rms
from synthproxy.synths import get_synth, sample, to_dx7
from synthproxy.dx7_files import read_dx7

DEXED = get_synth("dexed")
SHORT = {"hold_s": .3, "duration_s": .5, "fade_s": 0.0}


def random_voices(n: int, seed: int = 0) -> np.ndarray: # any bytes, all algorithms with all feedbacks
    voices = np.random.default_rng(seed).integers(0, 256, (n, 155)).astype(np.uint8)
    voices[:, 134], voices[:, 135] = np.arange(n) // 8 % 32, np.arange(n) % 8
    return voices


def assert_identical(voices: np.ndarray, note: Note, sample_rate_hz: float, audible: float = .2) -> None:
    made, true = render_batch(voices, note, sample_rate_hz), engine_render(voices, note, sample_rate_hz)
    assert made.shape == true.shape and made.dtype == np.float32
    wrong = np.flatnonzero((made != true).any(1))
    assert not len(wrong), f"voices {wrong[:10]} differ, the first from sample {np.flatnonzero(made[wrong[0]] != true[wrong[0]])[0]} on"
    assert (np.abs(true).max(1) > .01).mean() > audible # silence proves nothing


def test_all_algorithms_and_feedbacks_of_any_bytes():
    assert_identical(random_voices(768), Note(**SHORT), 32_000)


def test_uniform_draws():
    assert_identical(to_dx7(DEXED, sample(DEXED, 500, seed=21)), Note(**SHORT), 32_000)


def test_loops_whose_end_falls_silent_before_their_beginning():
    voices = to_dx7(DEXED, sample(DEXED, 128, seed=3))
    voices[:, 134], voices[:, 135] = np.where(np.arange(128) % 2, 3, 5), 1 + np.arange(128) % 7
    voices[:, 21:63][:, [7, 28]], voices[:, 7] = 0, 99 # operators 5 and 4 fade out after release, operator 6 goes on
    assert_identical(voices, Note(hold_s=.2, duration_s=1.0, fade_s=0.0), 32_000)


def test_the_standard_note():
    assert_identical(np.concatenate([to_dx7(DEXED, sample(DEXED, 40, seed=2)), random_voices(40, 3)]), Note(), 32_000)


def test_whole_cartridges():
    files = sorted((Path(os.environ.get(PRESETS_VARIABLE, "nowhere")) / "dexed").glob("*.syx"))
    if not files:
        pytest.skip(f"no cartridges: set {PRESETS_VARIABLE} to a folder with dexed/*.syx")
    assert_identical(np.concatenate([read_dx7(file)[1] for file in files]), Note(**SHORT), 44_100, .9)


@pytest.mark.parametrize("sample_rate_hz", [LOWEST_RATE_HZ, 16_000, 22_050, 44_100, 48_000])
def test_sample_rates(sample_rate_hz):
    assert_identical(random_voices(160, 1), Note(**SHORT), sample_rate_hz)


@pytest.mark.parametrize(("pitch", "velocity"), [(0, 1), (33, 64), (84, 20), (127, 127)])
def test_notes_and_velocities(pitch, velocity):
    assert_identical(random_voices(160, 2), Note(pitch=pitch, velocity=velocity, **SHORT), 32_000)


@pytest.mark.parametrize("hold_s", [.0005, .1, .499, .5])
def test_times_of_release(hold_s):
    assert_identical(random_voices(96, 4), Note(hold_s=hold_s, duration_s=.5, fade_s=0.0), 32_000)


def test_every_lfo_wave_with_and_without_sync_and_delay():
    voices, generator = to_dx7(DEXED, sample(DEXED, 144, seed=8)), np.random.default_rng(0)
    voices[:, 142], voices[:, 141] = np.arange(144) % 6, np.arange(144) // 6 % 2
    voices[:, 137:141] = generator.integers(0, 100, (144, 4))
    voices[::3, 138], voices[:, 143] = 0, generator.integers(0, 8, 144)
    voices[:, [14, 35, 56, 77, 98, 119]] = generator.integers(0, 4, (144, 6))
    assert_identical(voices, Note(hold_s=1.0, duration_s=1.5, fade_s=0.0), 32_000)


def test_rates_below_the_lowest_are_played_by_dexed_py():
    voices = random_voices(3)
    assert np.array_equal(render_batch(voices, Note(**SHORT), 11_025), engine_render(voices, Note(**SHORT), 11_025))


def test_neither_order_nor_company_nor_threads_matter():
    voices, note = random_voices(100, 5), Note(hold_s=.05, duration_s=.1, fade_s=0.0)
    all_at_once = render_batch(voices, note)
    assert np.array_equal(render_batch(voices[::-1], note, threads=3)[::-1], all_at_once)
    assert np.array_equal(np.concatenate([render_batch(v[None], note) for v in voices[:20]]), all_at_once[:20])


def test_every_entry_of_the_exponential_table():
    entries = 4096 + np.rint((2 ** (np.arange(1024) / 1024) - 1) * 4096)[::-1]
    assert [amplitude(np.int32(log)) for log in range(1024)] == entries.tolist()


def test_the_bound_holds_and_is_tight():
    voices, note = to_dx7(DEXED, sample(DEXED, 300, seed=6)), Note()
    level, bound = rms(render_batch(voices, note)), exact_bound(voices, note, 32_000)
    heard = level > 1e-3
    assert (bound >= level).all() and np.median(bound[heard] / level[heard]) < 2.5


def test_the_bound_holds_for_any_bytes():
    voices, note = random_voices(512, 7), Note(pitch=72, velocity=127, **SHORT)
    assert (exact_bound(voices, note, 32_000) >= rms(render_batch(voices, note))).all()


def test_a_block_without_active_carriers_is_silent():
    voices, note = to_dx7(DEXED, sample(DEXED, 64, seed=9)), Note(**SHORT)
    gains, steps = block_state(voices, note, 32_000)
    heard = np.minimum(gains[:, :-1], gains[:, 1:]) <= SILENT
    heard = (heard & (CARRIERS[voices[:, 134], None, None] >> np.arange(6) & 1 > 0)).any(2)
    looping = np.isin(voices[:, 134], (3, 5)) & (voices[:, 135] > 0) # where a silent carrier may be computed
    loud = np.abs(render_batch(voices, note).reshape(64, -1, 64)).max(2) > 0
    assert steps.shape == (64, 250, 6) and (loud <= heard)[~looping].all() and (heard & ~loud).mean() < .05 < heard.mean()


@pytest.mark.parametrize("rate", [32_000, 11_025])
@pytest.mark.parametrize("blocks", [[], [0, 1, 5], [3, -1], slice(None)])
def test_wanted_blocks_are_those_of_the_whole_note(rate, blocks):
    voices, note = random_voices(70, 3), Note(hold_s=.1, duration_s=.1999, fade_s=0.0)
    voices[:, 135] = 0 # no feedback
    whole = render_batch(voices, note, rate)
    wanted = np.zeros(-(-whole.shape[1] // 64), bool)
    wanted[blocks] = True
    true = whole[:, wanted.repeat(64)[:whole.shape[1]]]
    assert whole.shape[1] % 64 and np.array_equal(render_batch(voices, note, rate, threads=2, wanted=wanted), true)
    room = np.full(true.shape, 7, np.float32)
    assert render_batch(voices, note, rate, out=room, wanted=wanted) is room and np.array_equal(room, true)
    assert render_batch(voices[:0], note, rate, wanted=wanted).shape == (0, true.shape[1])


def test_room_for_audio_is_filled_and_nothing_of_it_stays():
    voices, note = random_voices(40, 6), Note(**SHORT)
    voices[::2, [7, 28, 49, 70, 91, 112]] = 0 # levels after release: half of the voices end
    room = np.full((40, 16_000), np.nan, np.float32)
    assert render_batch(voices, note, out=room) is room and np.array_equal(room, engine_render(voices, note, 32_000))
    for wrong in (room[:39], room.astype(float), np.empty((40, 32_000), np.float32)[:, ::2]):
        with pytest.raises(ValueError, match=r"expected \(40, 16000\), float32, in one piece"):
            render_batch(voices, note, out=wrong)


@pytest.fixture
def untested():
    dx7_batch._is_exact.cache_clear()
    yield
    dx7_batch._is_exact.cache_clear()


def test_dexed_py_plays_where_compiled_code_fails(untested, monkeypatch, caplog):
    voices, note, calls = random_voices(3), Note(**SHORT), []

    def broken(*given) -> None:
        calls.append(given)
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(dx7_batch, "_play", broken)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: render_batch(voices, note), range(8)))
    assert len(calls) == 1 and "no such instruction" in caplog.text # found out once, by whoever came first
    assert all(np.array_equal(m, engine_render(voices, note, 32_000)) for m in made)


def test_dexed_py_plays_where_the_compiled_engine_differs(untested, monkeypatch, caplog):
    play, voices, note = dx7_batch._play, random_voices(3), Note(**SHORT)

    def wrong(*given) -> None: # one sample by its last bit
        play(*given)
        audio = given[-1]
        audio[-1, 700] = np.nextafter(audio[-1, 700], np.float32(2))

    monkeypatch.setattr(dx7_batch, "_play", wrong)
    for _ in range(2):
        assert np.array_equal(render_batch(voices, note), engine_render(voices, note, 32_000))
    said = [record.message for record in caplog.records if "differs from dexed-py; dexed-py plays from now on" in record.message]
    assert len(said) == 1 # it may also have said that it compiles
    assert np.isinf(DexedRenderer().rms_bound(sample(DEXED, 2))).all() # nothing is known


def test_the_same_rows_without_numba(tmp_path):
    code = """if True:
        import sys
        if sys.argv[1] == "without":
            sys.modules["numba"] = None
        import numpy as np
        from synthproxy.datasets import Recipe, make_rows
        from synthproxy.metrics import l1_distances
        made, spent = make_rows(Recipe("dexed", "mel128", 8, seed=4), range(3))
        np.savez(sys.argv[2], distances=l1_distances(made["embeddings"], made["embeddings"][::-1]), renders=spent["renders"], **made)"""
    made = {}
    for way in ("with", "without"):
        run = subprocess.run([sys.executable, "-c", code, way, str(tmp_path / way)], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert ("numba cannot be used here" in run.stderr) == (way == "without")
        made[way] = np.load(tmp_path / f"{way}.npz")
    for name in ("presets", "draws"):
        assert np.array_equal(made["with"][name], made["without"][name])
    for name in ("rms", "embeddings", "distances"):
        np.testing.assert_allclose(made["with"][name], made["without"][name], atol=1e-5)
    assert made["with"]["renders"] < made["without"]["renders"] / 3 # without a bound every candidate is played


@pytest.mark.parametrize(("voices", "note", "message"), [
    (np.zeros((2, 128), np.uint8), Note(), "voices of shape (2, 128)"),
    (np.zeros((2, 155)), Note(), "type float64"),
])
def test_wrong_input_is_named(voices, note, message):
    for function in (render_batch, block_state, exact_bound):
        with pytest.raises(ValueError) as error:
            function(voices, note, 32_000)
        assert message in str(error.value)


def test_the_graphics_kernels_in_the_simulator(tmp_path):
    voices = random_voices(256)[[0, 31, 47, 255]] # algorithms 1 without feedback, 4, 6 and 32
    np.save(tmp_path / "voices.npy", voices)
    code = """if True:
        import numpy as np
        from synthproxy.dx7_cuda import render_cuda
        from synthproxy.notes import Note
        note = Note(hold_s=.003, duration_s=.006, fade_s=0.0)
        np.save("audio.npy", render_cuda(np.load("voices.npy"), note, 32_000, threads=4))"""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True)
    true = engine_render(voices, Note(hold_s=.003, duration_s=.006, fade_s=0.0), 32_000)
    assert np.array_equal(np.load(tmp_path / "audio.npy"), true) and (np.abs(true).max(1) > 0).all()
