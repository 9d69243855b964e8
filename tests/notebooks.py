"""Run every notebook from top to bottom, each once, two at a time, each in a process of its own that has an end, and count what passed.

A notebook with parameters is run by papermill, with the command that the README shows or with its defaults, and what it left stays in
build/notebooks for the tests to look at; any other by nbdev_test. A run may change no committed file: their numbers are what the code computes.
"""
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TIMEOUT_S = 900 # of one notebook
ROOT = Path(__file__).parent.parent
LEFT = ROOT / "build" / "notebooks" # executed notebooks
COMMANDS = {command.split("/")[1].split(".")[0]: command for command in (
    "papermill nbs/03_datasets.ipynb out.ipynb",
    "papermill nbs/04_training.ipynb out.ipynb",
    "papermill nbs/05_eval.ipynb out.ipynb -p synth dexed",
    "papermill nbs/06_candidates.ipynb out.ipynb -p synth faust_poly",
    "papermill nbs/06_map.ipynb out.ipynb -p synth faust_poly",
    "papermill nbs/06_scaling.ipynb out.ipynb",
    "papermill nbs/06_tables.ipynb out.ipynb",
    "papermill nbs/06_umap.ipynb out.ipynb -p synth faust_poly",
    "papermill nbs/07_search_study.ipynb out.ipynb",
    "papermill nbs/08_hpo.ipynb out.ipynb",
    "papermill nbs/09_audio_models.ipynb out.ipynb",
    "papermill nbs/90_benchmarks.ipynb out.ipynb",
)}
FIRST = ("05_eval", "91_add_a_synth", "03_datasets") # the longest, or what others wait for


def words(name: str) -> list[str]: # the command that runs a notebook
    if name not in COMMANDS:
        return ["nbdev_test", "--path", f"nbs/{name}.ipynb", "--n_workers", "1", "--do_print"]
    return [*COMMANDS[name].replace(" out.ipynb", f" {LEFT / name}.ipynb").split(), "--no-progress-bar", "--log-level", "ERROR"]


def run(name: str) -> tuple[bool, str]: # did it pass, and its output
    LEFT.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k != "IN_TEST"} | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words(name), cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
        try:
            output, ended = process.communicate(timeout=TIMEOUT_S)[0], True
        except subprocess.TimeoutExpired: # it, or a process that it left
            os.killpg(process.pid, signal.SIGKILL)
            output, ended = f"{process.communicate()[0]}\nno end within {TIMEOUT_S} s", False
    completed = name in COMMANDS or re.search(rf"^- Completed .*{re.escape(name)}\.ipynb", output, re.M) # nbdev_test finds nothing quietly
    return bool(ended and process.returncode == 0 and completed), output


def passes(name: str) -> bool:
    start = time.monotonic()
    passed, output = run(name)
    print(f"{time.monotonic() - start:5.0f} s  {name}" + ("" if passed else f": NOT PASSED\n{output}"), flush=True)
    return passed


def changed() -> str: # files that differ from the commit
    return subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout


def main() -> None:
    names = sorted(path.stem for path in (ROOT / "nbs").glob("*.ipynb"))
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    before = changed()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(passes, names))
    print(f"notebooks: {sum(results)} passed, {len(results) - sum(results)} failed", flush=True)
    if (after := changed()) != before:
        sys.exit(f"a run changed committed files:\n{after}")
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
