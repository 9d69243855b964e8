"""A thing is added by its entry alone, as CONTRIBUTING says: pipeline, training, evaluation, tables and figures take it from there."""
import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from synthproxy.evaluation import evaluate, plot_mrr, results_table, save_report, update_metrics, write_card
from synthproxy.preset_encoders import ENCODERS, PAPER_ENCODERS, Encoder, OneHot, Settings, Size, encoders_of
from synthproxy.project import PROFILES
from synthproxy.proxies import SynthProxy
from synthproxy.synths import Synth
from synthproxy.tables import main_table, read_results
from synthproxy.training import get_proxy, train_config

ROOT = Path(__file__).parent.parent


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> Path: # a project with nothing in it, whose smallest profile is smaller still
    monkeypatch.setenv("SYNTHPROXY_ROOT", str(tmp_path))
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], train_rows=256, test_rows=64, epochs=(1,)))
    return tmp_path


def planned(monkeypatch) -> list[str]: # names of the steps of `make reproduce`
    spec = importlib.util.spec_from_file_location("dodo", ROOT / "dodo.py")
    dodo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dodo)
    return [step.name for step in dodo.steps()]


def linear(synth: Synth, dims: int, hidden: int) -> nn.Module:
    one_hot = OneHot(synth)
    return nn.Sequential(one_hot, nn.Linear(one_hot.features, hidden), nn.Tanh(), nn.Linear(hidden, dims))


def test_an_encoder_is_one_entry(scratch, monkeypatch):
    size = Size({"hidden": 8}, Settings(64, 1e-3, contrastive=0.1))
    monkeypatch.setitem(ENCODERS, "linear", Encoder(linear, size, size, bfloat16=False, fits=lambda synth: synth.name == "dexed", published=False))
    assert "linear" in encoders_of("dexed") and "linear" not in {*encoders_of("amsynth"), *PAPER_ENCODERS}
    assert "04_training_dexed_linear" in planned(monkeypatch)
    config = train_config("linear", "smoke")
    assert (config.batch_size, config.contrastive, config.bfloat16) == (32, 0.1, False) # of 256 rows
    get_proxy("dexed", "smoke", "linear", "cpu")
    report = evaluate("dexed", "smoke")
    update_metrics(report)
    assert list(results_table(report, "synthetic").index) == ["linear"]
    assert [text.get_text() for text in plot_mrr(report, "synthetic").get_xticklabels()] == ["linear"]
    assert main_table(read_results("smoke"), "synthetic").encoder.tolist() == ["linear"]
    assert "linear" in save_report(report)[1].read_text() and write_card("linear", report).is_file()
    presets = torch.zeros(2, 100, requires_grad=True)
    SynthProxy.from_pretrained(scratch / "data" / "dexed" / "smoke" / "checkpoints" / "linear")(presets).sum().backward()
    assert presets.grad.abs().sum() > 0
