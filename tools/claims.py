"""The README's claims, checked: `make claims` runs each command of claims.csv, whose last word is a number, and compares.

The commands that recompute a number from what ships are subcommands of this file: `python tools/claims.py ranked dexed/opsnap handcrafted mrr`.
"""
import argparse
import csv
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "claims.csv" # claim, command, expected, tolerance, minutes
NO_WEIGHTS = "no weights" # said instead of a number


def ranked(proxy: str, split: str, metric: str) -> float:
    "A ranking metric of a shipped proxy, preset to audio, as the evaluation computes it."
    from synthproxy import SynthProxy
    from synthproxy.datasets import get_dataset
    from synthproxy.evaluation import evaluate_proxy
    from synthproxy.project import SHIPPED, get_profile

    dataset, size = get_dataset(proxy.split("/")[0], SHIPPED, split), get_profile(SHIPPED)
    found = evaluate_proxy(SynthProxy.from_pretrained(proxy), dataset, size.gallery, size.subsets)
    return float(found[(found.metric == metric) & (found.direction == "p2a") & (found.group == "all")].value.item())


def differing_samples(presets: int) -> float:
    "Samples in which the batch engine and dexed-py differ, over hand-crafted presets."
    from synthproxy.datasets import get_dataset
    from synthproxy.dx7_batch import engine_render, render_batch
    from synthproxy.notes import Note
    from synthproxy.project import SHIPPED
    from synthproxy.synths import get_synth, to_dx7

    voices = to_dx7(get_synth("dexed"), get_dataset("dexed", SHIPPED, "handcrafted").presets[:presets])
    ours, true = (play(voices, Note(), 32_000) for play in (render_batch, engine_render))
    return float((ours != true).sum())


def weights(encoder: str) -> float:
    "Weights of an encoder of the paper in its full size."
    from synthproxy.preset_encoders import build_encoder, count_weights

    return count_weights(build_encoder(encoder, "dexed", 192))


def made_again(synth: str) -> float | None:
    "The largest difference between eight rows of the shipped test set and the same rows made now; None without weights."
    import numpy as np

    from synthproxy.audio_models import have_weights
    from synthproxy.datasets import Recipe, get_dataset, make_rows
    from synthproxy.project import SHIPPED

    if not have_weights("mn04"):
        return None
    dataset = get_dataset(synth, SHIPPED, "test")
    made, _ = make_rows(Recipe(synth, "mn04", len(dataset), 600), range(1000, 1008))
    return max(float(np.abs(made[name] - dataset.read(name, 1000, 1008)).max()) for name in ("presets", "embeddings"))


def claims() -> list[dict[str, str]]:
    "The table's rows."
    return list(csv.DictReader(TABLE.read_text().splitlines()))


def check(row: dict[str, str]) -> tuple[bool, str]: # does it hold, and what was found
    "Run a claim's command and compare its last word."
    words = shlex.split(row["command"])
    run = subprocess.run([sys.executable, *words[1:]] if words[0] == "python" else words, cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        return False, f"the command failed: {run.stderr.strip().splitlines()[-1]}"
    if run.stdout.strip().endswith(NO_WEIGHTS):
        return True, f"not checked: {NO_WEIGHTS} of mn04"
    found = float(run.stdout.split()[-1])
    return abs(found - float(row["expected"])) <= float(row["tolerance"]) + 1e-12, f"{found:g}"


def check_all(rows: list[dict[str, str]] | None = None) -> bool:
    "Check every claim, and say so."
    held = []
    for row in claims() if rows is None else rows:
        start = time.monotonic()
        holds, found = check(row)
        held.append(holds)
        print(f"{'holds' if holds else 'DOES NOT HOLD':13}  {row['claim']}: {row['expected']} ± {row['tolerance']}, found {found} ({time.monotonic() - start:.0f} s)", flush=True)
    print(f"claims: {sum(held)} of {len(held)} hold")
    return all(held)


def main() -> None:
    "Print one number, or check the whole table where nothing is asked for."
    numbers: dict[str, tuple[Callable, list[str]]] = {
        "ranked": (ranked, ["proxy", "split", "metric"]), "differing_samples": (differing_samples, ["presets:int"]),
        "weights": (weights, ["encoder"]), "made_again": (made_again, ["synth"])}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="number")
    for name, (compute, arguments) in numbers.items():
        command = commands.add_parser(name, help=compute.__doc__)
        for argument in arguments:
            command.add_argument(argument.removesuffix(":int"), type=int if argument.endswith(":int") else str)
    given = vars(parser.parse_args())
    if (name := given.pop("number")) is None:
        sys.exit(not check_all())
    value = numbers[name][0](**given)
    print(NO_WEIGHTS if value is None else f"{value:.9g}")


if __name__ == "__main__":
    main()
