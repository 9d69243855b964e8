"""A folder with a wheel and what it requires, and nothing else: `python tools/core_only.py WHEEL FOLDER` links the packages of this environment.

With it as the only PYTHONPATH of `python -S` the wheel runs as after `pip install` into an empty environment, without installing torch a second time.
"""
import re
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement


def required(requirements: list[str]) -> set[str]: # names of distributions
    "What is required without extras, and what that requires."
    found, left = set(), [Requirement(text) for text in requirements]
    while left:
        wanted = left.pop()
        if wanted.marker and not wanted.marker.evaluate(default_environment() | {"extra": ""}):
            continue
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name not in found:
            found.add(name)
            left += [Requirement(text) for text in distribution(name).requires or []]
    return found


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
    for name in sorted(required(re.findall(r"^Requires-Dist: (.+)$", metadata, re.M))):
        link(name, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
