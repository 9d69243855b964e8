"""The pipeline: notebooks chained by doit, each run by papermill when something that it depends on has changed.

`make reproduce PROFILE=smoke SYNTH=dexed` and `make status` call this. A step is keyed on its notebook's code cells, its parameters, the modules
that these import, and the data that it reads; what was done stands in a stamp beside the executed notebook, written when a step has succeeded.
"""
import ast
import hashlib
import json
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from doit import get_var
from filelock import FileLock

ROOT = Path(__file__).parent
DOIT_CONFIG = {"default_tasks": ["plan", "notebook"], "verbosity": 2, "dep_file": str(ROOT / "build" / "doit.db")}
PROFILE, SYNTH = get_var("profile", "smoke") or "smoke", get_var("synth", "dexed") or "dexed" # None where doit does not run this
AUDIO_MODEL = get_var("audio_model", "") or "" # of the embeddings that proxies learn; empty: the profile's
VOICES = Path(get_var("voices", "") or "").expanduser() if get_var("voices", "") else None # one's own presets of SYNTH: a folder, or one file
THREADS = str(max(1, (os.cpu_count() or 2) // 2)) # of each of the two steps that run at a time
RUNS = ROOT / "results" / "runs.csv" # what each step took, the last time
(ROOT / "build").mkdir(exist_ok=True)


def code_of(path: Path) -> str:
    "The code of a module, or of a notebook's cells."
    if path.suffix == ".py":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@cache
def modules_of(path: Path) -> frozenset[Path]:
    "The package's modules that some code imports, and those that these import."
    found = set()
    lines = [line for line in code_of(path).splitlines() if not line.startswith(("!", "%"))]
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = ROOT / "synthproxy" / f"{node.module.removeprefix('synthproxy.')}.py"
            if (node.level or node.module.startswith("synthproxy.")) and module.is_file() and module != path:
                found |= {module, *modules_of(module)}
    return frozenset(found)


def digest(*paths: Path) -> str:
    "A hash of the code or content of files; of a missing one that it is missing."
    total = hashlib.sha256()
    for path in paths:
        content = code_of(path).encode() if path.suffix in (".py", ".ipynb") else path.read_bytes() if path.is_file() else b"missing"
        total.update(path.name.encode() + b"\0" + content + b"\0")
    return total.hexdigest()


class Step:
    "One notebook with its parameters."

    def __init__(self, notebook: str, parameters: dict[str, str], reads: list[Path], after: list[str]):
        self.notebook, self.parameters, self.reads, self.after = ROOT / "nbs" / f"{notebook}.ipynb", parameters, reads, after
        self.name = "_".join([notebook, *(v for k, v in parameters.items() if k not in ("profile", "voices"))])
        self.out = ROOT / "results" / PROFILE / "notebooks" / f"{self.name}.ipynb"
        self.stamp = self.out.with_suffix(".json")

    def key(self) -> str:
        tables = [*sorted((ROOT / "synthproxy" / "specs").iterdir()), ROOT / "synthproxy" / "tuned.csv"]
        return digest(self.notebook, *sorted(modules_of(self.notebook)), *tables, *self.reads) + json.dumps(self.parameters, sort_keys=True)

    def done(self) -> bool:
        return self.out.is_file() and self.stamp.is_file() and json.loads(self.stamp.read_text())["key"] == self.key()

    def made_in(self) -> float: # seconds that data and checkpoints say they took, also where this run only found them
        folder = ROOT / "data" / self.parameters.get("synth", "") / PROFILE
        if "encoder" in self.parameters:
            return json.loads((folder / "checkpoints" / self.parameters.get("audio_model", "") / self.parameters["encoder"] / "config.json").read_text())["seconds"]
        logs = folder.glob("*/log.json") if self.name.startswith("03") and "audio_model" not in self.parameters else []
        return sum(run["seconds"] for log in logs for run in json.loads(log.read_text())["runs"])

    def run(self) -> bool:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        key, start = self.key(), time.perf_counter()
        given = [word for k, v in self.parameters.items() for word in ("-p", k, v)]
        run = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", "--log-level", "ERROR", str(self.notebook), str(self.out), *given],
                             cwd=ROOT, capture_output=True, text=True, env={"OMP_NUM_THREADS": THREADS} | os.environ | {"PYTHONWARNINGS": "ignore"})
        if run.returncode:
            print(f"{self.name} failed; what it had done is in {self.out.relative_to(ROOT)}\n{run.stderr.strip()[-2000:]}")
            return False
        seconds = max(time.perf_counter() - start, self.made_in())
        self.stamp.write_text(json.dumps({"key": key}))
        note_time(self.name, seconds)
        print(f"{self.name}: {seconds:.0f} s")
        return True


def note_time(name: str, seconds: float) -> None:
    "Keep what a step took in results/runs.csv."
    from synthproxy.project import commit

    with FileLock(ROOT / "build" / "runs.lock"):
        lines = RUNS.read_text().splitlines()[1:] if RUNS.is_file() else []
        kept = [line for line in lines if not line.startswith(f"{PROFILE},{name},")]
        RUNS.write_text("\n".join(["profile,run,seconds,cores,commit", *sorted([*kept, f"{PROFILE},{name},{seconds:.0f},{os.cpu_count()},{commit()}"])]) + "\n")


def times() -> dict[str, int]: # run -> seconds, of this profile
    "What steps took the last time."
    rows = [line.split(",") for line in RUNS.read_text().splitlines()[1:]] if RUNS.is_file() else []
    return {row[1]: int(row[2]) for row in rows if row[0] == PROFILE}


@cache
def synths() -> tuple[dict[str, str], list[str]]: # synth -> why it is left out ("": it is not), what else is missing
    "Which synths can be made here, and what is missing."
    from synthproxy.audio_models import AUDIO_MODELS
    from synthproxy.plugins import PLUGINS, RENDERERS, plugin_path
    from synthproxy.project import check_choice, get_profile

    model = check_choice(AUDIO_MODEL or get_profile(PROFILE).audio_model, AUDIO_MODELS, "audio model")
    weights = AUDIO_MODELS[model].weights
    why = {}
    for synth in RENDERERS if SYNTH == "all" else [check_choice(SYNTH, [*RENDERERS, "all"], "synth")]:
        try:
            if synth in PLUGINS:
                plugin_path(synth)
            why[synth] = ""
        except (OSError, ValueError) as error:
            why[synth] = str(error)
    if SYNTH == "all":
        why["dexed_vst3"] = why.get("dexed_vst3") or "its presets are dexed's: ask for it by name"
    named = os.environ.get("SYNTHPROXY_WEIGHTS")
    there = not weights or named and (Path(named) / weights.file).is_file()
    return why, [] if there else [f"weights of {model}, {weights.file}: SYNTHPROXY_WEIGHTS names no folder with them, so they are taken from the cache or downloaded"]


def other_model() -> str: # "" where it is the profile's
    "The audio model that is not the profile's, if one was asked for."
    from synthproxy.project import get_profile

    return "" if AUDIO_MODEL == get_profile(PROFILE).audio_model else AUDIO_MODEL


def voice_files() -> list[Path]:
    "The files of one's own presets; ValueError where there are none, or where they could be of any of several synths."
    if VOICES and SYNTH == "all":
        raise ValueError(f"VOICES={VOICES} holds presets of one synth: name it, SYNTH=...")
    if VOICES and not VOICES.exists():
        raise ValueError(f"VOICES={VOICES} is not there: expected a folder of presets of {SYNTH}, or one file")
    return [VOICES] if VOICES and VOICES.is_file() else sorted(path for path in VOICES.iterdir() if path.is_file()) if VOICES else []


@cache
def steps() -> tuple[Step, ...]:
    "All steps in an order in which they can run."
    from synthproxy.preset_encoders import encoders_of

    data, results, found, other = ROOT / "data", ROOT / "results", [], other_model()
    made = [synth for synth, why in synths()[0].items() if not why]
    for synth in made:
        folder, both = data / synth / PROFILE, {"synth": synth, "profile": PROFILE} | ({"audio_model": other} if other else {})
        name, embeddings = "_".join(filter(None, (synth, other))), Path("embeddings", other) if other else Path()
        own = {"voices": str(VOICES.absolute())} if VOICES else {}
        found.append(Step("03_datasets", both | own, voice_files(), []))
        sets = [folder / split / embeddings / "manifest.json" for split in ("train", "validation")]
        encoders = encoders_of(synth)
        for encoder in encoders:
            found.append(Step("04_training", both | {"encoder": encoder}, sets, [f"03_datasets_{name}"]))
        cards = [folder / "checkpoints" / other / encoder / "config.json" for encoder in encoders]
        tests = [folder / split / embeddings / "manifest.json" for split in ("test", "handcrafted")]
        trained = [f"04_training_{name}_{encoder}" for encoder in encoders]
        found.append(Step("05_eval", both, [*cards, *tests], trained))
        if other: # tables and figures are of the profile's audio model
            continue
        found.append(Step("06_umap", both, [*cards, *tests], trained))
        found.append(Step("06_map", both, tests[1:], trained[:1]))
        found.append(Step("06_candidates", both, [*cards, *tests], trained))
        if synth == "dexed" and PROFILE in ("smoke", "cpu"): # a short study, or those that were made
            found.append(Step("08_hpo", both, [*sets, results / "hpo.csv"], [f"03_datasets_{synth}"]))
        if (synth, PROFILE) == ("dexed", "cpu"): # what they show was measured apart, see there
            found.append(Step("06_scaling", both, [results / "scaling.csv"], []))
            found.append(Step("08_learning_curves", both, [results / "learning_curves.csv"], []))
            searched = [results / name for name in ("search.csv", "search_targets.csv", "search_presets.csv")]
            found.append(Step("07_search_study", {}, [*cards, *searched], trained))
            found.append(Step("09_audio_models", {}, [results / "audio_models.csv"], []))
    reports = [results / PROFILE / f"eval_{synth}.json" for synth in made]
    if not other:
        found.append(Step("06_tables", {"profile": PROFILE}, reports, [f"05_eval_{synth}" for synth in made]))
    return tuple(found)


def sets() -> list[str]:
    "The sets that are there, with the audio models whose embeddings they have."
    from synthproxy.datasets import MANIFEST, SPLITS, Dataset
    from synthproxy.embeddings import embedded_by

    found = []
    for folder in (ROOT / "data" / synth / PROFILE / split for synth in synths()[0] for split in SPLITS):
        try:
            if (folder / MANIFEST).is_file():
                found.append(f"{folder.relative_to(ROOT)}: {len(dataset := Dataset(folder)):,} rows, embedded by {', '.join(embedded_by(dataset))}")
        except ValueError as error: # begun, or damaged
            found.append(str(error))
    return found


def plan() -> bool:
    "Say what will be done, what it took the last time, what is left out and what is missing."
    why, missing = synths()
    known, stale = times(), [step for step in steps() if not step.done()]
    width = max(len(step.name) for step in steps())
    for step in steps():
        last = f"{known[step.name]} s the last time" if step.name in known else "never timed in this profile"
        print(f"  {step.name:{width}}  {'stale: ' + last if step in stale else 'up to date'}")
    timed = [known[step.name] for step in stale if step.name in known]
    print(f"{PROFILE}: {len(stale)} of {len(steps())} steps are stale, about {sum(timed) / 60:.0f} min" + (f" and {len(stale) - len(timed)} of unknown length" if len(timed) < len(stale) else ""))
    for line in sets():
        print(line)
    for synth, reason in why.items():
        if reason:
            print(f"left out: {synth} ({reason})")
    for what in missing:
        print(f"missing: {what}")
    if SYNTH != "all" and why[SYNTH]:
        print(f"{SYNTH} was asked for and cannot be made here")
        return False
    return True


def task_plan():
    "What is stale, what it will cost, what is missing."
    return {"actions": [plan], "uptodate": [False]}


def task_notebook():
    "Every notebook of a profile and synth."
    for step in steps():
        yield {"name": step.name, "actions": [step.run], "uptodate": [step.done], "task_dep": [f"notebook:{name}" for name in step.after]}
