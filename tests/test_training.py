import json
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from synthproxy.datasets import Recipe, generate
from synthproxy.preset_encoders import ENCODERS, build_encoder, count_weights
from synthproxy.synths import get_synth, sample
from synthproxy.windows import listen
from synthproxy.proxies import SynthProxy
from synthproxy.training import STATE, TrainConfig, pick_device, rate_at, train, train_config

PAPER_COUNTS = { # paper, 192 outputs; None: see nbs/02_preset_encoders.ipynb
    "dexed": [4_884_672, 6_167_232, 6_014_464, 7_073_856, 4_824_768],
    "talnm": [4_806_848, 6_138_048, 4_668_544, 7_059_264, None],
    "diva": [5_439_680, 6_375_360, 8_423_872, 7_177_920, 4_894_144],
}
DIVA_CATEGORIES = 290 - 274 # that the paper's counts imply, less those in its table
CONFIG = TrainConfig("hn_oh", "small", batch_size=32, learning_rate=2e-3, epochs=(1, 2), warmup_steps=4)


@pytest.mark.parametrize("synth", PAPER_COUNTS)
def test_weight_counts_are_the_papers(synth):
    widths = [2048, 768, 64, 384, 256] # weights that a category costs in each encoder
    for encoder, paper, width in zip(ENCODERS, PAPER_COUNTS[synth], widths):
        expected = paper - DIVA_CATEGORIES * width * (synth == "diva") if paper else 4_824_768 - 38 * 256
        assert count_weights(build_encoder(encoder, synth, 192)) == expected, encoder


@pytest.fixture(scope="module")
def sets(tmp_path_factory, validation_set):
    return generate(Recipe("dexed", "mel128", 256, 500), tmp_path_factory.mktemp("train")), validation_set


@pytest.fixture(scope="module")
def through(sets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "through"
    train(CONFIG, *sets, folder, "cpu")
    return folder


def test_a_killed_training_is_resumed_with_the_same_weights(sets, through, tmp_path):
    code = (f"from synthproxy.training import *; from synthproxy.datasets import Dataset; import time, synthproxy.training as t\n"
            f"save = t._save_state\n"
            f"t._save_state = lambda *a: (save(*a), time.sleep(60))\n" # wait after the first epoch, to be killed there
            f"train({CONFIG!r}, Dataset({str(sets[0].folder)!r}), Dataset({str(sets[1].folder)!r}), {str(tmp_path)!r}, 'cpu')")
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    while not (tmp_path / STATE).exists() and process.poll() is None:
        time.sleep(.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    resumed = train(CONFIG, *sets, tmp_path, "cpu")
    for name in (STATE, "model.safetensors"):
        a, b = load_file(through / name), load_file(tmp_path / name)
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert resumed.config["history"] == SynthProxy.from_pretrained(through).config["history"]


def test_another_run_in_the_same_folder_is_refused(sets, through):
    with pytest.raises(ValueError, match="holds a run with other settings"):
        train(replace(CONFIG, seed=1), *sets, through, "cpu")
    with pytest.raises(ValueError, match="holds a run with other data"):
        train(CONFIG, sets[1], sets[1], through, "cpu")


@pytest.mark.parametrize("damage", ["cut", "empty", "no json", "other weights", "no moments", "a list"])
def test_a_damaged_state_is_named_and_not_begun_anew(sets, through, tmp_path, damage):
    state, whole = tmp_path / STATE, (through / STATE).read_bytes()
    tensors, about = load_file(through / STATE), json.dumps(json.loads(safe_open(through / STATE, "pt").metadata()["about"]))
    if damage in ("cut", "empty"):
        state.write_bytes(whole[:len(whole) // 2] if damage == "cut" else b"")
    else:
        given = {"other weights": {k: v[:1] if v.ndim else v for k, v in tensors.items()}, "no moments": {k: v for k, v in tensors.items() if k.startswith("model.")}}
        save_file(given.get(damage, tensors), state, metadata={"about": {"no json": "{", "a list": "[1]"}.get(damage, about)})
    before = state.read_bytes()
    with pytest.raises(ValueError, match=f"{STATE}: no readable state of a run .*; delete it, and training begins anew"):
        train(CONFIG, *sets, tmp_path, "cpu")
    assert state.read_bytes() == before


def test_the_best_epoch_is_kept(through):
    card = json.loads((through / "config.json").read_text())
    best = max(card["history"], key=lambda entry: entry["mrr_512"])
    assert card["best_epoch"] == best["epoch"] and card["validation"]["mrr_512"] == best["mrr_512"]


def test_loss_falls(through):
    history = json.loads((through / "config.json").read_text())["history"]
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_round_trip_and_batches(through, tmp_path):
    proxy, presets = SynthProxy.from_pretrained(through), sample(get_synth("dexed"), 10)
    proxy.save_pretrained(tmp_path)
    again = SynthProxy.from_pretrained(tmp_path)
    assert np.array_equal(again.embed(presets), proxy.embed(presets)) and again.config == proxy.config
    np.testing.assert_allclose(proxy.embed(presets, batch=3), proxy.embed(presets), atol=1e-5)
    assert proxy.embed(presets[0]).shape == (1, 128)
    knobs = torch.from_numpy(presets).requires_grad_()
    proxy(knobs).sum().backward()
    assert knobs.grad.abs().sum() > 0


def test_bad_checkpoints(through, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint in .*config.json is missing"):
        SynthProxy.from_pretrained(tmp_path)
    SynthProxy.from_pretrained(through).save_pretrained(tmp_path)
    save_file({"other": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="not the weights of a hn_oh"):
        SynthProxy.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(ValueError, match="not the weights of a hn_oh"):
        SynthProxy.from_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"table_sha256": "0"}))
    with pytest.raises(ValueError, match="trained for another parameter table"):
        SynthProxy.from_pretrained(tmp_path)


def test_bad_presets_are_named(through):
    proxy = SynthProxy.from_pretrained(through)
    wrong = sample(get_synth("dexed"), 1)
    wrong[0, 1] = 1.5
    with pytest.raises(ValueError, match=r"parameter 'feedback' is 1.5, expected a number in \[0, 1\]; the nearest is 1"):
        proxy.embed(wrong)


def test_schedule_is_the_papers():
    config, steps = train_config("hn_ptgru", "paper"), 20_000
    assert (config.batch_size, config.learning_rate, config.epochs, config.warmup_steps) == (512, 1.5e-3, (10, 20), 7500)
    assert rate_at(7499, config, steps) == pytest.approx(1.5e-3)
    assert rate_at(10 * steps - 1, config, steps) == pytest.approx(2e-6, rel=.01)
    assert rate_at(10 * steps, config, steps) == pytest.approx(1.5e-3) # the restart
    assert rate_at(30 * steps - 1, config, steps) == pytest.approx(2e-6, rel=.01)
    assert rate_at(3749, config, steps) == pytest.approx(.75e-3)


def test_names_are_checked():
    with pytest.raises(ValueError, match="unknown encoder 'mlp'.*did you mean 'mlp_oh'"):
        train_config("mlp", "smoke")
    with pytest.raises(ValueError, match="unknown profile 'cpuu'.*did you mean 'cpu'"):
        train_config("mlp_oh", "cpuu")
    with pytest.raises(ValueError, match="unknown device 'gpu'"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no GPU here"):
            pick_device("cuda")


@pytest.mark.parametrize(("field", "value", "message"), [
    ("dims", 10**12, "field dims is 1000000000000, expected int from 1 to 16,384"), ("dims", "192", "field dims is '192', expected int"),
    ("encoder", "opgraf", "did you mean 'opgraph'"), ("encoder", ["opgraph"], "field encoder is"), ("synth", "../../etc", "unknown synth"),
    ("table_sha256", None, "field table_sha256 is None"), ("encoder_size", "huge", "unknown encoder_size")])
def test_a_card_that_cannot_be_is_one_error(through, tmp_path, field, value, message):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((through / name).read_bytes())
    card = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(card | {field: value}))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        SynthProxy.from_pretrained(tmp_path)
    assert "config.json" in str(caught.value) and "again" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"a":' * 5_000 + "1" + "}" * 5_000, "\x00\xff"])
def test_a_card_that_is_no_json_is_one_error(through, tmp_path, text):
    (tmp_path / "model.safetensors").write_bytes((through / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="config.json: no readable JSON object"):
        SynthProxy.from_pretrained(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, (10**15).to_bytes(8, "little") + b"{}"])
def test_damaged_weights_are_one_error(through, tmp_path, content):
    (tmp_path / "config.json").write_bytes((through / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="not the weights of a hn_oh"):
        SynthProxy.from_pretrained(tmp_path)


@pytest.mark.parametrize("column", ["module", "role"])
def test_a_checkpoint_is_refused_where_the_structure_differs(through, tmp_path, column):
    "Editing a module or a role changes what a checkpoint computes, though not what the synth plays."
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((through / name).read_bytes())
    synth = get_synth("dexed")
    edited = replace(synth, parameters=(replace(synth.parameters[4], **{column: "other"}), *synth.parameters[:4], *synth.parameters[5:]))
    assert replace(synth).table_hash == synth.table_hash and edited.structure_hash != synth.structure_hash
    card = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(card | {"structure_sha256": edited.structure_hash}))
    with pytest.raises(ValueError, match="a column 'module' or 'role' differs"):
        SynthProxy.from_pretrained(tmp_path)


def test_single_windows_are_learned_too(sets, tmp_path):
    "An encoder that listens, told of windows: resumed with the same windows only."
    train_set, validation = sets
    config = TrainConfig("opsnap", "small", batch_size=32, learning_rate=1e-3, epochs=(1,), warmup_steps=1, windows=3.0)
    windows = listen(train_set, build_encoder("opsnap", "dexed", 1, "small").windows, tmp_path / "windows", 32)
    told = train(config, train_set, validation, tmp_path / "told", "cpu", windows)
    plain = train(replace(config, windows=0.0), train_set, validation, tmp_path / "plain", "cpu")
    assert told.config["data"]["windows_sha256"] and "windows_sha256" not in plain.config["data"]
    presets = sample(get_synth("dexed"), 3)
    assert not np.allclose(told.embed(presets), plain.embed(presets))
    with pytest.raises(ValueError, match="other data"):
        train(config, train_set, validation, tmp_path / "told", "cpu")


def test_rows_that_do_not_fill_a_batch(sets, tmp_path):
    for config in (replace(CONFIG, batch_size=512), replace(CONFIG, rows=31)):
        with pytest.raises(ValueError, match="rows to learn from do not fill a batch of"):
            train(config, *sets, tmp_path / "few", "cpu")
    assert not (tmp_path / "few").exists()


def test_what_ships_is_not_trained_over(sets, tmp_path):
    shutil.copytree(Path(__file__).parent.parent / "data" / "dexed" / "cpu" / "checkpoints" / "mlp_oh", tmp_path / "mlp_oh")
    before = {path.name: path.read_bytes() for path in (tmp_path / "mlp_oh").iterdir()}
    with pytest.raises(ValueError, match="mlp_oh holds a checkpoint that is finished"):
        train(CONFIG, *sets, tmp_path / "mlp_oh", "cpu")
    assert {path.name: path.read_bytes() for path in (tmp_path / "mlp_oh").iterdir()} == before
