"""What an encoder leaves out because nothing depends on it changes no prediction and no gradient."""
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from synthproxy import preset_encoders
from synthproxy.preset_encoders import ModuleGraph, TokenTransformer
from synthproxy.synths import get_synth, sample

PRESETS = torch.from_numpy(sample(get_synth("dexed"), 64, seed=2))
PRESETS[:, get_synth("dexed").names.index("algorithm")] = torch.arange(64) % 32


def results(encoder: nn.Module) -> list[Tensor]: # predictions, and the gradient of every weight and preset
    presets = PRESETS.clone().requires_grad_()
    predicted = encoder(presets)
    weights = list(encoder.parameters())
    return [predicted, *torch.autograd.grad(predicted.square().sum(), [presets, *weights])]


def same(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-5 * b.abs().max().item()) for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_last_layer_of_a_transformer_serves_the_first_token_alone(norm_first):
    torch.manual_seed(0)
    encoder = TokenTransformer(get_synth("dexed"), 24, token=16, layers=2, heads=4, norm_first=norm_first).train()
    nn.init.normal_(encoder.cls)
    with patch.object(preset_encoders, "_first_token", lambda layer, tokens: layer(tokens)[:, 0]):
        plain = results(encoder)
    assert same(results(encoder), plain)
    assert (encoder.eval()(PRESETS) - plain[0]).abs().max() < 1e-4


def test_the_last_round_of_opgraph_updates_what_is_heard():
    torch.manual_seed(0)
    graph = ModuleGraph(get_synth("dexed"), 24, hidden=16).double().train()
    heard = graph.modules_of(PRESETS.double()).heard
    assert 0 < heard.mean() < .6 # so there is something to leave out
    with patch.object(Tensor, "nonzero", lambda x, as_tuple: torch.nonzero(torch.ones_like(x), as_tuple=True)): # every module
        plain = [graph(PRESETS.double()), *torch.autograd.grad(graph(PRESETS.double()).square().sum(), list(graph.parameters()))]
    found = [graph(PRESETS.double()), *torch.autograd.grad(graph(PRESETS.double()).square().sum(), list(graph.parameters()))]
    assert all(torch.allclose(a, b, atol=1e-9 * max(1, b.abs().max().item())) for a, b in zip(found, plain, strict=True))
