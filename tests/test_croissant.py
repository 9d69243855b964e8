"""Metadata of the evaluation sets: what the tool makes, valid, and true of the files."""
import hashlib
import importlib.util
import json
from pathlib import Path

import mlcroissant
import pytest

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("make_croissant", ROOT / "tools" / "make_croissant.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)
SETS = {folder.relative_to(ROOT / "data").as_posix(): folder for folder in tool.shipped_sets()}


def test_every_set_has_metadata():
    assert {"dexed/cpu/test", "dexed/cpu/handcrafted", "amsynth/cpu/test", "faust_poly/cpu/handcrafted"} <= set(SETS)


@pytest.mark.parametrize("name", SETS)
def test_metadata_are_valid_and_true(name):
    folder = SETS[name]
    content = json.loads((folder / tool.NAME).read_text())
    assert content == tool.croissant(folder), "run python tools/make_croissant.py"
    dataset = mlcroissant.Dataset(jsonld=folder / tool.NAME) # raises where it is not valid
    assert not dataset.metadata.ctx.issues.errors
    files = {file.name: file for file in dataset.metadata.distribution}
    assert list(files) == [shard["file"] for shard in json.loads((folder / "manifest.json").read_text())["shards"]]
    for file in files.values():
        assert hashlib.sha256((folder / file.name).read_bytes()).hexdigest() == file.sha256
        assert file.content_size == f"{(folder / file.name).stat().st_size} B"


def test_what_is_wrong_is_found(tmp_path):
    content = json.loads((SETS["faust_poly/cpu/test"] / tool.NAME).read_text())
    del content["distribution"][0]["sha256"], content["name"]
    (tmp_path / "wrong.json").write_text(json.dumps(content))
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(jsonld=tmp_path / "wrong.json")
