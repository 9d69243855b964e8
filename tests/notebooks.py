"""Run every notebook from top to bottom, each once, two at a time, each in a process of its own that has an end, and count what passed.

A notebook with parameters is run by papermill, with the command that the README shows or with its defaults, and what it left stays in
build/notebooks for the tests to look at; where the pipeline has just run it, and no committed file depends on it, that run counts. Any other is run by nbdev_test.
A run may change no committed file: their numbers are what the code computes.
"""
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TIMEOUT_S = 900 # of one notebook
LATE = f"no end within {TIMEOUT_S} s"
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2 ** 31), "MALLOC_TRIM_THRESHOLD_": str(2 ** 32)} # glibc gives nothing back to the system: a tenth less time
ENVIRONMENT = {"OMP_NUM_THREADS": "1"} | KEEP_MEMORY
ROOT = Path(__file__).parent.parent
LEFT = ROOT / "build" / "notebooks" # executed notebooks
COMMANDS = {command.split("/")[1].split(".")[0]: command for command in (
    "papermill nbs/01_dx7_batch.ipynb out.ipynb",
    "papermill nbs/03_datasets.ipynb out.ipynb",
    "papermill nbs/04_training.ipynb out.ipynb",
    "papermill nbs/05_eval.ipynb out.ipynb -p synth dexed",
    "papermill nbs/06_candidates.ipynb out.ipynb -p synth faust_poly",
    "papermill nbs/06_map.ipynb out.ipynb -p synth faust_poly",
    "papermill nbs/06_scaling.ipynb out.ipynb",
    "papermill nbs/06_tables.ipynb out.ipynb",
    "papermill nbs/06_umap.ipynb out.ipynb -p synth faust_poly",
    "papermill nbs/07_search_page.ipynb out.ipynb",
    "papermill nbs/07_search_study.ipynb out.ipynb",
    "papermill nbs/08_hpo.ipynb out.ipynb",
    "papermill nbs/08_learning_curves.ipynb out.ipynb",
    "papermill nbs/09_audio_models.ipynb out.ipynb",
    "papermill nbs/90_benchmarks.ipynb out.ipynb",
)}
BY_PIPELINE = {"03_datasets": "03_datasets_dexed", "04_training": "04_training_dexed_mlp_oh", "08_hpo": "08_hpo_dexed"} # steps of `make reproduce`
FIRST = ("05_eval", "03_datasets", "91_add_a_synth") # the longest, and what others wait for


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["nbdev.test", "torch", "pandas", "seaborn", "scipy.signal"]) # imported once, by the process that all others are forked from


def run(name: str) -> tuple[bool, str]: # did it pass, and its output
    LEFT.mkdir(parents=True, exist_ok=True)
    return papermill(name) if name in COMMANDS else nbdev(name)


def papermill(name: str) -> tuple[bool, str]:
    left = LEFT / f"{name}.ipynb"
    words = [*COMMANDS[name].replace(" out.ipynb", f" {left}").split(), "--no-progress-bar", "--log-level", "ERROR"]
    environment = {k: v for k, v in os.environ.items() if k != "IN_TEST"} | ENVIRONMENT
    with subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
        try:
            output, ended = process.communicate(timeout=TIMEOUT_S)[0], True
        except subprocess.TimeoutExpired: # it, or a process that it left
            os.killpg(process.pid, signal.SIGKILL)
            output, ended = f"{process.communicate()[0]}\n{LATE}", False
    if process.returncode and left.is_file(): # to look into, not to be taken for a run that passed
        left.rename(left.with_suffix(".failed.ipynb"))
    return ended and process.returncode == 0, output


def nbdev(name: str) -> tuple[bool, str]:
    log = LEFT / f"{name}.log"
    process = FORKS.Process(target=by_nbdev, args=(name, log))
    process.start()
    process.join(TIMEOUT_S)
    if late := process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode == 0, log.read_text() + (LATE if late else "")


def by_nbdev(name: str, log: Path) -> None: # in a process of its own, as nbdev_test does it
    from nbdev.config import get_config
    from nbdev.test import test_nb

    os.setsid()
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
    os.chdir(ROOT)
    passed, _ = test_nb(ROOT / "nbs" / f"{name}.ipynb", get_config().tst_flags.split(), basepath=ROOT)
    sys.exit(not passed)


def is_current(left: Path) -> bool: # an executed notebook: is it younger than all code?
    code = [*(ROOT / "nbs").glob("*.ipynb"), *(ROOT / "synthproxy").glob("*.py")]
    return left.is_file() and left.stat().st_mtime > max(path.stat().st_mtime for path in code)


def made_by_pipeline(name: str) -> bool: # a step has a stamp where it has passed
    left = ROOT / "results" / "smoke" / "notebooks" / f"{BY_PIPELINE.get(name)}.ipynb"
    return is_current(left) and is_current(left.with_suffix(".json"))


def passes(name: str) -> bool:
    start = time.monotonic()
    if made_by_pipeline(name):
        print(f"  made  {name}", flush=True)
        return True
    passed, output = run(name)
    print(f"{time.monotonic() - start:5.0f} s  {name}" + ("" if passed else f": NOT PASSED\n{output}"), flush=True)
    return passed


def changed() -> str: # files that differ from the commit
    return subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout


def main() -> None:
    os.environ.pop("IN_TEST", None)
    os.environ.update(ENVIRONMENT)
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
