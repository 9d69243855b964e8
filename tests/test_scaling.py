"""Learning curves: a run is measured once, and its numbers are kept."""
import numpy as np
import pandas as pd
import pytest
import torch

import synthproxy.scaling as scaling
from synthproxy.datasets import Recipe, generate
from synthproxy.results import read_table


@pytest.fixture
def small(monkeypatch, tmp_path, validation_set):
    sets = {split: generate(Recipe("dexed", "mel128", rows, seed), tmp_path / split) for split, rows, seed in (("train", 128, 1), ("handcrafted", 16, 3))}
    sets["validation"] = validation_set
    monkeypatch.setattr(scaling, "get_dataset", lambda synth, profile, split: sets[split])
    monkeypatch.setattr(scaling, "results_path", lambda: tmp_path / "scaling.csv")
    return tmp_path / "scaling.csv"


def test_a_run_is_measured_once(small):
    scaling.measure("dexed", "smoke", "mlp_oh", 128, seed=3)
    content, known = small.read_bytes(), scaling.read_results("dexed", "smoke")
    assert set(known.split) == {"validation", "handcrafted"} and set(known.metric) == {"mrr", "recall_10", "l1", "mrr_512"}
    assert (known.train_rows == 128).all() and (known.seed == 3).all() and known.value.between(0, 1).all()
    scaling.measure("dexed", "smoke", "mlp_oh", 128, seed=3)
    assert small.read_bytes() == content
    scaling.measure("dexed", "smoke", "mlp_oh", 128, seed=3, variant="other", average=.9, augment=True, loss="mse")
    scaling.measure_nearest("dexed", "smoke", 64)
    whole = read_table(small, scaling.COLUMNS)
    assert set(whole.variant) == {"standard", "other"} and set(whole.encoder) == {"mlp_oh", "nearest"}
    pd.testing.assert_frame_equal(whole[(whole.variant == "standard") & (whole.encoder == "mlp_oh")].reset_index(drop=True), known)
    torch.manual_seed(0)
    with pytest.raises(ValueError, match="unknown encoder"):
        scaling.measure("dexed", "smoke", "mlp", 128)


def test_which_rows_to_learn_from(small):
    for variant, rows in {"standard": None, "the first": np.arange(64), "every second": np.arange(0, 128, 2)}.items():
        scaling.measure("dexed", "smoke", "mlp_oh", 64, variant=variant, rows=rows)
    values = pd.read_csv(small).pivot(index=["split", "metric"], columns="variant", values="value")
    assert values.standard.equals(values["the first"]) and not np.allclose(values.standard, values["every second"])
