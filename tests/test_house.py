"""What keeps the project in order: notebooks, papermill, what ships, and the numbers in the README."""
import importlib.util
import inspect
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import papermill
import pandas as pd
import pytest

from synthproxy.datasets import Dataset, Recipe, make_rows
from synthproxy.preset_encoders import ENCODERS
from synthproxy.synths import get_synth, sample
from synthproxy.training import SynthProxy, checkpoint_folder

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
PARAMETERISED = ("03_datasets", "04_training", "05_eval", "06_scaling", "90_benchmarks")
MODULES = [p.stem for p in (ROOT / "synthproxy").glob("*.py") if not p.stem.startswith("_")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_in_order(path):
    text = path.read_text()
    notebook = json.loads(text)
    assert len(text) < 1_000_000
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    sources = ["".join(cell["source"]) for cell in notebook["cells"]]
    assert sources[0].startswith("# ") and "\n> " in sources[0]
    assert not re.search(r"^(<{7}|>{7}) ", "\n".join(sources), re.M)
    tagged = [i for i, cell in enumerate(notebook["cells"]) if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == (path.stem in PARAMETERISED)
    if tagged:
        assert "check_parameters(globals()" in sources[tagged[0] + 1]
        assert not any("nbdev_export" in s for s in sources)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert any(cell["outputs"] for cell in code), "committed without its outputs"
    assert not any(o.get("output_type") == "error" for cell in code for o in cell["outputs"])


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_are_annotated_and_described(module):
    module = importlib.import_module(f"synthproxy.{module}")
    public = [getattr(module, name) for name in module.__all__]
    for thing in public:
        if inspect.isfunction(thing):
            assert thing.__doc__, f"{thing.__name__} has no docstring"
            missing = [n for n, p in inspect.signature(thing).parameters.items() if p.annotation is p.empty]
            assert not missing, f"{thing.__name__}: {missing} without annotation"


@pytest.mark.parametrize(("notebook", "parameters", "message"), [
    ("05_eval", {"sinth": "dexed"}, "unknown parameter 'sinth': expected one of synth, profile, encoder; did you mean 'synth'?"),
    ("05_eval", {"synth": "dexd"}, "unknown synth 'dexd': expected one of dexed, amsynth, dexed_vst3, diva, faust_poly, talnm; did you mean 'dexed'?"),
    ("05_eval", {"profile": "cpuu"}, "did you mean 'cpu'?"),
    ("05_eval", {"encoder": "hn_pt_gru"}, "did you mean 'hn_ptgru'?"),
    ("05_eval", {"profile": "paper"}, "no checkpoint of dexed in profile paper"),
    ("04_training", {"encoder": "mlp"}, "unknown encoder 'mlp'"),
    ("04_training", {"device": "gpu"}, "unknown device 'gpu': expected one of auto, cpu, cuda"),
    ("03_datasets", {"profil": "cpu"}, "did you mean 'profile'?"),
    ("05_eval", {"synth": "talnm"}, "set TALNM_PATH to its file, or use a synth that needs none: dexed, faust_poly"),
    ("03_datasets", {"synth": "diva"}, "set DIVA_PATH to its file, or use a synth that needs none: dexed, faust_poly"),
    ("03_datasets", {"voices": "nowhere"}, "no .dx7 or .json or .syx file in nowhere"),
])
def test_wrong_papermill_parameters_are_one_clear_error(tmp_path, notebook, parameters, message):
    with pytest.raises(papermill.PapermillExecutionError, match=re.escape(message)):
        papermill.execute_notebook(ROOT / "nbs" / f"{notebook}.ipynb", tmp_path / "out.ipynb", parameters, progress_bar=False, cwd=ROOT)


def test_the_command_word_for_word(tmp_path):
    before = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout
    out, existed = ROOT / "out.ipynb", (ROOT / "out.ipynb").exists()
    subprocess.run("papermill nbs/05_eval.ipynb out.ipynb -p synth dexed".split(), cwd=ROOT, check=True, capture_output=True)
    text = out.read_text()
    if not existed:
        out.unlink()
    assert all(name in text for name in ENCODERS)
    after = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout
    assert before == after # an evaluation that finds the same numbers changes no file


@pytest.mark.parametrize(("split", "rows"), [("test", 8192), ("handcrafted", 400)])
def test_shipped_sets_are_whole(split, rows):
    dataset = Dataset(ROOT / "data" / "dexed" / "cpu" / split).verify()
    assert len(dataset) >= rows and dataset.embeddings.shape == (len(dataset), 192)
    assert dataset.manifest["made_from"]["table_sha256"] == get_synth("dexed").table_hash
    assert len(np.unique(dataset.presets, axis=0)) == len(dataset) and np.isfinite(dataset.embeddings).all()
    if split == "handcrafted":
        assert len(dataset.names) == len(dataset) and "E.PIANO 1" in " ".join(dataset.names)


def test_the_shipped_test_set_is_what_the_code_makes(mn04_weights):
    dataset = Dataset(ROOT / "data" / "dexed" / "cpu" / "test")
    made, _ = make_rows(Recipe("dexed", "mn04", len(dataset), 600), range(1000, 1008))
    assert np.array_equal(made["presets"], dataset.read("presets", 1000, 1008))
    np.testing.assert_allclose(made["embeddings"], dataset.read("embeddings", 1000, 1008), atol=1e-4)


def test_shipped_checkpoints_load_and_all_is_small():
    for encoder in ENCODERS:
        proxy = SynthProxy.from_pretrained(checkpoint_folder("dexed", "cpu", encoder))
        assert proxy.embed(sample(proxy.synth, 3)).shape == (3, 192)
        assert proxy.config["hardware"] and proxy.config["history"] and "+" not in proxy.config["commit"]
        assert proxy.config["data"]["rows"] >= 100_000 and proxy.config["data"]["prior"]["near"] == 20
        card = (checkpoint_folder("dexed", "cpu", encoder) / "README.md").read_text()
        assert proxy.config["commit"] in card and "## Limits" in card
    assert SynthProxy.from_pretrained("dexed").config["validation"]["mrr_512"] > .65 # the best of them
    tracked = subprocess.run(["git", "ls-files", "data"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert sum((ROOT / f).stat().st_size for f in tracked) < 60e6
    assert not [f for f in tracked if Path(f).suffix in (".pkl", ".pt", ".pth", ".ckpt")]


def test_numbers_in_the_readme_come_from_the_results():
    text, results = (ROOT / "README.md").read_text(), pd.read_csv(ROOT / "results" / "metrics.csv")
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")]
    assert {row[0] for row in rows} >= set(ENCODERS)
    ours = results[(results.profile == "cpu") & (results.synth == "dexed")]
    for encoder, *cells in rows:
        if encoder in ENCODERS:
            shown_metrics = ("validation", "mrr_512"), ("synthetic", "mrr"), ("handcrafted", "mrr"), ("handcrafted", "p2a_recall_10")
            for (split, metric), shown in zip(shown_metrics, cells):
                value = ours[(ours.encoder == encoder) & (ours.split == split) & (ours.metric == metric)].value.item()
                assert shown == f"{value:.3f}", (encoder, split, metric)


def test_readme_is_made_from_the_index_notebook():
    spec = importlib.util.spec_from_file_location("make_readme", ROOT / "tools" / "make_readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.readme() == (ROOT / "README.md").read_text()
