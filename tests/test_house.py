"""What keeps the project in order: notebooks, papermill, what ships, and the numbers in the README."""
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import papermill
import pytest
from packaging.specifiers import SpecifierSet

from synthproxy.datasets import Dataset, Recipe, make_rows
from synthproxy.plugins import plugin_path
from synthproxy.preset_encoders import PAPER_ENCODERS
from synthproxy.synths import get_synth, sample
from synthproxy.proxies import SynthProxy, checkpoint_folder, trained_encoders

sys.path.insert(0, str(Path(__file__).parent))
import notebooks

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
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
    assert len(tagged) == (path.stem in notebooks.COMMANDS)
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


WRONG = [
    ("05_eval", {"sinth": "dexed"}, "unknown parameter 'sinth': expected one of synth, profile, encoder, audio_model; did you mean 'synth'?"),
    ("04_training", {"encoder": "mlp"}, "unknown encoder 'mlp'"),
    ("03_datasets", {"profil": "cpu"}, "did you mean 'profile'?"),
    ("08_hpo", {"space": "all"}, "unknown space 'all': expected one of training, network"),
    ("05_eval", {"synth": "dexd"}, "unknown synth 'dexd': expected one of dexed, amsynth, dexed_vst3, diva, faust_poly, talnm; did you mean 'dexed'?"),
    ("05_eval", {"profile": "cpuu"}, "did you mean 'cpu'?"),
    ("05_eval", {"encoder": "hn_pt_gru"}, "did you mean 'hn_ptgru'?"),
    ("05_eval", {"profile": "paper"}, "no checkpoint of dexed in profile paper"),
    ("04_training", {"device": "gpu"}, "unknown device 'gpu': expected one of auto, cpu, cuda"),
    ("05_eval", {"synth": "talnm"}, "set TALNM_PATH to its file, or use a synth that needs none: dexed, faust_poly"),
    ("03_datasets", {"synth": "diva"}, "set DIVA_PATH to its file, or use a synth that needs none: dexed, faust_poly"),
    ("07_search_page", {"targets": "x.wav"}, "did you mean 'target'?"),
    ("07_search_page", {"synth": "dexd"}, "did you mean 'dexed'?"),
    ("03_datasets", {"voices": "nowhere"}, "no .dx7, .fxb, .fxp, .json, .mid, .midi, .syx or .vstpreset file in nowhere"),
]


@pytest.mark.parametrize(("notebook", "parameters", "message"), WRONG[:2])
def test_wrong_papermill_parameters_are_one_clear_error(tmp_path, notebook, parameters, message):
    with pytest.raises(papermill.PapermillExecutionError, match=re.escape(message)):
        papermill.execute_notebook(ROOT / "nbs" / f"{notebook}.ipynb", tmp_path / "out.ipynb", parameters, progress_bar=False, cwd=ROOT)


@pytest.mark.parametrize(("notebook", "parameters", "message"), WRONG)
def test_wrong_parameters_are_one_clear_error(notebook, parameters, message, monkeypatch):
    "The cells as papermill runs them, here and not in a process of their own, which takes seconds to begin."
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    cells = [cell for cell in json.loads((ROOT / "nbs" / f"{notebook}.ipynb").read_text())["cells"] if cell["cell_type"] == "code"]
    names = {"__name__": "__main__", "display": lambda *shown: None}
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)):
        for cell in cells:
            exec("".join(cell["source"]), names)
            if "parameters" in cell["metadata"].get("tags", []):
                names |= parameters


@pytest.mark.parametrize(("name", "holds"), [
    ("05_eval", "hn_ptgru"), ("06_tables", "toprule"), ("06_umap", "trustworthiness"), ("06_map", "map_faust_poly.html"), ("06_candidates", "recall_10"),
    ("06_scaling", "contrastive"), ("07_search_study", "cma_es_seeded"), ("09_audio_models", "mn04_random")])
def test_the_commands_word_for_word(name, holds):
    left = notebooks.LEFT / f"{name}.ipynb"
    if not notebooks.is_current(left): # the run of all notebooks has not left it
        before = notebooks.changed()
        passed, output = notebooks.run(name)
        assert passed, output
        assert notebooks.changed() == before # a run that finds the same numbers changes no file
    assert holds in left.read_text()


@pytest.mark.parametrize(("synth", "split", "rows", "name"), [
    ("dexed", "test", 8192, ""), ("dexed", "handcrafted", 400, "E.PIANO 1"), ("amsynth", "test", 4096, ""),
    ("amsynth", "handcrafted", 600, "Bass"), ("faust_poly", "test", 4096, ""), ("faust_poly", "handcrafted", 60, "Bass: reese")])
def test_shipped_sets_are_whole(synth, split, rows, name):
    dataset = Dataset(ROOT / "data" / synth / "cpu" / split).verify()
    assert len(dataset) >= rows and dataset.embeddings.shape == (len(dataset), 192)
    assert dataset.manifest["made_from"]["table_sha256"] == get_synth(synth).table_hash
    assert len(np.unique(dataset.presets, axis=0)) == len(dataset) and np.isfinite(dataset.embeddings).all()
    if split == "handcrafted":
        assert len(dataset.names) == len(dataset) and name in " ".join(dataset.names)


@pytest.mark.parametrize("synth", ["amsynth", "faust_poly"])
def test_the_shipped_test_sets_of_plugins_are_what_the_code_makes(synth, mn04_weights):
    try:
        plugin_path(synth)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    dataset = Dataset(ROOT / "data" / synth / "cpu" / "test")
    made, _ = make_rows(Recipe(synth, "mn04", len(dataset), 600), range(1000, 1008))
    assert np.array_equal(made["presets"], dataset.read("presets", 1000, 1008))
    np.testing.assert_allclose(made["embeddings"], dataset.read("embeddings", 1000, 1008), atol=1e-4)


def test_the_shipped_test_set_is_what_the_code_makes(mn04_weights):
    dataset = Dataset(ROOT / "data" / "dexed" / "cpu" / "test")
    made, _ = make_rows(Recipe("dexed", "mn04", len(dataset), 600), range(1000, 1008))
    assert np.array_equal(made["presets"], dataset.read("presets", 1000, 1008))
    np.testing.assert_allclose(made["embeddings"], dataset.read("embeddings", 1000, 1008), atol=1e-4)


@pytest.mark.parametrize(("synth", "rows", "best"), [("dexed", {102_400, 32_768}, .75), ("amsynth", {12_288, 5_120}, .65), ("faust_poly", {12_288}, .65)])
def test_shipped_checkpoints_load(synth, rows, best):
    assert set(PAPER_ENCODERS) < set(trained_encoders(synth, "cpu"))
    for encoder in trained_encoders(synth, "cpu"):
        proxy = SynthProxy.from_pretrained(checkpoint_folder(synth, "cpu", encoder))
        assert proxy.embed(sample(proxy.synth, 3)).shape == (3, 192)
        assert proxy.config["hardware"] and proxy.config["history"] and "+" not in proxy.config["commit"]
        assert proxy.config["data"]["rows"] in rows and (synth != "dexed" or proxy.config["data"]["prior"]["near"] == 20)
        card = (checkpoint_folder(synth, "cpu", encoder) / "README.md").read_text()
        assert proxy.config["commit"] in card and "## Limits" in card
    assert SynthProxy.from_pretrained(synth).config["validation"]["mrr_512"] > best


def tracked_data() -> dict[str, int]: # file -> bytes
    "The checkpoints and sets in the repository."
    files = subprocess.run(["git", "ls-files", "data"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    return {name: (ROOT / name).stat().st_size for name in files}


def test_all_is_small():
    files = tracked_data()
    assert sum(files.values()) < 130e6
    assert not [f for f in files if Path(f).suffix in (".pkl", ".pt", ".pth", ".ckpt")]


@pytest.mark.xfail(strict=True, reason="checkpoints in single precision are left; take this mark away when they are in half precision")
def test_checkpoints_and_sets_stay_within_their_budget():
    files = tracked_data()
    largest = sorted(files.items(), key=lambda item: -item[1])[:20]
    assert sum(files.values()) <= 70e6, f"{sum(files.values()) / 1e6:.1f} MB; the largest: {largest}"


def test_readme_is_made_from_the_index_notebook():
    spec = importlib.util.spec_from_file_location("make_readme", ROOT / "tools" / "make_readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.readme() == (ROOT / "README.md").read_text()


def test_every_pin_suits_the_first_python_3_11():
    "Debian's is 3.11.2, and where a pin wants a later one, pip says only that packages conflict."
    wanted = {d.metadata["Name"]: d.metadata["Requires-Python"] for d in distributions()}
    assert {name: spec for name, spec in wanted.items() if spec and not SpecifierSet(spec).contains("3.11.0")} == {}


def test_the_proxy_is_light_to_import():
    code = ("import sys; from synthproxy import SynthProxy; "
            "print(*{'dexed', 'dawdreamer', 'pandas', 'sklearn', 'matplotlib', 'soundfile', 'pooch', 'papermill'} & set(sys.modules))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []
