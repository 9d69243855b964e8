"""A folder with a wheel and what it requires, and nothing else: `python tools/core_only.py WHEEL FOLDER` links the packages of this environment.

With it as the only PYTHONPATH of `python -S` the wheel runs as after `pip install` into an empty environment, without installing torch a second time.
"""
import re
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from requirements import brought


def link(name: str, folder: Path) -> None:
    "Link what a distribution has put into site-packages."
    installed = distribution(name)
    for top in {file.parts[0] for file in installed.files or [] if file.parts[0] not in ("..", "__pycache__")}:
        if not (folder / top).exists():
            (folder / top).symlink_to(installed.locate_file(top))


def main(wheel: str, folder: str) -> None:
    "Unpack the wheel, link the rest."
    target = Path(folder)
    with zipfile.ZipFile(wheel) as file:
        file.extractall(target)
    metadata = next(target.glob("*.dist-info/METADATA")).read_text()
    for name in sorted(brought(re.findall(r"^Requires-Dist: (.+)$", metadata, re.M))):
        link(name, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
