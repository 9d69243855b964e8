"""The core predicts; what an extra brings is said where it is missing."""
import ast
import re
import sys
from configparser import ConfigParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from synthproxy.extras import EXTRAS, extra_of

ROOT = Path(__file__).parent.parent
CORE = "requirements"


def required() -> dict[str, set[str]]: # extra, or "requirements" -> distributions
    ini = ConfigParser(delimiters=["="])
    ini.read(ROOT / "settings.ini")
    keys = [key for key in ini["DEFAULT"] if key.endswith("requirements")]
    return {key.removesuffix("_requirements"): {plain(re.split("[<>=]", word)[0]) for word in ini["DEFAULT"][key].split()} for key in keys}


def plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def test_every_import_is_of_the_core_or_of_an_extra_that_brings_it():
    imported, owners, needed = set(), packages_distributions(), required()
    for path in (ROOT / "synthproxy").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            imported |= {name.partition(".")[0] for name in names}
    imported -= {*sys.stdlib_module_names, "synthproxy", "llvmlite"} # numba's own
    for module in imported:
        extra = extra_of(module)
        brings = needed[extra or CORE]
        assert {plain(owner) for owner in owners[module]} & brings, f"{module}: not required by {extra or 'the core'}"
    known = {module for modules in EXTRAS.values() for module in modules}
    assert len(known) == sum(map(len, EXTRAS.values()))
    for extra, modules in EXTRAS.items():
        for module in modules:
            assert {plain(owner) for owner in owners[module]} & needed[extra], f"{module} is not of {extra}"


@pytest.mark.parametrize("importer, said", [("synthproxy.anything", "synthproxy.anything needs {0}, which is not installed: pip install 'synthproxy[plots]'"), ("another", "No module named '{0}'")])
def test_only_our_own_imports_are_answered(monkeypatch, importer, said):
    monkeypatch.setitem(EXTRAS, "plots", ("not_there_at_all",))
    with pytest.raises(ModuleNotFoundError) as error:
        exec("import not_there_at_all", {"__name__": importer})
    assert str(error.value) == said.format("not_there_at_all")
    import importlib.util

    assert importlib.util.find_spec("not_there_at_all") is None # another package that asks is told no
