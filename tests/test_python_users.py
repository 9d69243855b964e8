"""What Python users pass: frames, dicts, tensors of other precisions."""
import numpy as np
import pandas as pd
import pytest
import torch
from torch.func import functional_call, grad, jacrev, vmap

from synthproxy.preset_encoders import encoders_of
from synthproxy.proxies import SynthProxy
from synthproxy.synths import from_dict, get_synth, sample, validate

DEXED = get_synth("dexed")
PRESETS = sample(DEXED, 4, seed=3)
FRAME = pd.DataFrame(PRESETS, columns=list(DEXED.names))


def test_presets_are_taken_by_name():
    shuffled = FRAME[np.random.default_rng(0).permutation(FRAME.columns)]
    assert np.array_equal(validate(DEXED, shuffled), PRESETS)
    assert np.array_equal(validate(DEXED, shuffled.to_dict("records")), PRESETS)
    assert np.array_equal(validate(DEXED, shuffled.to_dict("list")), PRESETS)
    assert np.array_equal(validate(DEXED, {"algorithm": 4}), from_dict(DEXED, {"algorithm": 4})[None])
    assert np.array_equal(validate(DEXED, [{"algorithm": 4}, {}]), np.stack([from_dict(DEXED, {"algorithm": 4}), from_dict(DEXED, {})]))


@pytest.mark.parametrize("given, message", [
    (FRAME.rename(columns={"algorithm": "algoritm"}), "dexed: no column 'algorithm'"), (FRAME.assign(extra=1), "unknown parameter of dexed 'extra'"),
    ({"algoritm": 4}, "did you mean 'algorithm'?"), ([{"algorithm": 99}], "parameter 'algorithm' is 99"), ({"algorithm": [1, 2], "feedback": [0, 0, 0]}, "2 and 3 values"),
    ({"algorithm": "five"}, "could not convert"), ([None] * 100, "parameter 'algorithm' is nan"), ({"algorithm": None}, "parameter 'algorithm' is nan")])
def test_wrong_names_and_values_are_one_error(given, message):
    with pytest.raises(ValueError, match=message):
        validate(DEXED, given)


def test_no_fewer_than_none():
    assert sample(DEXED, 0).shape == (0, len(DEXED))
    with pytest.raises(ValueError, match="-1 presets to draw, expected 0 or more"):
        sample(DEXED, -1)


@pytest.mark.parametrize("encoder", encoders_of("dexed"))
def test_a_proxy_of_any_precision(encoder):
    torch.manual_seed(0)
    proxy = SynthProxy({"synth": "dexed", "encoder": encoder, "encoder_size": "small", "dims": 16}).eval()
    expected, given = proxy.embed(PRESETS), torch.from_numpy(PRESETS)
    assert np.array_equal(proxy.embed(FRAME[FRAME.columns[::-1]]), expected)
    assert torch.allclose(proxy(given.double()), torch.from_numpy(expected), atol=1e-5)
    for precision in (torch.float64, torch.float16, torch.bfloat16):
        proxy = proxy.to(precision)
        said, leaf = proxy(given.to(precision)), given.clone().to(precision).requires_grad_()
        assert said.dtype == precision and proxy.embed(PRESETS).dtype == np.float32
        proxy(leaf).sum().backward()
        assert torch.isfinite(leaf.grad).all() and leaf.grad.abs().sum() > 0
        assert all(p.grad is not None for p in proxy.parameters()) or encoder in ("opsnap", "opwin")
        np.testing.assert_allclose(proxy.embed(PRESETS), expected, atol=.05 * np.abs(expected).max())
    assert proxy.embed(PRESETS[:0]).shape == (0, 16) and proxy(given[:0].to(proxy.mean.dtype)).dtype == proxy.mean.dtype
    with pytest.raises(ValueError, match="batch is 0, expected 1 or more"):
        proxy.embed(PRESETS, batch=0)


def test_a_misspelt_proxy_names_the_nearest():
    with pytest.raises(FileNotFoundError, match="no checkpoint in dexd: .*did you mean 'dexed'?"):
        SynthProxy.from_pretrained("dexd")


def apart(a: torch.Tensor, b: torch.Tensor) -> float: # as a share of b; sums in another order may put a unit of a network on the other side of its edge
    return float((a - b).norm() / b.norm())


def gradients(proxy: SynthProxy) -> torch.Tensor: # of all weights
    return torch.cat([(torch.zeros_like(weight) if weight.grad is None else weight.grad).flatten() for weight in proxy.parameters()])


@pytest.mark.parametrize("encoder", encoders_of("dexed"))
def test_a_proxy_under_torch_func(encoder):
    torch.manual_seed(0)
    proxy = SynthProxy({"synth": "dexed", "encoder": encoder, "encoder_size": "small", "dims": 4}).eval()
    given = torch.from_numpy(PRESETS)

    def one(preset: torch.Tensor) -> torch.Tensor: # (P,) -> (4,)
        return proxy(preset[None])[0]

    expected = torch.stack([torch.autograd.functional.jacobian(one, preset) for preset in given])
    assert apart(jacrev(one)(given[0]), expected[0]) < .03
    assert apart(vmap(jacrev(one))(given), expected) < .03
    assert apart(vmap(grad(lambda preset: one(preset).sum()), 1)(given.T), expected.sum(1)) < .03
    assert apart(vmap(one)(given), proxy(given)) < 1e-3
    proxy(given).sum().backward()
    direct = gradients(proxy)
    proxy.zero_grad()
    vmap(one)(given).sum().backward() # of weights too
    assert direct.norm() > 0 and apart(gradients(proxy), direct) < .03
    weights = {name: weight.detach() for name, weight in proxy.named_parameters()}
    each = vmap(grad(lambda w, preset: functional_call(proxy, w, (preset[None],)).sum()), (None, 0))(weights, given)
    assert apart(torch.cat([each[name].sum(0).flatten() for name in weights]), direct) < .03
    assert all(len(of_each) == len(given) for of_each in each.values())
    assert vmap(jacrev(proxy.double().forward))(given[:, None].double()).dtype == torch.float64
    if encoder in ("mlp_oh", "hn_oh", "hn_pt", "hn_ptgru"):
        with pytest.raises(NotImplementedError, match="call eval"):
            vmap(one)(given) if proxy.float().train() else None
