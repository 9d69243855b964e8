"""Learning curves: what is kept, what is made again, and what cannot be."""
import pytest

import synthproxy.hpo as hpo
import synthproxy.learning_curves as curves
from synthproxy.datasets import Recipe, generate
from synthproxy.metrics import mrr_512
from synthproxy.results import read_table


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
    monkeypatch.setattr(curves, "learning_curve", lambda config, change, device: measured.append(change) or read_table(path, ["commit"]).assign(change=change)[:1])
    measured = []
    curves.keep_curves(config, asked[:2], path, device="cpu")
    assert not measured and path.read_bytes() == before
    curves.keep_curves(config, [*asked, asked[2]], path, device="cpu")
    assert measured == asked[2:] # what is new, once
    table = curves.read_curves(config, path)
    ends = curves.last_epochs(table).set_index("change")
    assert ends.steps[asked[0]] == ends.steps[asked[1]] == 32 and set(ends.rows) == {512} # as many steps, on twice the rows
    assert len(curves.plot_curves(table).axes) == 2 # seen and unseen
    assert curves.read_curves(hpo.replace(config, encoder="mlp_oh"), path).empty
    monkeypatch.setattr(curves, "settings_in_use", lambda config: in_use(config) | {"learning_rate": 1.0}) # changes of other settings are other runs
    in_use = hpo.settings_in_use
    assert curves.read_curves(config, path).empty


def test_a_curve_is_that_of_a_study(config, train_set):
    "The same settings, the same numbers; and what was seen is found more often."
    curve, data = curves.learning_curve(config, "nothing", "cpu"), hpo.load_data(config, curves.pick_device("cpu"))
    for epoch, proxy in enumerate(hpo.trained(hpo.settings_in_use(config), config, data)):
        assert curve.unseen[epoch] == pytest.approx(hpo.validation_mrr(proxy, data), abs=1e-6)
        assert curve.seen[epoch] == pytest.approx(mrr_512(proxy.embed(train_set.presets[:512]), train_set.embeddings[:512]), abs=1e-6)
    assert curve.seen[epoch] > 2 * curve.unseen[epoch]


def test_a_run_that_diverges_is_kept_and_says_so(config, tmp_path):
    path, changes = tmp_path / "learning_curves.csv", ["learning_rate x 1e30", "nothing"]
    curves.keep_curves(config, changes, path, device="cpu")
    ends = curves.last_epochs(curves.read_curves(config, path))
    assert ends.change.tolist() == changes[::-1] and ends.unseen.isna().tolist() == [False, True]
    before = path.read_bytes()
    curves.keep_curves(config, changes, path, device="cpu")
    assert path.read_bytes() == before


def test_a_change_that_cannot_be_is_named_before_anything_is_trained(config, tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "learning_curve", lambda *given: pytest.fail("trained"))
    for change, why in (("dropout 0.1", "unknown setting 'dropout'"), ("hidden x two", "hidden is .* now"), ("standardise maybe", "True or False"),
                        ("blocks -1", "whole number from 1"), ("rows x 0.5", "at least 512 rows"), ("batch_size x 100", "batches of")):
        with pytest.raises(ValueError, match=why):
            curves.keep_curves(config, ["nothing", change], tmp_path / "learning_curves.csv", device="cpu")
    with pytest.raises(ValueError, match="change 'token 63': embed_dim must be divisible"):
        curves.planned(hpo.replace(config, encoder="tfm"), "token 63")
    with pytest.raises(ValueError, match="workers=0: expected at least 1"):
        curves.keep_curves(config, ["nothing"], tmp_path / "learning_curves.csv", 0)
    assert not (tmp_path / "learning_curves.csv").exists()


def test_two_processes_keep_their_runs_in_one_table(tmp_path):
    "Of the profile smoke as it is: processes know nothing of this one's sets."
    path, config = tmp_path / "learning_curves.csv", hpo.study_config("dexed", "smoke", "mlp_oh", "network", epochs=1)
    curves.keep_curves(config, ["nothing", "learning_rate x 0.5"], path, workers=2, device="cpu")
    assert set(curves.read_curves(config, path).change) == {"nothing", "learning_rate x 0.5"}
