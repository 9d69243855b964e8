"""A proxy that hears some windows: nearly the whole truth, and the gradients of another."""

import copy
import pickle

import numpy as np
import pytest
import torch

from synthproxy.audio_models import get_audio_model
from synthproxy.datasets import get_dataset
from synthproxy.evaluation import evaluate_proxy
from synthproxy.notes import Note
from synthproxy.plugins import get_renderer
from synthproxy.proxies import SynthProxy
from synthproxy.search import make_pool
from synthproxy.synths import get_synth, sample
from synthproxy.window_proxies import LOOK, WindowProxy, window_shares


def learned(synth: str = "dexed", audio_model: str = "mel128", dims: int = 128) -> SynthProxy:
    torch.manual_seed(0)
    return SynthProxy({"synth": synth, "encoder": "mlp_oh", "encoder_size": "small", "dims": dims, "audio_model": audio_model}).eval()


@pytest.fixture(scope="module")
def presets() -> np.ndarray:
    return get_dataset("dexed", "cpu", "handcrafted").presets[:24]


@pytest.mark.parametrize("synth", ["dexed", "faust_poly"])
def test_all_windows_are_the_whole_truth(synth):
    model, some = get_audio_model("mn04_random"), sample(get_synth(synth), 18, seed=1) # of a network, the mean over windows is the embedding
    whole = model.embed(get_renderer(synth, model.sample_rate_hz).render(some, Note()))
    heard = WindowProxy(learned(synth, "mn04_random", model.dims), tuple(range(101))).embed(some)
    assert heard.dtype == np.float32 and np.allclose(heard, whole, rtol=1e-3, atol=1e-3 * np.abs(whole).mean())


def test_the_value_is_heard_and_the_gradient_borrowed(presets):
    proxy, leaf = WindowProxy(learned()), torch.from_numpy(presets[:3].copy()).requires_grad_()
    said = proxy(leaf)
    assert np.array_equal(said.detach(), proxy.embed(presets[:3]))
    own, = torch.autograd.grad(said.square().sum(), leaf, retain_graph=True)
    back = (2 * said).detach()
    assert torch.allclose(own, torch.autograd.grad(proxy.learned(leaf), leaf, back)[0]) and own.abs().sum() > 0
    value, slope = torch.func.jvp(proxy, (leaf.detach(),), (torch.ones(3, 100),))
    assert torch.equal(value, said) and torch.allclose(slope, torch.func.jvp(proxy.learned, (leaf.detach(),), (torch.ones(3, 100),))[1], atol=1e-5)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda preset: proxy(preset[None])[0, :4]))(leaf.detach())
    assert jacobian.shape == (3, 4, 100)
    assert torch.allclose(jacobian[:, 1], torch.autograd.grad(proxy.learned(leaf)[:, 1].sum(), leaf)[0], atol=1e-5)


def test_precision_is_the_learned_proxys(presets):
    proxy, some = WindowProxy(learned()), torch.from_numpy(presets[:2])
    heard = proxy.embed(presets[:2])
    for given in (some, some.double()):
        assert proxy(given).dtype == torch.float32 and np.array_equal(proxy(given).detach(), heard)
    half = WindowProxy(learned().half())
    assert half(some).dtype == torch.float16 and np.allclose(half(some).detach().float(), heard, atol=2e-3)


def test_two_looks_have_two_pools(presets, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHPROXY_CACHE", str(tmp_path))
    few, many = (make_pool(WindowProxy(learned(), look), presets[:4], list("abcd"), [""] * 4, cache=True) for look in ((0, 40), LOOK))
    assert not np.array_equal(few.embeddings, many.embeddings)


def test_it_is_copied_and_sent(presets):
    proxy = WindowProxy(learned())
    for other in (copy.deepcopy(proxy), pickle.loads(pickle.dumps(proxy))):
        assert np.array_equal(other.embed(presets[:1]), proxy.embed(presets[:1]))


def test_none_and_one(presets):
    proxy = WindowProxy(learned())
    assert proxy.embed(presets[:0]).shape == (0, 128) and proxy(torch.zeros(0, 100)).shape == (0, 128)
    assert np.array_equal(proxy.embed(presets[0]), proxy.embed(presets[:1])) and np.array_equal(proxy.embed(presets[:2])[1:], proxy.embed(presets[1:2]))


def test_it_is_evaluated_as_others_are(mn04_weights):
    report = evaluate_proxy(WindowProxy(learned(audio_model="mn04", dims=192)), get_dataset("dexed", "cpu", "handcrafted"), subsets=1).set_index(["metric", "direction", "group"])
    assert report.value["recall_1", "p2a", "all"] > .98 and report.value["mrr", "p2a", "all"] > .98


def test_what_cannot_be_is_said(presets):
    with pytest.raises(ValueError, match="mfcc40 hears whole clips and has no windows"):
        WindowProxy(learned(audio_model="mfcc40", dims=40))
    with pytest.raises(ValueError, match=r"windows \(5, 3\): expected increasing numbers from 0 to 100"):
        WindowProxy(learned(), (5, 3))
    wrong = presets[:1].copy()
    wrong[0, 7] = np.nan
    with pytest.raises(ValueError, match="NaN|nan"):
        WindowProxy(learned()).embed(wrong)
    with pytest.raises(ValueError, match="1.01"):
        WindowProxy(learned())(torch.from_numpy(presets[:1]) * 0 + 1.01)


def test_shares_sum_to_one():
    assert np.isclose(window_shares(LOOK).sum(), 1) and (window_shares(LOOK) > 0).all()
