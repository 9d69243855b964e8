import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from synthproxy import audio_models
from synthproxy.audio_models import MobileNet, Weights, cut_windows, get_audio_model, log_mel, window_log_mel
from synthproxy.rendering import DexedRenderer
from synthproxy.synths import sample

REFERENCE = np.load(Path(__file__).parent / "fixtures" / "mn04_reference.npz") # numbers of the official implementation


def test_mn04_mel_is_the_official_model(mn04_weights):
    difference = np.abs(get_audio_model("mn04_mel").embed(REFERENCE["audio"]) - REFERENCE["embedding"]).max()
    assert difference < 1e-4
    assert np.array_equal(get_audio_model("mn04").embed(REFERENCE["audio"]), get_audio_model("mn04_mel").embed(REFERENCE["audio"])[:, 128:])


def test_mel_averages_are_official_without_weights():
    mel = window_log_mel(cut_windows(torch.from_numpy(REFERENCE["audio"])))
    assert np.abs(mel.mean((1, 2)).numpy() - REFERENCE["embedding"][:, :128]).max() < 1e-4


def test_embedding_does_not_depend_on_the_batch(mn04_weights):
    audio = DexedRenderer().render(sample(DexedRenderer().synth, 6, seed=1))
    audio[2, 50_000:] = 0 # silent windows, embedded once
    audio[3] = 0
    for name in ("mn04", "mel128", "mfcc40"):
        model = get_audio_model(name)
        together = model.embed(audio)
        assert np.array_equal(np.concatenate([model.embed(a[None]) for a in audio]), together)
        assert np.isfinite(together).all() and together.shape == (6, model.dims)


def test_silent_windows_once_is_the_same_as_every_window(mn04_weights):
    audio = np.zeros((1, 160_000), np.float32)
    audio[0, 30_000:60_000] = DexedRenderer().render(sample(DexedRenderer().synth, 1, seed=2))[0, :30_000]
    network = MobileNet(.4)
    network.load_state_dict(torch.load(audio_models.MOBILENETS["mn04"][1].path(), weights_only=True), strict=False)
    with torch.inference_mode():
        plain = network.eval()(window_log_mel(cut_windows(torch.from_numpy(audio)))[0].mT[:, None]).mean(0)
    np.testing.assert_allclose(get_audio_model("mn04").embed(audio)[0], plain, atol=2e-5)


@pytest.mark.parametrize(("name", "width", "dims"), [("mn05", .5, 240), ("mn10", 1.0, 472), ("mn20", 2.0, 944), ("mn20_mel", 2.0, 1072)])
def test_wider_models_from_a_users_file(tmp_path, monkeypatch, name, width, dims, caplog):
    file = audio_models.MOBILENETS[name.removesuffix("_mel")][1].file
    torch.save(MobileNet(width).state_dict(), tmp_path / file)
    monkeypatch.setenv("SYNTHPROXY_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("SYNTHPROXY_CACHE", str(tmp_path / "cache"))
    get_audio_model.cache_clear()
    model = get_audio_model(name)
    assert model.embed(np.ones((1, 8000), np.float32)).shape == (1, dims) == (1, model.dims)
    assert "first use of" in caplog.text and model.weights_sha256 in caplog.text # shown ...
    recorded = json.loads((tmp_path / "cache" / "sha256.json").read_text())
    assert recorded == {file: model.weights_sha256} # ... and recorded
    torch.save(MobileNet(width).state_dict(), tmp_path / file) # another file under the same name
    get_audio_model.cache_clear()
    with pytest.raises(ValueError, match="the file is damaged or another one"):
        get_audio_model(name)
    get_audio_model.cache_clear()


def test_missing_and_damaged_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHPROXY_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("SYNTHPROXY_CACHE", str(tmp_path / "cache"))
    get_audio_model.cache_clear()
    with patch("pooch.retrieve", side_effect=OSError("no network")) as download:
        with pytest.raises(FileNotFoundError, match="Download it by hand and set SYNTHPROXY_WEIGHTS.*mel128, mfcc40"):
            get_audio_model("mn04")
    assert download.call_args.args[0].endswith("/v0.0.1/mn04_as_mAP_432.pt")
    assert download.call_args.kwargs["known_hash"] == Weights("x", audio_models.MOBILENETS["mn04"][1].sha256).sha256
    (tmp_path / "mn04_as_mAP_432.pt").write_bytes(b"not it")
    with pytest.raises(ValueError, match="sha256 .*expected 899a8c62"):
        get_audio_model("mn04")
    get_audio_model.cache_clear()


def test_bad_audio_and_bad_names():
    with pytest.raises(ValueError, match="unknown audio model 'mell128'.*did you mean 'mel128'"):
        get_audio_model("mell128")
    with pytest.raises(ValueError, match="without NaN"):
        get_audio_model("mel128").embed(np.full((1, 9000), np.nan, np.float32))
    with pytest.raises(ValueError, match=r"expected \(B, T\)"):
        get_audio_model("mel128").embed(np.ones(9000, np.float32))
    with pytest.raises(ValueError, match="more than 2560 samples"):
        cut_windows(torch.ones(1, 2000))


def test_baselines_are_what_they_say():
    from scipy.fft import dct

    audio = REFERENCE["audio"]
    mel = get_audio_model("mel128").embed(audio)
    np.testing.assert_allclose(mel, log_mel(torch.from_numpy(audio)).mean(1), atol=1e-5)
    np.testing.assert_allclose(get_audio_model("mfcc40").embed(audio), dct(mel, norm="ortho")[:, :40], atol=1e-4)


def test_threads_that_embed_leave_torch_as_it_was():
    model, audio = get_audio_model("mel128"), np.random.default_rng(0).normal(size=(1, 32_000)).astype(np.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: model.embed(audio), range(40)))
        assert torch.get_num_threads() == 2 and all(np.array_equal(m, made[0]) for m in made)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("name", "dims"), [("mel128_std", 256), ("logspec", 1795), ("mn04_random", 192)])
def test_models_for_comparison_need_no_weights_and_are_the_same_everywhere(name, dims, monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHPROXY_WEIGHTS", str(tmp_path))
    audio = np.random.default_rng(1).normal(0, .1, (2, 20_000)).astype(np.float32)
    get_audio_model.cache_clear()
    first = get_audio_model(name).embed(audio)
    get_audio_model.cache_clear()
    torch.manual_seed(5)
    assert first.shape == (2, dims) and np.isfinite(first).all() and np.array_equal(first, get_audio_model(name).embed(audio))


def test_style_statistics(mn04_weights):
    model = get_audio_model("mn04_style")
    embedding = model.embed(np.random.default_rng(2).normal(0, .1, (1, 20_000)).astype(np.float32))
    assert embedding.shape == (1, model.dims) and (embedding >= 0).all() and model.weights_sha256
