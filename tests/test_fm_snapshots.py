"""What is computed of a DX7 preset against the engine's sound, and the gradients against finite differences."""
import numpy as np
import pytest
import torch

from synthproxy.audio_models import frame_log_mel, get_audio_model, mel_filters, pre_emphasis
from synthproxy.fm_controls import TABLES, envelope_levels, frequencies, lfo, look_up
from synthproxy.fm_kernels import FRAME_SAMPLES, WARM_UP, play_frames, play_frames_plainly
from synthproxy.fm_snapshots import MOMENTS_S, SNAPSHOT_RATE_HZ, FMSnapshots, frame_controls
from synthproxy.operators import algorithms, operator_columns
from synthproxy.preset_encoders import SnapshotEncoder, build_encoder, encoders_of, shares_of_clip, snapshots_of
from synthproxy.notes import Note
from synthproxy.rendering import DexedRenderer
from synthproxy.synths import from_dict, get_synth, sample
from synthproxy.proxies import SynthProxy

DEXED = get_synth("dexed")


@pytest.fixture(scope="module")
def loud() -> np.ndarray: # (40, 100) random presets that can be heard
    presets = sample(DEXED, 500, seed=21)
    return presets[DexedRenderer().rms_bound(presets, Note()) > 0.02][:40]


def rendered(presets: np.ndarray) -> torch.Tensor: # (B, M, 128) true spectra of the same frames
    audio = torch.from_numpy(DexedRenderer(SNAPSHOT_RATE_HZ).render(presets, Note(duration_s=5.1, fade_s=0)))
    begin = (torch.tensor(MOMENTS_S) * SNAPSHOT_RATE_HZ).round().long()[:, None]
    return frame_log_mel(pre_emphasis(audio[:, begin + WARM_UP + torch.arange(FRAME_SAMPLES)]))


def test_snapshots_are_what_the_engine_plays(loud):
    with torch.no_grad():
        difference = (FMSnapshots()(torch.from_numpy(loud)) - rendered(loud)).abs().mean((1, 2))
    assert difference.median() < 0.03 and difference.mean() < 0.06


@pytest.mark.parametrize("algorithm", range(32))
def test_every_algorithm(algorithm):
    "One bright voice through every routing, with feedback."
    names = [f"op{o}_{what}" for o in range(1, 7) for what in ("eg_level_1", "eg_level_2", "eg_level_3", "eg_rate_1")]
    values = dict.fromkeys(names, 1.0) | {f"op{o}_output_level": 0.8 for o in range(1, 7)}
    values |= {f"op{o}_f_coarse": o / 31 for o in range(1, 7)} | {f"op{o}_osc_detune": 0.5 for o in range(1, 7)}
    values |= {f"pitch_eg_level_{i}": 50 / 99 for i in range(1, 5)} | {"algorithm": algorithm, "feedback": 4 / 7}
    preset = from_dict(DEXED, values)[None]
    with torch.no_grad():
        ours = FMSnapshots()(torch.from_numpy(preset))
    assert (ours - rendered(preset)).abs().mean() < 0.06


def test_the_fast_loops_are_the_plain_ones(loud):
    given = frame_controls(torch.from_numpy(loud[:6]), torch.tensor([0.0, 0.1, 2.03]))
    calm = (*given[:3], given[3] * 0.1, given[4]) # strong feedback makes noise of the last bit
    fast, plain = play_frames(*calm), play_frames_plainly(*calm)
    scale = plain.abs().amax((1, 2), keepdim=True).clamp(min=1e-6)
    assert ((fast - plain).abs() / scale).median() < 1e-3


def test_batches_and_neighbours_change_nothing(loud):
    hear, presets = FMSnapshots(), torch.from_numpy(loud[:9])
    with torch.no_grad():
        assert torch.equal(hear(presets)[4:5], hear(presets[4:5]))


@pytest.mark.parametrize("parameter", ["op1_output_level", "op2_eg_rate_2", "op1_eg_level_2", "lfo_am_depth"])
def test_the_gradient_of_a_proxy_against_finite_differences(loud, parameter):
    torch.manual_seed(0)
    proxy = SynthProxy({"synth": "dexed", "encoder": "opsnap", "encoder_size": "small", "dims": 16}).eval()
    column, presets = DEXED.names.index(parameter), torch.from_numpy(loud[:16]).clone()
    presets[:, column] = presets[:, column].clamp(0.1, 0.9) + 0.0013
    leaf, step = presets.clone().requires_grad_(), 2e-4
    slope = torch.autograd.grad(proxy(leaf)[:, 0].sum(), leaf)[0][:, column]
    turned = torch.zeros(100)
    turned[column] = step
    with torch.no_grad():
        measured = (proxy(presets + turned) - proxy(presets - turned))[:, 0] / (2 * step)
    error = (slope - measured).abs() / (measured.abs() + 0.02)
    assert error.median() < 0.1, (slope, measured)


def test_chaotic_feedback_leaves_gradients_finite(loud):
    presets = torch.from_numpy(loud.copy())
    for name in ("feedback", *(f"op{n}_output_level" for n in range(1, 7))):
        presets[:, DEXED.names.index(name)] = 1
    presets.requires_grad_(True)
    FMSnapshots()(presets).sum().backward()
    assert torch.isfinite(presets.grad).all()


def test_predictions_first_gradients_later(loud):
    "Also in a process in which the first to ask for the constants was an audio model, in inference mode."
    for constant in (mel_filters, algorithms, operator_columns):
        constant.cache_clear()
    get_audio_model("mel128").embed(np.zeros((1, 32_000), np.float32))
    with torch.inference_mode():
        algorithms(), operator_columns()
    proxy = SynthProxy({"synth": "dexed", "encoder": "opsnap", "encoder_size": "small", "dims": 16}).eval()
    assert proxy.embed(loud[:2]).shape == (2, 16)
    leaf = torch.from_numpy(loud[:2]).requires_grad_()
    proxy(leaf).sum().backward()
    assert torch.isfinite(leaf.grad).all() and leaf.grad.abs().sum() > 0


def test_tables_are_met_on_the_grid():
    for name, table in TABLES.items():
        knob = torch.arange(len(table)) / (len(table) - 1)
        assert torch.allclose(look_up(name, knob), torch.tensor(table, dtype=torch.float32), rtol=1e-4), name


def test_waits_and_releases():
    "Equal levels make the engine wait; a release begins where the envelope stood."
    rates, levels = torch.tensor([[99, 50, 99, 60]]) / 99, torch.tensor([[99, 99, 0, 0]]) / 99
    times = torch.tensor([0.01, 0.04, 0.06, 0.08, 0.5])
    wait = TABLES["wait"][50]
    found = envelope_levels(rates, levels, torch.ones(1), times)[0]
    assert (found[times < wait] == found[0]).all() and (found[times > wait + 0.1] < 10).all()


def test_lfo_waves_and_delay():
    preset = torch.from_numpy(from_dict(DEXED, {"lfo_speed": 0.5, "lfo_delay": 0.4}))[None]
    value, grown = lfo(preset, torch.linspace(0, 5, 200))
    assert 0 <= value.min() and value.max() <= 1 and grown[0, 0] == 0 and grown[0, -1] == 1 and (grown.diff() >= 0).all()


def test_fixed_operators_do_not_follow_the_note():
    values = {"op1_mode": 1.0, "op1_f_coarse": 2 / 31, "op1_osc_detune": 0.5}
    octaves, fixed = frequencies(torch.from_numpy(from_dict(DEXED, values))[None])
    assert fixed[0, 0] and not fixed[0, 1:].any() and 2 ** octaves[0, 0] == pytest.approx(100, rel=1e-3)


def test_moments_must_be_on_the_engines_grid():
    with pytest.raises(ValueError, match="increasing multiples of 0.002 s"):
        FMSnapshots((0.0, 0.0131))
    with pytest.raises(ValueError, match="increasing"):
        FMSnapshots((0.02, 0.0))


def test_who_can_be_heard():
    assert {"opgraph", "opsnap"} <= set(encoders_of("dexed")) and "opsnap" in encoders_of("amsynth")
    with pytest.raises(ValueError):
        snapshots_of(get_synth("diva"))
    assert "opsnap" not in encoders_of("diva")
    assert shares_of_clip(FMSnapshots().middles_s).sum() == pytest.approx(1)


@pytest.mark.parametrize("synth", ["dexed", "amsynth"])
def test_kept_snapshots_give_the_same(synth):
    torch.manual_seed(0)
    encoder = build_encoder("opsnap", synth, 8, "small").eval()
    assert isinstance(encoder, SnapshotEncoder)
    presets = torch.from_numpy(sample(get_synth(synth), 5, seed=2))
    with torch.no_grad():
        assert torch.equal(encoder(presets, encoder.hear(presets)), encoder(presets))
