"""Every command that README, docs and notebooks show is run by CI or its tests, or is listed here as not run, with the reason."""
import importlib.util
import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMMAND = re.compile(r"(?:make [a-z]|papermill nbs/|synthproxy-[a-z]+ |docker |nbdev_|conda |doit )[^`\n]*")
NOT_RUN = {
    "make reproduce PROFILE=cpu": "hours; its results are committed",
    "make reproduce SYNTH=tiny": "an example name",
    "papermill nbs/05_eval.ipynb out.ipynb -p synth tiny": "an example name",
    "make reproduce PROFILE=paper": "needs a GPU",
    "docker build": "no Docker in CI; its steps are those of .ci/run, see test_the_container_is_set_up_as_ci_is",
    "synthproxy-scan PLUGIN": "a pattern",
    "synthproxy-scan /usr/lib/vst3/Some.vst3": "an example name",
    "synthproxy-scan tiny.dsp": "run by the tutorial with whole paths",
    "synthproxy-search target.wav": "an example name; test_the_command_end_to_end calls it",
    "synthproxy-presets FOLDER": "a pattern; test_a_folder_as_a_table calls it",
    "synthproxy-similar preset.syx": "an example name; test_the_commands_for_presets calls it",
    "synthproxy-vary preset.syx": "an example name; test_the_commands_for_presets calls it",
    "papermill nbs/07_search_page.ipynb out.ipynb -p target": "an example name; test_the_notebook_searches_for_a_sound runs its cells",
    "papermill nbs/07_search_study.ipynb out.ipynb -p targets": "hours; its results are committed",
    "papermill nbs/09_audio_models.ipynb out.ipynb -p synths": "half an hour; its results are committed",
    "papermill nbs/01_dx7_batch.ipynb out.ipynb -p voices": "minutes; its results are committed",
    "papermill nbs/03_datasets.ipynb out.ipynb -p profile paper -p scheduler": "a night; a cluster of two is in test_clusters",
    "papermill nbs/03_datasets.ipynb out.ipynb -p profile paper -p folder": "a night, into a store; test_stores makes a smaller set in one",
    "papermill nbs/08_hpo.ipynb out.ipynb -p synth dexed -p encoder tfm": "minutes; CI runs it in profile smoke",
    "papermill nbs/08_learning_curves.ipynb out.ipynb -p profile cpu": "minutes; CI runs it in profile smoke",
    "conda env create": "no conda in CI; the file names the same constraints",
    "make check-all": "half an hour; each change is checked by its parts, one of each kind",
    "make eval SYNTH=amsynth": "a part of make check-all; CI runs it for faust_poly",
    "make docs ALL=yes": "a part of make check-all",
    "make lock": "changes constraints.txt",
    "make hooks": "changes the clone's settings",
    "make readme": "CI compares README.md with its notebook instead",
    "make clean-data": "deletes",
    "nbdev_update": "a way of working that changes notebooks",
    "papermill nbs/90_benchmarks.ipynb out.ipynb -p rounds": "minutes; its results are committed",
    "make reproduce SYNTH=dexed PROFILE=cpu": "hours; its results are committed",
    "make reproduce SYNTH=dexed PROFILE=smoke": "CI runs it with its words in another order",
    "make reproduce AUDIO_MODEL=mfcc40": "CI runs it with the profile's own audio model; tests/test_entries.py goes the same way with another",
    "make reproduce PROFILE=smoke SYNTH=all": "a part of make check-all; CI runs it for Dexed",
}


def shown() -> set[str]: # commands in prose and code blocks
    texts = [(ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")] + [path.read_text() for path in (ROOT / "docs").glob("*.md")]
    for path in (ROOT / "nbs").glob("*.ipynb"):
        texts += ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "markdown"]
    code = [part for text in texts for part in [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"```(?:bash|sh)?\n(.*?)```", text, re.S)]]
    return {re.split(r" && |  #|   ", found)[0].strip() for part in code for line in part.splitlines() for found in COMMAND.findall(line) if COMMAND.match(line.strip())}


def test_every_command_is_run_or_listed():
    run = (ROOT / ".ci" / "run").read_text() + "".join(path.read_text() for path in (ROOT / "tests").glob("*.py") if path.name != Path(__file__).name)
    unknown = {command for command in shown() if command not in run and not any(command.startswith(listed) for listed in NOT_RUN)}
    assert not unknown, unknown


def test_the_container_is_set_up_as_ci_is():
    container, ci = (ROOT / "Dockerfile").read_text(), (ROOT / ".ci" / "run").read_text()
    packages = [set(re.search(r"--no-install-recommends ([a-z -]+?) (?:&&|>)", text)[1].split()) for text in (container, ci)]
    assert packages[0] <= packages[1] and {"make", "git", "amsynth", "xvfb"} <= packages[0]
    assert "RUN make setup" in container and "\nmake setup\n" in ci and 'CMD ["make", "eval"]' in container and "\nmake eval" in ci
    assert "-c constraints.txt" in (ROOT / "environment.yml").read_text() and "-c constraints.txt" in (ROOT / "Makefile").read_text()


def test_a_claim_that_does_not_hold_is_said_to_fail(capsys):
    spec = importlib.util.spec_from_file_location("claims", ROOT / "tools" / "claims.py")
    claims = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(claims)
    row = next(row for row in claims.claims() if " weights " in row["command"])
    assert claims.check_all([row])
    assert not claims.check_all([row | {"expected": "1"}])
    assert not claims.check_all([row | {"command": "python tools/claims.py weights nothing"}])
    said = capsys.readouterr().out
    assert "DOES NOT HOLD" in said and "the command failed" in said and "claims: 0 of 1 hold" in said
