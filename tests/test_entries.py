"""A thing is added by its entry alone, as CONTRIBUTING says: pipeline, training, evaluation, tables and figures take it from there."""
import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from synthproxy.audio_models import AUDIO_MODELS, AudioModel, AudioModelEntry, _loaded, get_audio_model
from synthproxy.datasets import Recipe, generate, get_dataset
from synthproxy.embeddings import embed_dataset, get_embedded
from synthproxy.evaluation import evaluate, evaluate_proxy, plot_mrr, results_table, save_report, shown_metrics, update_metrics, write_card
from synthproxy.metrics import EMBEDDING_METRICS, RANK_METRICS, Metric, recall
from synthproxy.notes import Note
from synthproxy.plugins import PLUGINS, RENDERERS, get_renderer
from synthproxy.preset_encoders import ENCODERS, PAPER_ENCODERS, Encoder, OneHot, Settings, Size, encoders_of
from synthproxy.project import PROFILES
from synthproxy.proxies import SynthProxy, checkpoint_folder
from synthproxy.synths import Synth, get_synth, sample, spec_file
from synthproxy.tables import main_table, read_results
from synthproxy.training import get_proxy, train_config

ROOT = Path(__file__).parent.parent


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> Iterator[Path]: # a project with nothing in it, whose smallest profile is smaller still
    monkeypatch.setenv("SYNTHPROXY_ROOT", str(tmp_path))
    monkeypatch.setitem(PROFILES, "smoke", replace(PROFILES["smoke"], train_rows=256, test_rows=64, epochs=(1,)))
    yield tmp_path
    RENDERERS.pop("beep", None), PLUGINS.pop("beep", None)


def planned(**given: str) -> list[str]: # names of the steps of `make reproduce`
    spec = importlib.util.spec_from_file_location("dodo", ROOT / "dodo.py")
    dodo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dodo)
    for name, value in given.items():
        setattr(dodo, name, value)
    return [step.name for step in dodo.steps()]


def linear(synth: Synth, dims: int, hidden: int) -> nn.Module:
    one_hot = OneHot(synth)
    return nn.Sequential(one_hot, nn.Linear(one_hot.features, hidden), nn.Tanh(), nn.Linear(hidden, dims))


def test_an_encoder_is_one_entry(scratch, monkeypatch):
    size = Size({"hidden": 8}, Settings(64, 1e-3, contrastive=0.1))
    monkeypatch.setitem(ENCODERS, "linear", Encoder(linear, size, size, bfloat16=False, fits=lambda synth: synth.name == "dexed", published=False))
    assert "linear" in encoders_of("dexed") and "linear" not in {*encoders_of("amsynth"), *PAPER_ENCODERS}
    assert "04_training_dexed_linear" in planned()
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


def _thirds(audio: np.ndarray) -> np.ndarray: # (B, T) -> (B, 3) how loud each third of the clip is
    return np.stack([20 * np.log10(np.sqrt((part ** 2).mean(1)) + 1e-4) for part in np.array_split(audio, 3, axis=1)], 1).astype(np.float32)


def load_thirds(name: str, device: str) -> AudioModel:
    return AudioModel(name, _thirds, dims=3, licence="none needed", device=device, sample_rate_hz=16_000)


def test_an_audio_model_is_one_entry(scratch, monkeypatch):
    "Proxies of it lie beside those of the profile's own model, from the same presets, and neither replaces the other."
    monkeypatch.setitem(AUDIO_MODELS, "thirds", AudioModelEntry(load_thirds))
    assert planned(AUDIO_MODEL="thirds")[:2] == ["03_datasets_dexed_thirds", "04_training_dexed_thirds_mlp_oh"]
    assert "06_tables" not in planned(AUDIO_MODEL="thirds") and planned(AUDIO_MODEL="mel128") == planned()
    proxies = [get_proxy("dexed", "smoke", "mlp_oh", "cpu", name) for name in ("", "thirds")]
    assert [proxy.config["audio_model"] for proxy in proxies] == ["mel128", "thirds"]
    assert proxies[1].embed(sample(get_synth("dexed"), 1)).shape == (1, 3)
    test, other = get_embedded("dexed", "smoke", "test"), get_embedded("dexed", "smoke", "test", "thirds")
    assert np.array_equal(test.presets, other.presets) and other.manifest["made_from"]["audio_model"]["sample_rate_hz"] == 16_000
    audio = get_renderer("dexed", 16_000).render(test.presets[:2], Note())
    np.testing.assert_array_equal(other.embeddings[:2], _thirds(audio))
    with pytest.raises(ValueError, match="thirds takes audio at 16,000 Hz, and here is audio at 32,000 Hz"):
        get_audio_model("thirds").takes(32_000)
    reports = [evaluate("dexed", "smoke", audio_model=name) for name in ("", "thirds")]
    for report in reports:
        update_metrics(report)
    assert read_results("smoke").audio_model.unique().tolist() == ["mel128"] # what the tables show
    saved = [path.name for report in reports for path in save_report(report)[:1]]
    assert saved == ["eval_dexed.json", "eval_dexed_thirds.json"]
    assert write_card("mlp_oh", reports[1]) == checkpoint_folder("dexed", "smoke", "mlp_oh", "thirds") / "README.md"
    monkeypatch.setitem(AUDIO_MODELS, "thirds", AudioModelEntry(lambda name, device: pytest.fail("loaded"))) # what is there opens without the model
    _loaded.cache_clear()
    assert get_embedded("dexed", "smoke", "test", "thirds").sha256 == embed_dataset(test, "thirds", "cuda").sha256 == other.sha256
    _loaded.cache_clear()


def test_a_metric_is_one_entry(monkeypatch):
    monkeypatch.setitem(RANK_METRICS, "recall_3", Metric(lambda ranks, candidates: recall(ranks, 3), {"p2a": "R@3"}))
    monkeypatch.setitem(EMBEDDING_METRICS, "worst", Metric(lambda predicted, audio: float(np.abs(predicted - audio).max())))
    found = evaluate_proxy(SynthProxy.from_pretrained("dexed/mlp_oh"), get_dataset("dexed", "cpu", "handcrafted"))
    rows = found[found.metric == "recall_3"]
    assert sorted(zip(rows.direction, rows.group)) == [("a2p", "all"), ("p2a", "all"), ("p2a", "dx7"), ("p2a", "fb01"), ("p2a", "tx7")]
    worst, l1 = (found[found.metric == name].value.item() for name in ("worst", "l1"))
    assert found[found.metric == "worst"].direction.tolist() == ["both"] and worst > l1
    assert shown_metrics()["recall_3", "p2a"] == "R@3" and ("worst", "both") not in shown_metrics()


def test_a_synth_is_its_table_and_what_plays_it(scratch, monkeypatch):
    "Here a Faust program beside the table."
    (scratch / "beep.dsp").write_text('''import("stdfaust.lib");
freq = hslider("freq", 262, 20, 20000, 0.01); gain = hslider("gain", 0.5, 0, 1, 0.01); gate = button("gate");
level = en.adsr(0.01, hslider("decay", 0.5, 0.01, 2, 0.001), 0.5, 0.3, gate);
process = os.osc(freq * (1 + hslider("octave", 0, 0, 1, 0.001))) * level * gain;''')
    columns = spec_file("faust_poly").read_text().splitlines()[0].split(",")
    given = {"type": "num", "default": "0.5", "low": "0", "high": "1", "used": "1"}
    lines = [",".join(({name: "" for name in columns} | given | {"name": name, "address": name}).values()) for name in ("decay", "octave")]
    (scratch / "beep.csv").write_text("\n".join([",".join(columns), *lines]) + "\n")
    monkeypatch.setenv("SYNTHPROXY_SPECS", str(scratch))
    assert get_renderer("beep", 32_000).synth.names == ("decay", "octave") # found as another process would find it at its start
    assert planned(SYNTH="beep")[:2] == ["03_datasets_beep", "04_training_beep_mlp_oh"]
    made = generate(Recipe("beep", "mel128", rows=4, seed=1), scratch / "few") # nbs/91_add_a_synth.ipynb goes on to a proxy
    assert made.presets.shape == (4, 2) and made.manifest["made_from"]["table_sha256"] == get_synth("beep").table_hash
    (scratch / "beep.csv").write_text((scratch / "beep.csv").read_text().replace(",0,1,", ",0.25,1,")) # edited while a notebook runs
    assert get_renderer("beep", 32_000).synth.table_hash == get_synth("beep").table_hash != made.manifest["made_from"]["table_sha256"]
    with pytest.raises(ValueError, match="few holds another dataset"):
        generate(Recipe("beep", "mel128", rows=4, seed=1), scratch / "few")
    assert encoders_of("beep") == PAPER_ENCODERS # its table says neither modules nor roles


class Tone:
    "A renderer of one's own, with what the protocol asks for and nothing else."
    deterministic = True

    def __init__(self, sample_rate_hz: int):
        self.synth, self.sample_rate_hz = get_synth("faust_poly"), sample_rate_hz

    def render(self, presets: np.ndarray, note: Note) -> np.ndarray: # (B, T)
        times = np.arange(round(note.duration_s * self.sample_rate_hz)) / self.sample_rate_hz
        return (0.1 * np.sin(2 * np.pi * (100 + 400 * presets[:, -1:]) * times)).astype(np.float32)

    def rms_bound(self, presets: np.ndarray, note: Note, above: float = 0.0) -> np.ndarray: # (B,)
        return np.full(len(presets), np.inf)

    def describe(self) -> dict:
        return {"engine": "tone", "sample_rate_hz": self.sample_rate_hz}


def test_a_renderer_is_the_protocol_and_its_place_in_the_registry(tmp_path, monkeypatch):
    monkeypatch.setitem(RENDERERS, "faust_poly", Tone)
    made = generate(Recipe("faust_poly", "mel128", rows=4, seed=1), tmp_path)
    assert made.manifest["made_from"]["renderer"] == {"engine": "tone", "sample_rate_hz": 32_000}
    np.testing.assert_allclose(made.read("rms"), 0.1 / 2**0.5, rtol=1e-3)
    assert embed_dataset(made, "mfcc40").embeddings.shape == (4, 40)
