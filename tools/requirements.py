"""What requirements bring: themselves, and what those that are installed here require."""
from importlib.metadata import distribution

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def brought(requirements: list[str]) -> set[str]: # names of distributions; PackageNotFoundError for one that is not installed
    "Follow requirements, with the extras that they name."
    found, left = set(), [(Requirement(text), "") for text in requirements]
    while left:
        wanted, of_extra = left.pop()
        if wanted.marker and not wanted.marker.evaluate(default_environment() | {"extra": of_extra}):
            continue
        name = canonicalize_name(wanted.name)
        for extra in {"", *wanted.extras} - {extra for known, extra in found if known == name}:
            found.add((name, extra))
            left += [(Requirement(text), extra) for text in distribution(name).requires or []]
    return {name for name, _ in found}
