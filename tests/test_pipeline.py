"""The pipeline: what makes a step stale, what it costs, what is left out."""
import importlib.util
import json
import shutil
from pathlib import Path

import nbformat
import pytest

from synthproxy import tables

ROOT = Path(__file__).parent.parent


@pytest.fixture
def dodo(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("dodo", ROOT / "dodo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "nbs").mkdir()
    (tmp_path / "build").mkdir()
    shutil.copytree(ROOT / "synthproxy", tmp_path / "synthproxy")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "RUNS", tmp_path / "results" / "runs.csv")
    return module


def write_notebook(path: Path, *code: str, prose: str = "words") -> None:
    cells = [nbformat.v4.new_markdown_cell(prose), nbformat.v4.new_code_cell("profile = 'smoke'", metadata={"tags": ["parameters"]}), *map(nbformat.v4.new_code_cell, code)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}), path)


def test_a_step_runs_when_what_it_depends_on_changes_and_only_then(dodo, tmp_path):
    read, mark = tmp_path / "read.json", tmp_path / "mark"
    read.write_text("1")
    notebook = tmp_path / "nbs" / "00_demo.ipynb"
    code = f"def later():\n    from synthproxy.candidates import by_candidates\nfrom pathlib import Path\nPath({str(mark)!r}).write_text(profile)"
    write_notebook(notebook, code)

    def step() -> object:
        dodo.modules_of.cache_clear()
        return dodo.Step("00_demo", {"profile": "smoke"}, [read], [])

    assert not step().done() and step().run() and step().done() and mark.read_text() == "smoke"
    assert json.loads(step().out.read_text())["metadata"]["papermill"]["parameters"] == {"profile": "smoke"}
    assert dodo.RUNS.read_text().splitlines()[1].startswith("smoke,00_demo,") and dodo.times()["00_demo"] >= 0
    write_notebook(notebook, code, prose="other words")
    with (tmp_path / "synthproxy" / "umaps.py").open("a") as file:
        file.write("\nunused = 1\n")
    assert step().done() # prose, and a module that it does not import
    module = tmp_path / "synthproxy" / "project.py" # that the imported one imports
    for changed in (notebook, module, read):
        before = changed.read_text()
        write_notebook(notebook, code + "\n1") if changed == notebook else changed.write_text(before + "\n")
        assert not step().done()
        if changed != read:
            changed.write_text(before)
            assert step().done()
    assert step().run() and step().done()


def test_a_failed_step_says_so_and_stays_stale(dodo, tmp_path, capsys):
    write_notebook(tmp_path / "nbs" / "00_demo.ipynb", "raise ValueError('out of strings')")
    step = dodo.Step("00_demo", {"profile": "smoke"}, [], [])
    assert not step.run() and not step.done()
    assert "00_demo failed" in (said := capsys.readouterr().out) and "out of strings" in said


def test_modules_are_followed(dodo):
    names = {path.stem for path in dodo.modules_of(ROOT / "nbs" / "05_eval.ipynb")} | {path.stem for path in dodo.modules_of(ROOT / "synthproxy" / "metrics.py")}
    assert {"proxies", "datasets", "plugins", "synths", "project"} <= names and "umaps" not in names


@pytest.fixture
def status(dodo, monkeypatch, capsys):
    def plan(profile: str, synth: str, voices: Path | None = None) -> tuple[bool, str]: # can all be made, and what is said
        for name, given in (("PROFILE", profile), ("SYNTH", synth), ("VOICES", voices)):
            monkeypatch.setattr(dodo, name, given)
        dodo.synths.cache_clear()
        dodo.steps.cache_clear()
        return dodo.plan(), capsys.readouterr().out

    return plan


def test_status_names_what_is_left_out(status, monkeypatch, tmp_path):
    for variable in ("TALNM_PATH", "DIVA_PATH", "DEXED_PATH"):
        monkeypatch.delenv(variable, raising=False)
    made, every = status("smoke", "all")
    assert made and "03_datasets_faust_poly" in every and "06_tables" in every and "steps are stale" in every
    assert "left out: diva (diva: no plug-in (DIVA_PATH is not set); set DIVA_PATH" in every and "03_datasets_diva" not in every
    made, one = status("smoke", "diva")
    assert not made and "diva was asked for and cannot be made here" in one
    with pytest.raises(ValueError, match="did you mean 'smoke'?"):
        status("smok", "dexed")
    monkeypatch.setenv("SYNTHPROXY_WEIGHTS", "")
    shutil.copytree(ROOT / "data/dexed/cpu/handcrafted", tmp_path / "data/dexed/cpu/handcrafted")
    assert "missing: weights of mn04" in (every := status("cpu", "dexed")[1])
    assert "data/dexed/cpu/handcrafted: 423 rows, embedded by mn04" in every


def test_a_profile_without_handcrafted_presets_has_its_other_tables(tmp_path):
    results = tables.read_results("cpu")
    without = results[results.split != "handcrafted"]
    assert tables.main_table(without, "handcrafted").empty and tables.show_table(tables.main_table(without, "handcrafted")).empty
    written = {path.name for path in tables.save_tables(without, "cpu", tmp_path)}
    assert written == {f"table_{what}.{suffix}" for what in ("synthetic", "paper") for suffix in ("csv", "md", "tex")} == {path.name for path in tmp_path.iterdir()}
    one = results[(results.synth != "amsynth") | (results.split != "handcrafted")] # one synth without, others with
    assert "amsynth" in set(tables.main_table(one, "synthetic").synth) and set(tables.main_table(one, "handcrafted").synth) == {"dexed", "faust_poly"}


def test_presets_of_ones_own_are_one_parameter(dodo, tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "bank.syx").write_bytes(b"\xf0\xff") # no text
    write_notebook(tmp_path / "nbs" / "03_datasets.ipynb", "1")
    for name in ("04_training", "05_eval", "06_umap", "06_map", "06_candidates", "06_tables", "08_hpo"):
        write_notebook(tmp_path / "nbs" / f"{name}.ipynb", "1")
    monkeypatch.setattr(dodo, "VOICES", folder)
    first = dodo.steps()[0]
    assert first.name == "03_datasets_dexed" and first.parameters["voices"] == str(folder) and first.reads == [folder / "bank.syx"]
    assert not any("voices" in step.parameters for step in dodo.steps()[1:])
    key = first.key()
    (folder / "bank.syx").write_bytes(b"\xf0\xfe")
    assert first.key() != key


def test_wrong_folders_of_presets_are_one_clear_error(status, tmp_path):
    with pytest.raises(ValueError, match="nowhere is not there: expected a folder of presets of dexed"):
        status("smoke", "dexed", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds presets of one synth: name it"):
        status("smoke", "all", tmp_path)
