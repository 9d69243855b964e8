"""Folders and archives of presets as tables."""
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthproxy.preset_tables import displayed, main
from synthproxy.presets import read_presets
from synthproxy.synths import encode, get_synth, list_synths, sample
from synthproxy.writers import write_presets

DEXED = get_synth("dexed")
PRESETS = sample(DEXED, 32, seed=6)
NAMES = [f"voice {i}" for i in range(32)]


@pytest.fixture
def bank(tmp_path) -> bytes:
    return write_presets("dexed", tmp_path / "made" / "bank.syx", PRESETS, NAMES).read_bytes()


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "collection"
    path.mkdir()
    return path


def test_a_folder_as_a_table(folder, bank):
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "ONE.SYX").write_bytes(bank)
    (folder / "deep" / "._ONE.SYX").write_bytes(b"\0\5\x16\7")
    (folder / "page.syx").write_text("<html>404</html>")
    run = subprocess.run([Path(sys.executable).parent / "synthproxy-presets", folder, "--synth", "dexed", "-o", "presets.csv"], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "presets.csv: 32 different presets of 32" in run.stdout and "page.syx: not voices: 16 bytes, a web page" in run.stdout and "side files of macOS 1" in run.stdout
    table, report = pd.read_csv(folder / "presets.csv"), json.loads((folder / "presets.report.json").read_text())
    assert list(table.source) == [f"deep/er/ONE.SYX:{i}" for i in range(32)] and table.name.tolist() == NAMES and table.copies.isna().all()
    assert report["different"] == 32 and set(report["problems"]) == {"page.syx"} and report["report"]["skipped"]["files without presets"] == 1
    values = encode(DEXED, PRESETS)[:, [p.used for p in DEXED.parameters]]
    np.testing.assert_allclose(table[list(DEXED.names)], values, atol=1e-6)
    assert set(table["op1_mode shown"]) <= {"ratio", "fixed"} and table["algorithm shown"].between(1, 32).all() and table["op2_output_level shown"].between(0, 99).all()


@pytest.mark.parametrize("given, said", [
    (["nowhere"], "no .dx7, .fxb"), ([".", "-o", "x.xls"], "unknown ending '.xls'"), ([".", "--synth", "dexd"], "did you mean 'dexed'?"), (["bad.zip"], "no preset in 1 files")])
def test_wrong_words_are_one_line(folder, given, said, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "bad.zip").write_bytes(b"PK\3\4 and then nothing")
    with pytest.raises(SystemExit, match=f"synthproxy-presets: .*{said}"):
        main(given)
    assert not list(folder.glob("*.csv")) and not list(folder.glob(".*"))


def test_archives_are_read_like_folders(folder, bank, tmp_path):
    with zipfile.ZipFile(folder / "b.ZIP", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("two/../../../evil.syx", bank)
        archive.writestr("__MACOSX/two/._evil.syx", b"\0\5\x16\7")
        archive.writestr("cut.syx", bank[:1000])
        archive.writestr("notes.txt", b"hello")
        archive.writestr("inner.zip", b"PK")
    (folder / "a.syx").write_bytes(bank)
    read = read_presets("dexed", folder)
    assert np.array_equal(read.presets, PRESETS[[*range(32), *range(7), *range(32)]])
    assert [source.rpartition(":")[0] for source in read.sources] == ["a.syx"] * 32 + ["b.ZIP/cut.syx"] * 7 + ["b.ZIP/two/../../../evil.syx"] * 32
    assert set(read.problems) == {"b.ZIP/cut.syx"} and read.report["skipped"] == {"side files of macOS": 1} and not (tmp_path / "evil.syx").exists()
    assert np.array_equal(read_presets("dexed", folder / "b.ZIP").presets, read.presets[32:])
    with pytest.raises(ValueError, match=r"b.ZIP/cut.syx: byte 0: a message of 994 bytes"):
        read_presets("dexed", folder, strict=True)


def test_a_u_he_preset_keeps_its_name_in_an_archive(folder):
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("leads/wobble bass.h2p", b"#cm=ENV1\nAtk=25.00\n")
    assert read_presets("diva", folder).names == ["wobble bass"]


def test_archives_that_mean_harm_cost_themselves_only(folder, bank, monkeypatch):
    (folder / "good.syx").write_bytes(bank)
    for name, content in {"empty.zip": b"", "text.zip": b"hello", "cut.zip": b"PK\3\4" + bytes(30), "list.zip": b"PK\5\6" + bytes(8) + b"\xff" * 4 + bytes(6)}.items():
        (folder / name).write_bytes(content)
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.syx", bytes(40_000_000))
        archive.writestr("ok.syx", bank)
    with zipfile.ZipFile(folder / "flipped.zip", "w") as archive:
        archive.writestr("one.syx", bank)
    content = bytearray((folder / "flipped.zip").read_bytes())
    content[200] ^= 1
    (folder / "flipped.zip").write_bytes(content)
    read = read_presets("dexed", folder)
    assert len(read.names) == 64 and set(read.problems) == {"empty.zip", "text.zip", "cut.zip", "list.zip", "bomb.zip", "flipped.zip"}
    assert "zeros.syx: too large" in read.problems["bomb.zip"] and "one.syx: cannot be unpacked (Bad CRC-32" in read.problems["flipped.zip"]
    assert "a list of files of 4294967295 bytes" in read.problems["list.zip"]
    monkeypatch.setattr("synthproxy.presets.MAX_ZIP_BYTES", 100)
    assert "ok.syx: too large" in read_presets("dexed", folder).problems["bomb.zip"]


@pytest.mark.parametrize("name", list_synths())
def test_every_parameter_can_be_shown(name):
    synth = get_synth(name)
    values = encode(synth, sample(synth, 20, seed=1))
    for i, parameter in enumerate(synth.parameters):
        shown = displayed(parameter, values[:, i])
        assert len(shown) == 20 and all(isinstance(one, (int, float, str)) for one in shown)
        if parameter.steps: # one for each step
            assert len(set(displayed(parameter, np.arange(parameter.steps + 1) / parameter.steps))) == parameter.steps + 1
