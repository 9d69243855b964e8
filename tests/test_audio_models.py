import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from synthproxy import audio_models
from synthproxy.audio_models import AudioModel, MobileNet, Weights, cut_windows, get_audio_model, log_mel, window_log_mel
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


def _by_torch(name: str) -> AudioModel: # the same model where numba is missing
    audio_models._loaded.cache_clear()
    try:
        with patch.object(audio_models, "HAVE_NUMBA", False):
            return get_audio_model(name)
    finally:
        audio_models._loaded.cache_clear()


@pytest.mark.parametrize("name", ["mn04", "mn04_mel", "mn04_random", "mel128", "mfcc40", "mel128_std"])
def test_compiled_models_are_those_of_torch(mn04_weights, name):
    compiled, plain = get_audio_model(name), _by_torch(name)
    assert compiled.compiled and compiled.describe() == plain.describe() | {"implementation": "compiled"}
    audio = DexedRenderer(32_000).render(sample(DexedRenderer().synth, 8, seed=4))
    audio[1, 50_000:], audio[2, :80_000], audio[3] = 0, 0, 0
    scale = np.abs(plain.embed(audio)).max()
    np.testing.assert_allclose(compiled.embed(audio), plain.embed(audio), atol=2e-5 * scale)
    for length in (2561, 2880, 7999, 40_123): # no whole hop, a few windows, lanes that are not full
        np.testing.assert_allclose(compiled.embed(audio[:, :length]), plain.embed(audio[:, :length]), atol=2e-5 * scale)
    long = audio.reshape(1, -1)[:, :300_000] # more windows than go through the network at once
    np.testing.assert_allclose(compiled.embed(long), plain.embed(long), atol=2e-5 * scale)
    if name in ("mn04_mel", "mel128"):
        np.testing.assert_allclose(compiled.embed_windows(audio, (0, 57, 3, 100)), plain.embed_windows(audio, (0, 57, 3, 100)), atol=2e-5 * scale)


def test_compiled_models_do_not_touch_the_threads_of_torch(mn04_weights):
    audio, models = np.random.default_rng(0).normal(0, .1, (1, 32_000)).astype(np.float32), [get_audio_model(name) for name in ("mn04", "mel128")]
    with patch("torch.set_num_threads", side_effect=AssertionError):
        for model in models:
            with ThreadPoolExecutor(4) as pool:
                made = list(pool.map(lambda _: model.embed(audio), range(8)))
            assert all(np.array_equal(m, made[0]) for m in made)


@pytest.mark.parametrize("fault", [{"return_value": np.zeros(192, np.float32)}, {"side_effect": RuntimeError("no such instruction")}])
def test_a_processor_on_which_compiled_code_fails_uses_torch(mn04_weights, caplog, fault):
    audio_models._loaded.cache_clear()
    with patch.object(audio_models, "compiled_embed_windows", **fault):
        model = get_audio_model("mn04")
    audio_models._loaded.cache_clear()
    assert not model.compiled and "torch is used" in caplog.text and "mn04" in caplog.text
    assert np.abs(model.embed(REFERENCE["audio"]) - REFERENCE["embedding"][:, 128:]).max() < 1e-4


def test_the_length_of_vectors_does_not_change_a_bit(tmp_path):
    code = ("import sys, numpy as np\n"
            "from synthproxy import audio_kernels\n"
            "from synthproxy.audio_kernels import *\n"
            "if sys.argv[1] == 'there':\n"
            "    audio_kernels.get_host_cpu_features = dict\n" # as where vectors are half as long
            "rng, y = np.random.default_rng(0), room(16 * stride(96))\n"
            "x, w = rng.normal(size=24 * stride(96)).astype(np.float32), rng.normal(size=16 * 25).astype(np.float32)\n"
            "pointwise(x, 24, stride(96), w, 0, 16, y, 0, stride(96), LINEAR, 96)\n"
            "print(y.reshape(16, -1)[:, :96].astype(float).sum(), y.tobytes().hex())")
    made = [subprocess.run([sys.executable, "-c", code, where], capture_output=True, text=True, check=True,
                           env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / where)}).stdout for where in ("here", "there")]
    assert made[0] == made[1] and abs(float(made[0].split()[0])) > 1


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
    audio_models._loaded.cache_clear()
    model = get_audio_model(name)
    assert model.embed(np.ones((1, 8000), np.float32)).shape == (1, dims) == (1, model.dims)
    assert "first use of" in caplog.text and model.weights_sha256 in caplog.text # shown ...
    recorded = json.loads((tmp_path / "cache" / "sha256.json").read_text())
    assert recorded == {file: model.weights_sha256} # ... and recorded
    torch.save(MobileNet(width).state_dict(), tmp_path / file) # another file under the same name
    audio_models._loaded.cache_clear()
    with pytest.raises(ValueError, match="the file is damaged or another one"):
        get_audio_model(name)
    audio_models._loaded.cache_clear()


def test_missing_and_damaged_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHPROXY_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("SYNTHPROXY_CACHE", str(tmp_path / "cache"))
    audio_models._loaded.cache_clear()
    with patch("pooch.retrieve", side_effect=OSError("no network")) as download:
        with pytest.raises(FileNotFoundError, match="Download it by hand and set SYNTHPROXY_WEIGHTS.*mel128, mfcc40"):
            get_audio_model("mn04")
    assert download.call_args.args[0].endswith("/v0.0.1/mn04_as_mAP_432.pt")
    assert download.call_args.kwargs["known_hash"] == Weights("x", audio_models.MOBILENETS["mn04"][1].sha256).sha256
    (tmp_path / "mn04_as_mAP_432.pt").write_bytes(b"not it")
    with pytest.raises(ValueError, match="sha256 .*expected 899a8c62"):
        get_audio_model("mn04")
    audio_models._loaded.cache_clear()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and then nothing", b"<html>not found</html>", b"error: not found", "another network", "a list"])
def test_a_file_that_is_no_weights_is_not_taken_for_the_right_one(tmp_path, monkeypatch, content):
    monkeypatch.setenv("SYNTHPROXY_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("SYNTHPROXY_CACHE", str(tmp_path / "cache"))
    path = tmp_path / audio_models.MOBILENETS["mn10"][1].file # whose release says no hash
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(MobileNet(.5).state_dict() if content == "another network" else [1, 2], path)
    audio_models._loaded.cache_clear()
    with pytest.raises(ValueError, match="mn10_as_mAP_471.pt: not the weights .*delete it"):
        get_audio_model("mn10")
    torch.save(MobileNet(1.0).state_dict(), path)
    assert get_audio_model("mn10").dims == 472 # nothing was recorded of the bad one
    (tmp_path / "cache" / "sha256.json").write_text("{")
    audio_models._loaded.cache_clear()
    with pytest.raises(ValueError, match="sha256.json: no readable JSON object .*delete it"):
        get_audio_model("mn10")
    audio_models._loaded.cache_clear()


def test_bad_audio_and_bad_names():
    with pytest.raises(ValueError, match="unknown audio model 'mell128'.*did you mean 'mel128'"):
        get_audio_model("mell128")
    with pytest.raises(ValueError, match="without NaN"):
        get_audio_model("mel128").embed(np.full((1, 9000), np.nan, np.float32))
    with pytest.raises(ValueError, match=r"expected \(B, T\)"):
        get_audio_model("mel128").embed(np.ones(9000, np.float32))
    with pytest.raises(ValueError, match="more than 2560 samples"):
        cut_windows(torch.ones(1, 2000))
    for name, shortest in (("mel128", 401), ("mn04_random", 2560)):
        with pytest.raises(ValueError, match=f"more than {shortest} samples"):
            get_audio_model(name).embed(np.ones((1, shortest), np.float32))


def test_baselines_are_what_they_say():
    from scipy.fft import dct

    audio = REFERENCE["audio"]
    mel = get_audio_model("mel128").embed(audio)
    np.testing.assert_allclose(mel, log_mel(torch.from_numpy(audio)).mean(1), atol=1e-5)
    np.testing.assert_allclose(get_audio_model("mfcc40").embed(audio), dct(mel, norm="ortho")[:, :40], atol=1e-4)


@pytest.mark.parametrize("name", ["mel128", "logspec", "mn04_random"])
def test_threads_that_embed_leave_torch_as_it_was(name):
    model, audio = get_audio_model(name), np.random.default_rng(0).normal(size=(1, 32_000)).astype(np.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: model.embed(audio), range(20)))
        assert torch.get_num_threads() == 2 and all(np.array_equal(m, made[0]) for m in made)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("name", "dims"), [("mel128_std", 256), ("logspec", 1795), ("mn04_random", 192)])
def test_models_for_comparison_need_no_weights_and_are_the_same_everywhere(name, dims, monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHPROXY_WEIGHTS", str(tmp_path))
    audio = np.random.default_rng(1).normal(0, .1, (2, 20_000)).astype(np.float32)
    audio_models._loaded.cache_clear()
    torch.manual_seed(4)
    first = get_audio_model(name).embed(audio)
    audio_models._loaded.cache_clear()
    torch.manual_seed(5)
    assert first.shape == (2, dims) and np.isfinite(first).all() and np.array_equal(first, get_audio_model(name).embed(audio))


def test_style_statistics(mn04_weights):
    model = get_audio_model("mn04_style")
    embedding = model.embed(np.random.default_rng(2).normal(0, .1, (1, 20_000)).astype(np.float32))
    assert embedding.shape == (1, model.dims) and (embedding >= 0).all() and model.weights_sha256


def test_one_model_for_one_device_whatever_it_is_called():
    assert get_audio_model("mfcc40") is get_audio_model(name="mfcc40", device="cpu") is get_audio_model("mfcc40", "cpu:0")
