"""What opgraph knows: routing, envelopes, and which presets sound the same."""
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from synthproxy.operators import MOMENTS_S, Modules, OperatorModules, algorithms, operator_columns, pitch_envelope, same_sound
from synthproxy.preset_encoders import ModuleGraph, TableModules, build_encoder, instrument, shares_of_clip
from synthproxy.plugins import get_renderer
from synthproxy.notes import Note
from synthproxy.rendering import rms
from synthproxy.synths import Parameter, Synth, get_synth, sample

DEXED = get_synth("dexed")


def test_the_pitch_envelope_ends_where_its_levels_say():
    rates, levels = torch.ones(3, 4), torch.tensor([[0.0] * 4, [50 / 99] * 4, [1.0, 1.0, 1.0, 0.0]])
    bend = pitch_envelope(rates, levels, torch.tensor([0.0, 1.9, 4.9]))
    torch.testing.assert_close(bend, torch.tensor([[-4.0, -4, -4], [0, 0, 0], [-4, 127 / 32, -4]]), atol=.05, rtol=0)
    slow = pitch_envelope(torch.zeros(1, 4), levels[2:], torch.tensor([1.0, 2.0]))
    assert (slow.diff() - 1 / 21.3).abs().max() < 1e-4 # the slowest rate: an octave in 21.3 seconds


def test_presets_that_sound_the_same_do():
    presets = sample(DEXED, 40, seed=5)
    presets[::2, DEXED.names.index("op5_output_level")] = 0
    presets[:8, DEXED.names.index("algorithm")] = 31
    torch.manual_seed(1)
    others = same_sound(torch.from_numpy(presets)).numpy()
    renderer = get_renderer("dexed", 32_000)
    a, b = renderer.render(presets, Note()), renderer.render(others, Note())
    heard = rms(a) > 1e-4
    assert heard.sum() > 10 and (presets[heard] != others[heard]).any(1).sum() > 5
    assert (rms(a - b)[heard] < .02 * rms(a)[heard]).all()


def test_modules_that_reach_nothing_have_no_say():
    presets = torch.from_numpy(sample(DEXED, 6, seed=3))
    presets[:, DEXED.names.index("algorithm")] = 31 # six carriers, operator 6 with feedback
    graph = ModuleGraph(DEXED, 16, hidden=16).eval()
    heard = algorithms()[2][31]
    assert heard.sum() == 6

    class Deaf(OperatorModules):
        def forward(self, presets: torch.Tensor) -> Modules:
            return super().forward(presets)._replace(heard=torch.tensor([1.0, 1, 1, 1, 1, 0]).expand(len(presets), -1))

    deaf = ModuleGraph(DEXED, 16, hidden=16, modules=Deaf()).eval()
    other = presets.clone()
    other[:, operator_columns()[1][5]] = torch.from_numpy(sample(DEXED, 6, seed=4))[:, operator_columns()[1][5]]
    with torch.inference_mode():
        assert torch.equal(deaf(presets), deaf(other)) and not torch.allclose(graph(presets), graph(other), atol=1e-4)


def test_any_table_with_modules_will_do():
    def parameter(name: str, module: str, values: tuple[float, ...] = ()) -> Parameter:
        weights = (1 / len(values),) * len(values) if values else ()
        return Parameter(name, "cat" if values else "num", 0.5, 0, 1, values, weights, True, None, "", module=module)

    synth = Synth("tiny", (parameter("a", "osc1>filter"), parameter("b", "osc1>filter", (0, .5, 1)), parameter("c", "osc2>filter+lfo"),
                           parameter("d", "filter"), parameter("e", "lfo>osc1"), parameter("gain", "")))
    modules = TableModules(synth)(torch.tensor([[.1, 2, .3, .4, .5, .6]]))
    assert modules.edges[0, 0].tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0]] # row: who receives; osc1, osc2, filter, lfo
    assert modules.heard[0].tolist() == [1, 1, 1, 1] and modules.still.shape == (1, 4, 4 + 4)
    assert modules.whole[0].tolist() == pytest.approx([.6, 1])
    graph, knobs = ModuleGraph(synth, 8, hidden=32), torch.rand(5, 6, requires_grad=True)
    graph(torch.cat([knobs[:, :1], torch.ones(5, 1), knobs[:, 2:]], 1)).sum().backward()
    assert (knobs.grad[:, [0, 2, 3, 4, 5]] != 0).any(0).all()
    with pytest.raises(ValueError, match="opgraph needs a table that declares modules"):
        TableModules(Synth("flat", (parameter("a", ""),)))


def test_gradients_are_finite_at_the_ends_of_every_knob():
    for value in (0.0, 1.0):
        presets = torch.full((2, len(DEXED)), value)
        presets[:, DEXED.categories > 0] = 0
        presets.requires_grad_()
        encoder = build_encoder("opgraph", "dexed", 8, "small")
        encoder(presets).square().sum().backward()
        assert torch.isfinite(presets.grad).all()
    assert len(MOMENTS_S) == 10 and np.all(np.diff(MOMENTS_S) > 0)


class Copies(TorchDispatchMode): # tensors that are made of numbers, or brought from another device
    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        to = (kwargs or {}).get("device")
        if "lift_fresh" in str(function) or to and function.overloadpacket == torch.ops.aten._to_copy and args[0].device != torch.device(to):
            self.found.append(str(function))
        return function(*args, **kwargs or {})


@pytest.mark.parametrize("synth", ["dexed", "amsynth"])
def test_a_forward_copies_nothing_to_the_device(synth):
    "Tables are buffers: after the first time only presets are brought to where the encoder is."
    modules = instrument(get_synth(synth)).to("meta")
    presets = torch.zeros(2, len(get_synth(synth)), device="meta")
    assert {tensor.device.type for tensor in modules(presets)} == {"meta"}
    with Copies() as copies:
        modules(presets)
    assert not copies.found
    with Copies() as copies: # that it would be seen
        torch.tensor([1.0]).to("meta")
    assert len(copies.found) == 2


def test_moments_are_their_modules_own():
    "Ten of them recognise nothing: another instrument may have as many at other times."
    class Other(OperatorModules):
        moments_s = tuple(i / 2 for i in range(10))

    other = ModuleGraph(DEXED, 8, hidden=8, modules=Other())
    assert torch.equal(other.weights, shares_of_clip(Other.moments_s)) and torch.equal(other.modules_of.times_s[1::3], torch.tensor(Other.moments_s))
    assert torch.equal(ModuleGraph(DEXED, 8, hidden=8).weights, shares_of_clip(MOMENTS_S))
    for wrong in ((0.0, 5.5), (-1.0, 2.0), (1.0, 1.0)):
        with pytest.raises(ValueError, match="expected increasing ones within a clip of 5.0 s"):
            shares_of_clip(wrong)


@pytest.mark.parametrize("synth", ["amsynth", "faust_poly"])
def test_opgraph_reads_every_parameter_of_other_synths(synth):
    torch.manual_seed(0)
    table, encoder = get_synth(synth), build_encoder("opgraph", synth, 16, "small")
    presets = torch.from_numpy(sample(table, 64)).requires_grad_()
    encoder(presets).square().sum().backward()
    numeric = table.categories == 0
    assert (presets.grad[:, numeric] != 0).any(0).all()
