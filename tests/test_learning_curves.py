"""Learning curves: what is kept, what is made again, and what cannot be."""
import pandas as pd
import pytest

import synthproxy.hpo as hpo
import synthproxy.learning_curves as curves
from synthproxy.datasets import Recipe, generate


@pytest.fixture(scope="module")
def train_set(tmp_path_factory):
    return generate(Recipe("dexed", "mel128", 1_024, 500), tmp_path_factory.mktemp("train"))


@pytest.fixture
def config(train_set, validation_set, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sets = {"train": train_set, "validation": validation_set}
    monkeypatch.setattr(hpo, "get_dataset", lambda synth, profile, split: sets[split])
    return hpo.study_config("dexed", "smoke", "hn_oh", "network", rows=512, epochs=2)


def test_a_run_that_is_kept_is_not_made_again(config, tmp_path, monkeypatch):
    path = tmp_path / "learning_curves.csv"
    asked = ["nothing", "rows x 2 + epochs x 0.5", "epochs x 2 + learning_rate x 0.5"]
    curves.keep_curves(config, asked[:2], path, device="cpu")
    before = path.read_bytes()
    monkeypatch.setattr(curves, "learning_curve", lambda config, change, device: measured.append(change) or pd.read_csv(path).assign(change=change)[:1])
    measured = []
    curves.keep_curves(config, asked[:2], path, device="cpu")
    assert not measured and path.read_bytes() == before
    curves.keep_curves(config, asked, path, device="cpu")
    assert measured == asked[2:] # one that was cut, or is new
    table = curves.read_curves(config, path)
    ends = curves.last_epochs(table).set_index("change")
    assert ends.steps[asked[0]] == ends.steps[asked[1]] == 32 and set(ends.rows) == {512} # as many steps, on twice the rows
    assert len(curves.plot_curves(table).axes) == 1
    assert curves.read_curves(hpo.replace(config, encoder="mlp_oh"), path).empty


def test_a_curve_is_that_of_a_study(config):
    "The same settings, the same numbers."
    unseen = curves.learning_curve(config, "nothing", "cpu").unseen
    study = list(hpo.validation_curve(hpo.settings_in_use(config), config, hpo.load_data(config, curves.pick_device("cpu"))))
    assert unseen.tolist() == pytest.approx(study, abs=1e-6)


def test_a_change_that_cannot_be_is_named_before_anything_is_trained(config, tmp_path):
    for change, why in (("dropout 0.1", "unknown setting 'dropout'"), ("hidden x two", "hidden is .* now"), ("standardise maybe", "expected 'setting value'"),
                        ("rows x 4", "has 1,024 rows, the study wants 2,048")):
        with pytest.raises(ValueError, match=why):
            curves.keep_curves(config, [change], tmp_path / "learning_curves.csv", device="cpu")
    assert not (tmp_path / "learning_curves.csv").exists()
