"""What an installation brings: packages and megabytes of the core and of each extra, from what is installed here, into results/installation.csv.

`python tools/installation.py`, in an environment with every extra (`make setup`, `make docs`). Sizes are those of the installed files, without compiled bytecode.
"""
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pandas as pd
from requirements import brought

from synthproxy.project import provenance

ROOT = Path(__file__).parent.parent
EXTRAS = ("render", "plots", "pipeline", "hpo", "studies", "cluster", "docs", "dev")


def megabytes(names: set[str]) -> float:
    "Size of the installed files of some distributions."
    files = {file.locate().resolve() for name in names for file in distribution(name).files or [] if file.suffix != ".pyc"}
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def main() -> None:
    "Measure and write."
    core, rows = brought(["synthproxy"]), []
    for extra in ("", *EXTRAS):
        try:
            names = brought([f"synthproxy[{extra}]"]) - core if extra else core - {"synthproxy"}
        except PackageNotFoundError as error:
            sys.exit(f"{extra}: {error} is not installed; `make setup` and `make docs` install everything")
        rows.append((extra or "core", len(names), round(megabytes(names), 1)))
        if not extra:
            rows.append(("torch, of the core", len(brought(["torch"])), round(megabytes({"torch"}), 1)))
    made = provenance()
    table = pd.DataFrame(rows, columns=["part", "packages", "mb"]).assign(hardware=made["hardware"], commit=made["commit"])
    table.to_csv(ROOT / "results" / "installation.csv", index=False, lineterminator="\n")
    print(table.to_markdown(index=False))


if __name__ == "__main__":
    main()
