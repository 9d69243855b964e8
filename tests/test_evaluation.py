import json

import numpy as np
import pandas as pd
import pytest

from synthproxy import evaluation
from synthproxy.datasets import get_dataset
from synthproxy.evaluation import COLUMNS, KEY, evaluate, evaluate_proxy, pick, results_table, save_report, trained_encoders, update_metrics
from synthproxy.metrics import EMBEDDING_METRICS, RANK_METRICS, l1_distances, mrr, own_ranks
from synthproxy.proxies import SynthProxy, checkpoint_folder


@pytest.fixture(scope="module")
def report() -> pd.DataFrame:
    return evaluate("dexed", "cpu", ["mlp_oh"])


def value(report, split, metric, direction="p2a"):
    return pick(report, split, metric, direction).value.item()


def test_the_report_is_tidy_and_complete(report):
    assert list(report.columns) == COLUMNS and not report.duplicated(KEY).any()
    assert set(report.split) == {"validation", "synthetic", "handcrafted"}
    expected = {(name, direction) for name in RANK_METRICS for direction in ("p2a", "a2p")} | {(name, "both") for name in EMBEDDING_METRICS}
    expected |= {("mrr_standardised", "p2a"), ("recall_10_standardised", "p2a"), *((name, "both") for name in ("permutation_p", "permutation_mrr", "permutation_chance", "chance_mrr"))}
    for split in ("synthetic", "handcrafted"):
        part = report[(report.split == split) & (report.group == "all")]
        assert set(zip(part.metric, part.direction)) == expected
    groups = report[report.group != "all"]
    assert set(zip(groups.split, groups.metric, groups.direction, groups.group)) == {("handcrafted", name, "p2a", g) for name in RANK_METRICS for g in ("dx7", "fb01", "tx7")}
    assert set(report[report.split == "validation"].direction) == {"a2p", "both"}
    assert (report[report.split == "synthetic"].gallery == 4096).all()


def test_handcrafted_numbers_by_hand(report):
    dataset, proxy = get_dataset("dexed", "cpu", "handcrafted"), SynthProxy.from_pretrained(checkpoint_folder("dexed", "cpu", "mlp_oh"))
    predicted = proxy.embed(dataset.presets)
    distances = l1_distances(predicted, dataset.embeddings)
    assert value(report, "handcrafted", "mrr") == pytest.approx(mrr(own_ranks(distances)), abs=1e-6)
    assert value(report, "handcrafted", "mrr", "a2p") == pytest.approx(mrr(own_ranks(distances.T)), abs=1e-6)
    assert value(report, "handcrafted", "l1", "both") == pytest.approx(np.abs(predicted - dataset.embeddings).mean(), abs=1e-5)


def test_results_file_keeps_other_rows_and_unchanged_commits(report, tmp_path):
    path = tmp_path / "results" / "metrics.csv"
    update_metrics(report.assign(commit="first"), path)
    update_metrics(report.assign(synth="another", commit="second"), path)
    changed = report.assign(commit="third")
    changed.loc[0, "value"] += .1
    update_metrics(changed, path)
    kept = pd.read_csv(path)
    assert list(kept.columns) == COLUMNS and len(kept) == 2 * len(report)
    assert (kept.commit == "third").sum() == 1 and (kept.commit == "second").sum() == len(report)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"<<<<<<< HEAD\nprofile,synth\n", b"profile,synth,value\ncpu,dexed,1\n"])
def test_a_damaged_results_file_is_named_and_stays(report, tmp_path, content):
    (path := tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(ValueError, match="metrics.csv: no (readable table|column) .*git checkout"):
        update_metrics(report, path)
    assert path.read_bytes() == content and not list(tmp_path.glob("*.tmp"))


def test_reports_rerun_to_the_same_bytes(report, tmp_path):
    first = {path: path.read_bytes() for path in save_report(report, tmp_path)}
    assert {path.suffix for path in first} == {".json", ".md", ".tex"}
    assert {path: path.read_bytes() for path in save_report(evaluate("dexed", "cpu", ["mlp_oh"]), tmp_path)} == first
    (tmp_path / "eval_dexed.json").write_text("{")
    save_report(report, tmp_path)
    saved = json.loads((tmp_path / "eval_dexed.json").read_text())
    assert saved["provenance"]["hardware"] and len(saved["rows"]) == len(report)
    assert "toprule" in (tmp_path / "eval_dexed.tex").read_text()


def test_table_shows_the_numbers(report):
    table = results_table(report, "synthetic")
    assert table.loc["mlp_oh", "R@10"] == f"{value(report, 'synthetic', 'recall_10'):.4f}"
    assert " ± " in table.loc["mlp_oh", "MRR"]


def test_embeddings_of_another_model_are_refused(tmp_path):
    from synthproxy.datasets import Recipe, generate

    other = generate(Recipe("dexed", "mel128", 8, 0), tmp_path)
    with pytest.raises(ValueError, match="the proxy predicts mn04, the dataset holds embeddings of mel128"):
        evaluate_proxy(SynthProxy.from_pretrained(checkpoint_folder("dexed", "cpu", "mlp_oh")), other)


def test_nothing_trained_says_what_to_run():
    with pytest.raises(FileNotFoundError, match="run `make reproduce SYNTH=dexed PROFILE=paper` first"):
        trained_encoders("dexed", "paper")


def test_families_of_any_name(report, tmp_path):
    "A family called all is not everything, and one called none is not nothing."
    rows = evaluation._by_group(np.eye(6)[::-1], ["all_a.syx:0", "all.syx:1", "none.syx:0", "nan.syx:0", "_x.syx:0", "dx7_b.syx:3"])
    names = {group for *_, group in rows}
    assert "all" not in names and {"all_", "none", "nan", "dx7"} < names
    odd = pd.concat([report[(report.group == "dx7")].assign(group=name) for name in names])
    for _ in range(2):
        update_metrics(pd.concat([report, odd]), tmp_path / "metrics.csv")
    kept = pd.read_csv(tmp_path / "metrics.csv", keep_default_na=False)
    assert names < set(kept.group) and not kept.duplicated(KEY).any()
