"""Is what a subtractive synth is worked out to sound like, what it sounds like?"""
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synthproxy.audio_models import SAMPLE_RATE_HZ, frame_log_mel, log_mel, pre_emphasis
from synthproxy.oscillator_snapshots import MOMENTS_S, NEEDED, Snapshots, Units, curved_envelope, envelope, has_roles, hear, missing_roles, statements
from synthproxy.plugins import get_renderer
from synthproxy.preset_encoders import build_encoder, encoders_of
from synthproxy.presets import read_presets
from synthproxy.synths import Parameter, Synth, from_dict, get_synth, sample

AMSYNTH, FAUST, TAL = get_synth("amsynth"), get_synth("faust_poly"), get_synth("talnm")
BANKS = "/usr/share/amsynth/banks"
SILENCE = (np.log(1e-5) + 4.5) / 5


def small_synth(*roles: str) -> Synth: # one knob for each role
    return Synth("small", tuple(Parameter(f"knob{i}", "num", .5, 0, 1, (), (), True, None, "", role=role) for i, role in enumerate(roles)))


SINE = ("osc1.wave is sine; filter.type is off; filter.cutoff is 1000", "amp.attack lin 0.001 1", "amp.decay lin 0.001 1", "amp.sustain lin 0 1",
        "amp.release lin 0.001 1", "osc1.semitones lin -24 24")


def true_spectra(audio: np.ndarray) -> torch.Tensor: # (B, T) -> (B, M, 128)
    return torch.cat([log_mel(clip[None])[:, [round(t * 100) for t in MOMENTS_S]] for clip in torch.from_numpy(audio)])


def correlations(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a.flatten(1), b.flatten(1))])


@pytest.mark.parametrize(("role", "message"), [
    ("amp.atack exp 0.002 4", "unknown role of parameter 'knob0' 'amp.atack'.*did you mean 'amp.attack'"),
    ("amp.attack expo 0.002 4", "unknown law of role 'amp.attack'.*'expo'.*did you mean 'exp'"),
    ("amp.attack", "unknown law"),
    ("amp.attack exp 0.002", "'exp 0.002', expected exp and 2 numbers above 0"),
    ("amp.attack exp 0 4", "expected exp and 2 numbers above 0"),
    ("amp.attack lin 0.1 long", "expected lin and 2 numbers"),
    ("amp.attack names sine", "expected names"),
    ("filter.type is lowpass", "unknown name for role 'filter.type' of parameter 'knob0' 'lowpass': expected one of low, high"),
    ("filter.type names low high", "expected 'names' and 0 of low, high"),
    ("filter.type lin 0 1", "unknown name|expected 'names'"),
    ("amp.attack slow 0 1 24", "'slow 0 1 24', expected slow and 3 numbers above 0"),
    ("osc1.level curve 0 1 1", "'curve 0 1 1', expected curve and 3 numbers, the last above 0 and not 1"),
    ("filter.cutoff square -1 2 8", "expected square and 3 numbers, the last above 0 and not 1, none below 0"),
])
def test_a_wrong_role_is_one_clear_error(role, message):
    with pytest.raises(ValueError, match=message):
        statements(small_synth(role))


def test_a_table_that_says_too_little_says_what_is_missing():
    assert has_roles(AMSYNTH) and has_roles(FAUST) and has_roles(TAL)
    short = small_synth(*SINE[:2])
    assert missing_roles(short) == ["amp.decay", "amp.sustain", "amp.release"] and not has_roles(short)
    with pytest.raises(ValueError, match="small: no parameter with the role amp.decay, amp.sustain, amp.release, expected all of osc1.wave"):
        hear(short)
    assert missing_roles(get_synth("diva")) == list(NEEDED)


def test_amsynth_means_what_it_displays():
    quarters = torch.from_numpy(np.stack([from_dict(AMSYNTH, {p.name: x for p in AMSYNTH.used if p.type == "num" and not p.values}) for x in (0, .25, .5, 1)]))
    units = Units(AMSYNTH)(quarters.float())
    torch.testing.assert_close(units["amp.attack"], torch.tensor([.0005, .244641, 1.95362, 15.6255]), rtol=1e-4, atol=0)
    torch.testing.assert_close(units["lfo.rate"], torch.tensor([0, 3.51562, 14.0625, 56.25]), rtol=1e-4, atol=0)
    torch.testing.assert_close(units["filter.cutoff"] / 261.6256, torch.tensor([.25, 1, 4, 64]), rtol=1e-4, atol=0)
    torch.testing.assert_close(1 / units["filter.q"], 2 * (1 - torch.tensor([0, .2425, .485, .97])), rtol=1e-3, atol=0)
    torch.testing.assert_close(2 ** (units["osc2.cents"] / 1200), torch.tensor([.8, .894427, 1, 1.25]), rtol=1e-4, atol=0)
    torch.testing.assert_close(units["level"], torch.full((4,), 2 * .67 ** 2)) # not used: at its default


def test_the_envelope_is_straight_and_released_from_where_it_is():
    one = torch.ones(1)
    levels = envelope(torch.tensor([-1, .25, .5, 1, 1.5, 2, 2.5, 3, 4]), .5 * one, one, .5 * one, one, 0 * one)
    torch.testing.assert_close(levels[0], torch.tensor([0, .5, 1, .75, .5, .5, .25, 0, 0]))
    skipped = envelope(torch.tensor([.25, .5, 1]), .5 * one, .001 * one, .5 * one, one, .002 * one)
    torch.testing.assert_close(skipped[0], torch.tensor([.25, .5, .5]))


def test_a_sine_is_on_the_scale_of_the_audio_models():
    preset = torch.tensor([[.5, 0, 0, 1, 0, .75]]) # an octave up; the first knob means nothing
    seconds = torch.arange(6 * SAMPLE_RATE_HZ, dtype=torch.float64) / SAMPLE_RATE_HZ
    audio = torch.sin(2 * np.pi * 2 * 261.6256 * seconds).float()
    frames = torch.stack([pre_emphasis(audio[(at := round(t * SAMPLE_RATE_HZ)) - 400:at + 401]) for t in MOMENTS_S])
    heard = hear(small_synth(*SINE))(preset)[0]
    held = torch.tensor(MOMENTS_S) < 2
    difference = (heard[held] - frame_log_mel(frames)[held]).abs() # the largest are beside the sine, near the floor
    assert difference.max() < .06 and (difference < .02).float().mean() > .995
    torch.testing.assert_close(heard[~held][1:], torch.full_like(heard[~held][1:], SILENCE), atol=1e-5, rtol=0)


@pytest.mark.parametrize("synth", [AMSYNTH, FAUST, TAL], ids=lambda s: s.name)
def test_a_preset_sounds_the_same_alone_and_in_a_batch(synth):
    presets, snapshots = torch.from_numpy(sample(synth, 40, seed=2)), hear(synth)
    together = snapshots(presets)
    assert together.shape == (40, len(MOMENTS_S), 128) and together.dtype == torch.float32 and torch.isfinite(together).all()
    assert torch.equal(together, snapshots(presets))
    torch.testing.assert_close(together[17:18], snapshots(presets[17:18]), atol=1e-4, rtol=0)
    assert torch.isfinite(snapshots(torch.tensor(np.stack([[0.0] * len(synth), [1.0] * len(synth)])).float())).all()


def test_a_category_picks():
    presets = torch.from_numpy(np.repeat(sample(FAUST, 1, seed=4), 4, 0))
    presets[:, FAUST.names.index("osc1_wave")] = torch.arange(4.0)
    presets[:, FAUST.names.index("osc_mix")] = 0
    heard = hear(FAUST)(presets)
    assert all((heard[i] - heard[j]).abs().mean() > .01 for i in range(4) for j in range(i))


@pytest.mark.parametrize("synth", [AMSYNTH, FAUST], ids=lambda s: s.name)
def test_gradients_are_those_of_small_steps(synth):
    presets = torch.from_numpy(sample(synth, 6, seed=9)).double().clamp(.02, .98)
    for i, p in enumerate(synth.used):
        if p.values:
            presets[:, i] = torch.from_numpy(sample(synth, 6, seed=9))[:, i].double()
    snapshots, weight = hear(synth).double(), torch.randn(6, len(MOMENTS_S), 128, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    presets.requires_grad_()
    (snapshots(presets) * weight).sum().backward()
    agree = []
    for i, p in enumerate(synth.used):
        if p.type == "num" and not p.values and p.role:
            step = torch.zeros_like(presets)
            step[:, i] = 1e-7
            with torch.no_grad():
                change = ((snapshots(presets + step) - snapshots(presets - step)) * weight).sum((1, 2)) / 2e-7
            agree.append((change - presets.grad[:, i]).abs() < 1e-2 * (1 + change.abs()))
    agree = torch.stack(agree)
    assert len(agree) > 14 and agree.double().mean() > .95 # the rest stands at a kink


def test_faust_sounds_as_worked_out():
    presets = sample(FAUST, 16, seed=21)
    found = correlations(true_spectra(get_renderer("faust_poly", SAMPLE_RATE_HZ).render(presets)), hear(FAUST)(torch.from_numpy(presets)))
    assert np.median(found) > .85
    without_filter = replace(FAUST, parameters=tuple(replace(p, role="") if p.name == "resonance" or p.name == "filter_envelope" else p for p in FAUST.parameters))
    worse = correlations(true_spectra(get_renderer("faust_poly", SAMPLE_RATE_HZ).render(presets)), Snapshots(without_filter)(torch.from_numpy(presets)))
    assert worse.mean() < found.mean() - .02 # the measure notices a part that is wrong


def test_amsynth_sounds_as_worked_out():
    try:
        renderer = get_renderer("amsynth", SAMPLE_RATE_HZ)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    people = read_presets("amsynth", BANKS).presets[::120].astype(np.float32)
    for presets, least in ((sample(AMSYNTH, 24, seed=22), .86), (people, .94)):
        found = correlations(true_spectra(renderer.render(presets)), hear(AMSYNTH)(torch.from_numpy(presets)))
        assert np.median(found) > least


# TAL-NoiseMaker: the plug-in is not at hand, so what is tested is its source's arithmetic, worked out by hand, and how it behaves

PLAIN = {"osc_1_volume": 1, "osc_3_volume": 0, "osc_1_tune": .5, "filter_contour": .5, "amp_sustain": 1, "filter_sustain": 1, "lfo_1_amount": .5, "osc_mastertune": .5,
         "osc_1_fine_tune": .5, "osc_2_fine_tune": .5, "osc_2_tune": .5, "transpose": .5, "osc_1_pw": .5, "filter_cutoff": .5}


def tal(**values: float) -> torch.Tensor: # (1, P) one oscillator, half-open filter, nothing else, but for the values; a category by its index
    zeros = {p.name: 0 for p in TAL.used}
    given = zeros | PLAIN | values
    return torch.tensor([[float(given[p.name]) for p in TAL.used]])


def tal_units(**values: float) -> dict[str, float]:
    return {role: amount.item() for role, amount in Units(TAL)(tal(**values)).items()}


def test_talnm_means_what_its_source_computes():
    # cutoff: the square of (8^v - 1) / 7, of 22050 Hz
    for v, hz in ((0, 0), (.25, 22050 * (.6817928 / 7) ** 2), (.5, 22050 * (1.8284271 / 7) ** 2), (1, 22050)):
        assert tal_units(filter_cutoff=v)["filter.cutoff"] == pytest.approx(hz, rel=1e-4, abs=1e-3)
    # attack: each sample of 1/32000 s goes 200 f^2 (.0003 + 7 (1 - v/2)^24) of the way to 1.04 + v/2, where f = .004 * 44100 / 32000
    f = .004 * 44100 / 32000
    for v, power in ((0, 1), (.5, .75 ** 24), (1, .5 ** 24)):
        units = tal_units(amp_attack=v, filter_attack=v)
        for part in ("amp", "filter"):
            assert units[f"{part}.attack"] == pytest.approx(1 / 32000 / (200 * f * f * (.0003 + 7 * power)), rel=1e-3)
            assert units[f"{part}.aim"] == pytest.approx(1.04 + v / 2)
    half = tal_units(amp_attack=.5)
    assert half["amp.attack"] * np.log(1.29 / .29) == pytest.approx(1.048, abs=.002) # seconds until the top
    # decay and release: f (.0003 + 7 (1 - v/2)^23) and 8 f (.0003 + 2 (1 - v/2)^22) of what is left, each sample
    assert tal_units(amp_decay=.5)["amp.decay"] == pytest.approx(1 / 32000 / (f * (.0003 + 7 * .75 ** 23)), rel=1e-3)
    assert tal_units(amp_release=.5)["amp.release"] == pytest.approx(1 / 32000 / (8 * f * (.0003 + 2 * .75 ** 22)), rel=1e-3)
    # volumes: (20^v - 1) / 19, the sub-oscillator upside down; the LFO: (e^(.2 + 3 v ln 20) - 1) / 19 Hz
    units = tal_units(osc_1_volume=.5, osc_3_volume=.5, lfo_1_rate=.5, lfo_1_amount=.75, filter_contour=.25, filter_sustain=.5)
    assert units["osc1.level"] == pytest.approx(3.4721360 / 19) == units["filter.sustain"] == pytest.approx(-2 * units["sub.level"])
    assert units["lfo.rate"] == pytest.approx((1.2214028 * 89.4427191 - 1) / 19, rel=1e-4)
    assert units["lfo.to_octaves"] == pytest.approx(4 / 8) and units["filter.env_root"] == pytest.approx(-(22050 ** .5) / 8, rel=1e-4)
    # pitches are cut to whole semitones towards 0, transposition to octaves
    assert [tal_units(osc_1_tune=v)["osc1.semitones"] for v in (0, .49, .52, .25, .99)] == [-24, 0, 0, -12, 23]
    assert [tal_units(transpose=v)["tune.octaves"] for v in (0, .5, .75, 1)] == [-1, 0, 1, 2]
    assert tal_units()["level"] == pytest.approx((400 ** .408 - 1) / 19, rel=1e-4) # not used: at its default


def test_the_curved_envelope_reaches_its_levels():
    def column(x: float) -> torch.Tensor:
        return torch.tensor([x])

    top = .2 * np.log(1.5 / .5)
    levels = curved_envelope(torch.tensor([-1, 0, top / 2, top, top + .1, 2, 2.1, 9]), column(.2), column(.1), column(.3), column(.1), column(1.5))[0]
    expected = [0, 0, 1.5 * (1 - np.exp(-top / 2 / .2)), 1, np.exp(-1), .3, .3 * np.exp(-1), 0]
    torch.testing.assert_close(levels, torch.tensor(expected).to(levels), atol=.006, rtol=0)


def loud(heard: torch.Tensor) -> torch.Tensor: # (B, M)
    return heard.mean(-1)


def test_talnm_behaves():
    snapshots = hear(TAL)

    def hears(**values: float) -> torch.Tensor: # (M, 128)
        return snapshots(tal(**values))[0]

    bands, held = torch.arange(128.), 15 # the moment at 1.97 s
    def brightness(heard: torch.Tensor) -> float:
        power = (5 * heard[held] - 4.5).exp() - 1e-5
        return ((power * bands).sum() / power.sum()).item()

    cutoffs = [brightness(hears(filter_cutoff=v)) for v in (.2, .4, .6, 1)]
    assert cutoffs == sorted(cutoffs) and cutoffs[-1] > cutoffs[0] + 10
    assert brightness(hears(filter_contour=.8)) > brightness(hears()) > brightness(hears(filter_contour=.3))
    attacks = [loud(hears(amp_attack=v))[0].item() for v in (0, .2, .5)]
    assert attacks == sorted(attacks, reverse=True) and attacks[0] > attacks[-1] + .3
    after = MOMENTS_S.index(2.13)
    releases = [loud(hears(amp_release=v))[after].item() for v in (0, .5, 1)]
    assert releases == sorted(releases) and releases[0] == pytest.approx(SILENCE, abs=1e-3) and releases[-1] > releases[0] + .3
    types = snapshots(torch.cat([tal(filter_type=i, filter_resonance=.5) for i in range(10)])) # number 11 is taken as the first; 12 is open
    assert all((types[i] - types[j]).abs().mean() > .01 for i in range(10) for j in range(i))
    torch.testing.assert_close(hears(osc_1_volume=0, ringmodulation=1), torch.full((len(MOMENTS_S), 128), SILENCE), atol=1e-4, rtol=0)
    for changed in ({"osc_3_volume": .8}, {"osc_2_volume": .8}, {"osc_1_tune": .75}, {"transpose": .75}, {"osc_2_volume": 1, "ringmodulation": 1}, {"velocity_filter": .5},
                    {"vintage_noise": 1}, {"lfo_1_destination": 1, "lfo_1_amount": 1, "lfo_1_rate": .3}, {"lfo_1_destination": 2, "lfo_1_amount": .8, "lfo_1_rate": .3}):
        assert (hears(**changed) - hears()).abs().mean() > .01, changed
    assert torch.equal(hears(lfo_1_amount=1, lfo_1_rate=.3), hears()) # goes nowhere
    torch.testing.assert_close(hears(osc_sync=1), hears(), atol=.02, rtol=0) # four whole periods in each of the sub-oscillator's
    assert (hears(osc_sync=1, osc_1_fine_tune=1) - hears(osc_1_fine_tune=1)).abs().mean() > .01


def finite_with_gradients(presets: torch.Tensor) -> None:
    presets = presets.clone().requires_grad_()
    heard = hear(TAL)(presets)
    heard.square().sum().backward()
    assert heard.shape == (len(presets), len(MOMENTS_S), 128) and torch.isfinite(heard).all() and torch.isfinite(presets.grad).all()
    continuous = [i for i, p in enumerate(TAL.used) if p.type == "num" and not p.values and p.role]
    assert (presets.grad[:, continuous] != 0).any(0).all()


def test_talnm_can_be_heard():
    finite_with_gradients(torch.from_numpy(sample(TAL, 64, seed=31)))
    ends = torch.stack([torch.zeros(len(TAL)), torch.ones(len(TAL)), torch.full((len(TAL),), .5)])
    heard = hear(TAL)(ends.requires_grad_())
    heard.sum().backward()
    assert torch.isfinite(heard).all() and torch.isfinite(ends.grad).all()


def test_talnm_factory_programs_can_be_heard():
    path = Path(os.environ.get("SYNTHPROXY_PRESETS", "")) / "talnm" / "tal_factory_v17.json"
    if not path.is_file():
        pytest.skip("SYNTHPROXY_PRESETS has no talnm/tal_factory_v17.json")
    programs = read_presets("talnm", path).presets
    assert len(programs) >= 255
    finite_with_gradients(torch.from_numpy(programs.astype(np.float32)))


def test_talnm_has_the_encoder_that_listens():
    assert "opsnap" in encoders_of("talnm") and "opsnap" not in encoders_of("diva")
    encoder = build_encoder("opsnap", "talnm", 8, "small").eval()
    with torch.no_grad():
        assert torch.isfinite(encoder(torch.from_numpy(sample(TAL, 3, seed=5)))).all()
