"An encoder that starts from what the engine plays in some windows."
import subprocess
import sys

import numpy as np
import pytest
import torch

from synthproxy.audio_models import SAMPLE_RATE_HZ, log_mel_at, pre_emphasis
from synthproxy.dx7_batch import render_batch
from synthproxy.fm_windows import LOOK, FMWindows, blocks_of, frame_begins
from synthproxy.notes import Note
from synthproxy.preset_encoders import WindowEncoder, build_encoder, encoders_of
from synthproxy.proxies import SynthProxy
from synthproxy.synths import DEXED_GAIN, get_synth, sample, to_dx7

DEXED = get_synth("dexed")
FEEDBACK = DEXED.names.index("feedback")
CARD = {"synth": "dexed", "encoder": "opwin", "encoder_size": "small", "dims": 16}


def drawn(n: int, seed: int) -> np.ndarray:
    return sample(DEXED, n, seed=seed)


def test_frames_are_those_of_the_whole_note():
    presets = drawn(20, 3)
    presets[:10, FEEDBACK] = 0
    audio = render_batch(to_dx7(DEXED, presets), Note(), SAMPLE_RATE_HZ)
    true = np.stack([log_mel_at(pre_emphasis(line * np.float32(DEXED_GAIN)), frame_begins(LOOK)) for line in audio]).reshape(20, len(LOOK), -1)
    heard = FMWindows()(torch.from_numpy(presets)).numpy()
    assert np.array_equal(heard[:10], true[:10]) and np.abs(heard - true).mean() < .02 * true.std()


def test_neither_company_nor_threads_matter():
    presets, hear = torch.from_numpy(drawn(300, 4)), FMWindows()
    assert torch.equal(hear(presets), torch.cat([hear(part) for part in presets.split([1, 90, 209])]))


def test_every_frame_lies_in_blocks_that_are_played():
    begins = frame_begins((0, 7, 100))
    wanted = blocks_of(begins[:-4], 160_000).repeat(64)
    assert all(wanted[b:b + 801].all() for b in begins[:-4]) and not wanted[20_000:].any()


def test_a_value_is_heard_and_a_slope_is_the_graphs():
    torch.manual_seed(0)
    proxy = SynthProxy(CARD).eval()
    leaf = torch.from_numpy(drawn(6, 5)).requires_grad_()
    slope, = torch.autograd.grad(proxy(leaf).sum(), leaf)
    graph, = torch.autograd.grad((proxy.encoder.graph(leaf) * proxy.std).sum(), leaf)
    assert torch.allclose(slope, graph, atol=1e-5 * graph.abs().max()) and slope.abs().sum() > 0
    turned = leaf.detach().clone()
    turned[:, DEXED.names.index("op1_eg_rate_1")] += 1e-4 # less than a step of the engine: nothing is heard of it
    assert torch.equal(proxy.hear(turned), proxy.hear(leaf.detach()))


def test_both_parts_learn():
    torch.manual_seed(0)
    encoder = build_encoder("opwin", "dexed", 16, "small")
    said, embedding, reasoned = encoder.say_each(torch.from_numpy(drawn(4, 6)))
    assert isinstance(encoder, WindowEncoder) and said.shape == (4, len(LOOK), 16) and embedding.shape == reasoned.shape == (4, 16)
    embedding.sum().backward()
    assert all(p.grad is None for p in encoder.graph.parameters()) # it learns from its own prediction alone
    reasoned.sum().backward()
    assert all(p.grad is not None for p in encoder.graph.parameters())
    encoder.zero_grad()
    encoder(torch.from_numpy(drawn(4, 6))).sum().backward()
    assert all(p.grad is None for p in encoder.graph.parameters()) and encoder.read[0].weight.grad.abs().sum() > 0


def test_who_can_be_played():
    assert "opwin" in encoders_of("dexed") and not {"opwin"} & {*encoders_of("amsynth"), *encoders_of("diva")}
    proxy = SynthProxy(CARD).eval()
    given = torch.from_numpy(drawn(2, 7))
    beyond = torch.where(given == given.round(), given + .3 * (given > 0), given) # off the grid of categories, above 1
    assert torch.equal(proxy.hear(beyond), proxy.hear(given)) # the nearest that there is
    with pytest.raises(ValueError, match="'algorithm' is nan"):
        proxy.hear(torch.full((1, 100), torch.nan))


WITHOUT = """if True:
    import sys
    sys.modules["dexed"] = sys.modules["scipy"] = None
    from synthproxy.proxies import SynthProxy
    from synthproxy.synths import get_synth, sample
    import torch
    torch.manual_seed(0)
    print(SynthProxy({"synth": "dexed", "encoder": "opwin", "encoder_size": "small", "dims": 16}).embed(sample(get_synth("dexed"), 3, seed=5)).sum())"""


def test_a_core_installation_is_enough():
    "Neither dexed-py nor SciPy: the compiled engine plays, and torch transforms."
    run = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-500:]
    torch.manual_seed(0)
    assert float(run.stdout) == pytest.approx(SynthProxy(CARD).embed(drawn(3, 5)).sum(), rel=1e-3)
