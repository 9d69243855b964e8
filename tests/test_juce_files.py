"""What hosts save of plug-ins made with JUCE: for TAL-NoiseMaker, and for a synth that a user has added."""
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from synthproxy.juce_files import WRAPPED
from synthproxy.presets import read_presets
from synthproxy.synths import get_synth
from synthproxy.writers import write_presets


def state(xml: str) -> bytes:
    return b"VC2!" + struct.pack("<I", len(xml.encode())) + xml.encode() + b"\0"


def wrap(content: bytes, suffix: str, name: bytes = b"") -> bytes: # lengths and lists as the formats' descriptions say
    if suffix == ".vstpreset":
        parts = [(b"Comp", 48, len(content)), (b"Cont", 48 + len(content), 0)]
        listed = b"List" + struct.pack("<i", len(parts)) + b"".join(struct.pack("<4sqq", *part) for part in parts)
        return b"VST3" + struct.pack("<i32sq", 1, b"5653544E6F69734D6E6F6973656D616B", 48 + len(content)) + content + listed
    kind, head = (b"FPCh", name.ljust(28, b"\0")) if suffix == ".fxp" else (b"FBCh", bytes(128))
    inner = kind + struct.pack(">i4sii", 1, b"Nois", 1, 1) + head + struct.pack(">i", len(content)) + content
    return b"CcnK" + struct.pack(">i", len(inner)) + inner


def factory() -> list[dict]:
    folder = Path(os.environ.get("SYNTHPROXY_PRESETS", "")) / "talnm"
    if not folder.is_dir():
        pytest.skip("SYNTHPROXY_PRESETS names no folder with TAL-NoiseMaker's programs")
    return json.loads(next(folder.glob("*.json")).read_text())


@pytest.mark.parametrize("suffix", WRAPPED)
def test_programs_are_the_same_in_every_wrapping(suffix, tmp_path):
    programs = factory()
    (tmp_path / "all.json").write_text(json.dumps(programs))
    presets = read_presets("talnm", tmp_path).presets
    file = write_presets("talnm", tmp_path / "all.noisemakerpreset", presets, [p["name"] for p in programs])
    xml, bare = file.read_text(), read_presets("talnm", file)
    for content in (state(xml), wrap(state(xml), ".fxb")): # the second as hosts do that load a VST2 into a VST3
        path = tmp_path / f"all{suffix}"
        path.write_bytes(wrap(content, suffix))
        read = read_presets("talnm", path, strict=True)
        assert read.names == bare.names and len(read.names) == 256 and np.array_equal(read.presets, presets)
        assert not read.problems


def test_a_version_counts_in_a_wrapping_too(tmp_path):
    (tmp_path / "old.fxp").write_bytes(wrap(state('<tal version="1.6"><programs><program programname="a" filtertype="0.2222"/></programs></tal>'), ".fxp"))
    read = read_presets("talnm", tmp_path)
    assert read.presets[0, get_synth("talnm").names.index("filter_type")] == 2


@pytest.mark.parametrize("suffix", WRAPPED)
def test_a_cut_bank_gives_what_is_whole(suffix, tmp_path):
    xml = '<tal version="1.7"><programs>' + "".join(f'<program programname="{i}" cutoff="0.{i}"/>' for i in range(8)) + "</programs></tal>"
    whole = wrap(state(xml), suffix)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(whole[:whole.index(b'programname="5"')])
    read = read_presets("talnm", path)
    assert read.names == list("01234") and "the file is cut" in read.problems[path.name] and read.report["mended"] == {"files that are cut": 2}
    with pytest.raises(ValueError, match="bytes of XML, expected"):
        read_presets("talnm", path, strict=True)


SPEC = """name,type,default,low,high,values,weights,steps,address,used,module,file_name,file_low,file_high
cutoff,num,0.5,0,1,,,,Filter Cutoff,1,,filterFreq,20,1020
shape,cat,0,0,1,0 0.5 1,,2,Shape,1,,,0,2
width,num,0.5,0,1,,,,Width,1,,,,
"""


@pytest.fixture
def mine(tmp_path, monkeypatch): # a synth that a user has added
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "mine.csv").write_text(SPEC)
    monkeypatch.setenv("SYNTHPROXY_SPECS", str(tmp_path / "specs"))
    (tmp_path / "presets").mkdir()
    return tmp_path / "presets"


def test_any_synths_own_units(mine):
    parameters = '<Mine><PARAM id="filterFreq" value="{}"/><PARAM id="shape" value="2.0"/><PARAM id="width" value="0.75"/><PARAM id="glow" value="1"/><UI look="x"/></Mine>'
    (mine / "soft.fxp").write_bytes(wrap(state(parameters.format(270)), ".fxp", b"soft lead"))
    (mine / "warm.vstpreset").write_bytes(wrap(state(parameters.format(2000)), ".vstpreset"))
    programs = "".join(f'<program programName="{name}" filterFreq="{hertz}" Shape="1"/>' for name, hertz in (("a", 20), ("b", 520)))
    (mine / "bank.fxb").write_bytes(wrap(state(f"<Mine><programs>{programs}</programs></Mine>"), ".fxb"))
    read = read_presets("mine", mine)
    assert read.names == ["a", "b", "soft lead", "warm"]
    assert read.presets.tolist() == [[0, 1, .5], [.5, 1, .5], [.25, 2, .75], [1, 2, .75]]
    assert read.report["unknown"] == {"glow": 2} and read.report["clipped"] == {"cutoff": 1} and read.report["missing"] == {"width": 2}


@pytest.mark.parametrize(("content", "message"), [
    (state('<Mine><PARAM id="width" value="7"/></Mine>'), "parameter 'width' is 7, expected 0 to 1; if the plug-in keeps its own units"),
    (state('<Mine><PARAM id="width" value="wide"/></Mine>'), "parameter 'width' is 'wide', expected a finite number"),
    (state('<Other><PARAM id="gain" value="1"/></Other>'), "no parameter of mine"),
    (state("<Mine>")[:-1], "not XML"),
    (state("<!DOCTYPE a [<!ENTITY b 'lol'>]><a/>"), "document type declaration"),
    (b"amSynth1.0preset\n<preset> <name> a\n", "keeps no XML of JUCE"),
])
def test_what_cannot_be_read_is_named(mine, content, message):
    (mine / "x.vstpreset").write_bytes(wrap(content, ".vstpreset"))
    with pytest.raises(ValueError, match=f"no preset in 1 files; x.vstpreset: .*{message}"):
        read_presets("mine", mine)


def test_numbers_without_names_are_refused_for_what_they_are(mine):
    for kind in (b"FxCk", b"FxBk"):
        (mine / "x.fxp").write_bytes(b"CcnK" + bytes(4) + kind + struct.pack(">i4sii28s3f", 1, b"Mine", 1, 3, b"name", .1, .2, .3))
        with pytest.raises(ValueError, match="x.fxp: numbers in the order of a plug-in's parameters, without names"):
            read_presets("mine", mine)
    (mine / "x.fxp").write_bytes(b"<html>")
    with pytest.raises(ValueError, match="x.fxp: expected a plug-in's state"):
        read_presets("mine", mine)


@pytest.mark.parametrize("synth", ["dexed", "dexed_vst3"])
def test_dexeds_own_state_is_not_the_default_voice(synth, tmp_path): # it keeps a cartridge in letters, and of its parameters those that no voice has
    state_of_dexed = '<dexedState cutoff="1.0" reso="0.0" gain="1.0" currentProgram="3"><dexedBlob sysex="4104.abc" program="161.def"/></dexedState>'
    (tmp_path / "x.fxp").write_bytes(wrap(state(state_of_dexed), ".fxp", b"brass"))
    with pytest.raises(ValueError, match=f"x.fxp: preset 0 .*: no parameter of {synth}"):
        read_presets(synth, tmp_path)


def test_what_the_table_calls_something_else_does_not_count(mine):
    parameters = '<Mine><PARAM id="filterFreq" value="270"/><PARAM id="cutoff" value="3"/><PARAM id="width" value="1"/></Mine>'
    (mine / "x.fxp").write_bytes(wrap(state(parameters), ".fxp"))
    read = read_presets("mine", mine)
    assert read.presets.tolist() == [[.25, 0, 1]] and read.report["unknown"] == {"xml:cutoff": 1}
