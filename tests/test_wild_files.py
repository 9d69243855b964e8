"""Files as they are found: thousands of DX7 files, some of them broken, and files that mean harm, for every reader."""
import io
import json
import os
import resource
import struct
import time
import tracemalloc
from pathlib import Path

import dexed
import mido
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthproxy.presets import FOR_ANY, READERS, Presets, read_presets, tal_values
from synthproxy.dx7_files import dx7_voices, read_dx7
from synthproxy.synths import MAX_FILE_BYTES, Problems, from_dx7, get_synth, sample, to_dx7, unpack_dx7

DEXED, FAUST = get_synth("dexed"), get_synth("faust_poly")
FILES = int(os.environ.get("WILD_FILES", 1000)) # 10,000 take a minute of a core
TEXT = b"Voices of the eighties, collected by hand. Have fun with them, and tell me which ones you like best! " * 3


def sysex(header: str, payload: bytes) -> bytes:
    return bytes.fromhex(header) + payload + bytes([-sum(payload) & 0x7F, 0xF7])


def bank_of(packed: np.ndarray) -> bytes:
    return sysex("f04300092000", packed.tobytes())


def single_of(packed: np.ndarray) -> bytes:
    return sysex("f0430000011b", dexed.Patch.from_packed(packed.tobytes()).to_sysex()[:155])


def in_midi(*messages: bytes) -> bytes: # a MIDI file with dumps
    file = mido.MidiFile(tracks=[mido.MidiTrack([mido.Message("note_on", note=60)]), mido.MidiTrack(mido.Message("sysex", data=m[1:-1]) for m in messages)])
    file.save(file=(content := io.BytesIO()))
    return content.getvalue()


def good_voices() -> np.ndarray: # (N, 128) packed: Dexed's cartridges where they are at hand, else sampled voices
    folder = Path(os.environ.get("SYNTHPROXY_PRESETS", "")) / "dexed"
    banks = [path.read_bytes() for path in sorted(folder.glob("*.syx"))] if folder.is_dir() else []
    packed = b"".join(bank[6:-2] for bank in banks) or b"".join(
        dexed.Patch.from_sysex(bytes(v)).to_packed() for v in to_dx7(DEXED, sample(DEXED, 640)))
    voices = [packed[i:i + 128] for i in range(0, len(packed), 128)]
    in_range = [v for v in voices if dexed.Patch.from_packed(v).to_packed()[:118] == v[:118]] # as the engine has them
    return np.frombuffer(b"".join(in_range), np.uint8).reshape(-1, 128)


GOOD = good_voices()


def wild_file(rng: np.random.Generator) -> tuple[bytes, np.ndarray, bool]: # content, voices to be read, to be named?
    kind = rng.integers(17)
    a, b = rng.integers(len(GOOD), size=(2, 32))
    one, two, cut = bank_of(GOOD[a]), bank_of(GOOD[b]), int(rng.integers(7, 4000))
    i, at, none = int(rng.integers(32)), int(rng.integers(6, 4102)), np.array([], int)
    single, foreign = single_of(GOOD[b[0]]), bytes.fromhex("f0411042124000f7")
    marked, zeroed = bytearray(one), GOOD[a].copy()
    marked[6 + 128 * i + 3] |= 0x80 # a byte of more than seven bits
    zeroed[i] = 0 # an empty place
    return [
        (one, a, False),
        (one + two, np.r_[a, b], False),
        (single + one + single + two, np.r_[b[0], a, b[0], b], False),
        (one + foreign + two, np.r_[a, b], True),
        (bytes(rng.integers(0, 128, 50, np.uint8)) + one, a, True),
        (one[:-2] + bytes([one[-2] ^ 1, 0xF7]), a, True), # a wrong checksum
        (one[6:-2], a, False), # no header
        (one[:cut], a[:(cut - 6) // 128], True),
        (bytes(int(rng.integers(1, 5000))), none, True),
        (bytes(rng.integers(0, 256, 3000, np.uint8)), none, True),
        (b"", none, True),
        (bytes(marked), a, True),
        (TEXT, none, True),
        (foreign * 3, none, True),
        (one[:-1] + two, np.r_[a, b], True), # no end
        (bank_of(zeroed), np.delete(a, i), True),
        (one[:at] + two, np.r_[a[:max(at - 6, 0) // 128], b], True), # cut, and another follows
    ][kind]


def test_thousands_of_wild_files(tmp_path):
    rng, expected, named = np.random.default_rng(11), [], set()
    for i in range(FILES):
        content, voices, bad = wild_file(rng)
        path = tmp_path / f"{i % 7}" / f"{i:05}.syx"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        expected.append((f"{i % 7}/{path.name}", voices))
        named |= {f"{i % 7}/{path.name}"} if bad else set()
    sources, voices = zip(*sorted(expected))
    started = time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read = read_presets("dexed", tmp_path)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert time.process_time() - started < 60 * max(1, FILES / 10_000)
    assert [s.split(":")[0] for s in read.sources] == [s for s, v in zip(sources, voices) for _ in v]
    played = np.stack([np.frombuffer(dexed.Patch.from_packed(v.tobytes()).to_sysex()[:155], np.uint8) for v in GOOD])
    assert np.array_equal(read.presets, from_dx7(DEXED, played)[np.concatenate(voices)])
    assert set(read.problems) == named and all(read.problems.values())
    assert read.duplicates == len(read.presets) - len(np.unique(read.presets, axis=0))
    assert grown < 1.2 * read.presets.nbytes + 400 * len(read.names) + 60e6


def test_a_large_file_of_zeros_costs_nothing(tmp_path):
    (tmp_path / "zeros.syx").touch()
    os.truncate(tmp_path / "zeros.syx", 200_000_000)
    (tmp_path / "small.syx").touch()
    os.truncate(tmp_path / "small.syx", MAX_FILE_BYTES) # the largest that is looked into
    started = time.process_time()
    tracemalloc.start()
    named = "small.syx: not voices: .* bytes, zeros; .*; zeros.syx: 200000000 bytes, expected at most 33554432"
    with pytest.raises(ValueError, match=f"no preset in 2 files; {named}"):
        read_presets("dexed", tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 3 * MAX_FILE_BYTES and time.process_time() - started < 5
    tracemalloc.stop()


@pytest.mark.parametrize("header", ["f0430000011b", "f04300092000", "f0", "f043"])
def test_a_file_of_nothing_but_headers_ends_soon(tmp_path, header):
    content = bytes.fromhex(header)
    (tmp_path / "h.syx").write_bytes(content * (MAX_FILE_BYTES // len(content)))
    started = time.process_time()
    with pytest.raises(ValueError, match="no DX7 voices"):
        read_presets("dexed", tmp_path)
    assert time.process_time() - started < 10


def test_a_midi_file_of_nothing_but_beginnings_ends_soon(tmp_path):
    event = b"\0\xf0\x07" + ONE[1:7] + b"\xf7"
    track = event * 60_000 + b"\0\xff\x2f\0"
    (tmp_path / "x.mid").write_bytes(b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk" + struct.pack(">I", len(track)) + track)
    started = time.process_time()
    with pytest.raises(ValueError, match="no DX7 voices"):
        read_presets("dexed", tmp_path)
    assert time.process_time() - started < 10


def test_voices_beyond_the_most_are_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr("synthproxy.dx7_files.MAX_PRESETS", 64)
    (tmp_path / "bare.dx7").write_bytes(GOOD[:100].tobytes())
    (tmp_path / "joined.syx").write_bytes(bank_of(GOOD[:32]) * 3)
    read = read_presets("dexed", tmp_path)
    assert len(read.names) == 128 and set(read.problems) == {"bare.dx7", "joined.syx"}
    assert "the rest is left out" in read.problems["joined.syx"] and "at most" in read.problems["bare.dx7"]
    monkeypatch.setattr("synthproxy.presets.MAX_TOTAL", 64)
    assert "left out, with all files after it" in read_presets("dexed", tmp_path).problems["joined.syx"]


def test_strict_is_the_first_wrong_thing(tmp_path):
    (tmp_path / "a.syx").write_bytes(bank_of(GOOD[:32]) + bank_of(GOOD[32:64]))
    assert len(read_presets("dexed", tmp_path, strict=True).names) == 64
    (tmp_path / "b.syx").write_bytes(bank_of(GOOD[:32]) + b"\0")
    with pytest.raises(ValueError, match=r"b\.syx: byte 4104: 1 bytes that belong to no message"):
        read_presets("dexed", tmp_path, strict=True)
    read = read_presets("dexed", tmp_path)
    assert len(read.names) == 96 and list(read.problems) == ["b.syx"]
    names, voices = read_dx7(tmp_path / "b.syx", strict=False)
    assert len(names) == 32 and np.array_equal(voices, unpack_dx7(GOOD[:32]))


ONE, SINGLE = bank_of(GOOD[:32]), single_of(GOOD[40])
named = GOOD[:32].copy()
named[:, 118:120] = 10 # names that begin with line ends
LINES = bank_of(named)


def in_pieces(*messages: bytes) -> bytes: # a MIDI file of a recorder that makes several events of a message
    parts = [part for m in messages for part in (b"\xf0" + m[1:60], b"\xf7" + m[60:100], b"\xf7" + m[100:])]
    events = b"".join(b"\0" + part[:1] + bytes([0x80 | (len(part) - 1) >> 7, (len(part) - 1) & 0x7F]) + part[1:] for part in parts) + b"\0\xff\x2f\0"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk" + struct.pack(">I", len(events)) + events


PERFORMANCES = sysex("f043007e2004", b"LM  8973PM" + bytes(200)) # of a DX7II, beside a bank
WILD = { # content, voices to be read, what is counted
    "format 0": (ONE[:3] + b"\0" + ONE[4:], GOOD[:32], {"mended": {"format of a bank": 1}}),
    "checksum": (ONE[:-2] + bytes([ONE[-2] ^ 1, 0xF7]), GOOD[:32], {"mended": {"checksums": 1}}),
    "volca": (SINGLE[:-2] + b"\x3f\xf7", GOOD[40:41], {"mended": {"checksums": 1}}),
    "no last byte": (ONE[:-1], GOOD[:32], {"mended": {"messages without an end": 1}}),
    "interrupted": (ONE[:1000], GOOD[:7], {"mended": {"messages that are cut": 1}}),
    "channels": (ONE[:2] + b"\x0f" + ONE[3:] + ONE, GOOD[[*range(32)] * 2], {}),
    "singles": (b"".join(map(single_of, GOOD[:32])), GOOD[:32], {}),
    "DX7II": (sysex("f04300060900", bytes(1152)) + ONE + PERFORMANCES + bytes.fromhex("f07e7f0601f7"), GOOD[:32],
              {"skipped": {"supplements of a DX7II's bank": 1, "a dump 'LM  8973PM' of a Yamaha": 1, "a message of any maker": 1}}),
    "mail": (b"From: a friend\r\n\r\n" + ONE + bytes(100), GOOD[:32], {"skipped": {"bytes outside messages": 118}}),
    "eight bits": (ONE[:700] + bytes([ONE[700] | 128, ONE[701] | 128]) + ONE[702:], GOOD[:32], {"mended": {"bytes of eight bits": 2}}),
    "clock": (ONE[:900] + b"\xf8\xfe" + ONE[900:], GOOD[:32], {"mended": {"clock ticks": 1}}),
    "MIDI": (in_midi(ONE, SINGLE), GOOD[[*range(32), 40]], {}),
    "MIDI, a message in three events": (in_pieces(ONE, SINGLE), GOOD[[*range(32), 40]], {}),
    "MIDI in RIFF": (b"RIFF" + bytes(4) + b"RMIDdata" + bytes(4) + in_midi(ONE), GOOD[:32], {}),
    "sent as text": (LINES.replace(b"\n", b"\r\n"), GOOD[:32], {"mended": {"line ends": 1}}),
    "filled block, bare": (ONE[6:-2] + b"\x1a" * 128, GOOD[:32], {"skipped": {"no voices": 1}}),
    "half a MIDI file": (in_midi(ONE, SINGLE)[:-100], GOOD[:32], {"mended": {"MIDI files": 1, "messages that are cut": 1}}),
}


@pytest.mark.parametrize("name", WILD)
def test_voices_are_read_wherever_they_are_and_all_else_is_counted(name, tmp_path):
    content, packed, counted = WILD[name]
    path = tmp_path / ("x.MID" if "MIDI" in name else "x.SYX")
    path.write_bytes(content)
    (tmp_path / "clean.syx").write_bytes(SINGLE)
    read = read_presets("dexed", tmp_path)
    assert np.array_equal(read.presets[1:], from_dx7(DEXED, unpack_dx7(packed)))
    assert read.sources[1:] == [f"{path.name}:{i}" for i in range(len(packed))]
    assert {what: read.report[what] for what in ("mended", "skipped") if read.report[what]} == counted and bool(read.problems) == bool(counted)
    if counted:
        with pytest.raises(ValueError, match=path.name):
            read_presets("dexed", path, strict=True)
    else:
        assert len(read_presets("dexed", path, strict=True).names) == len(packed)


def test_values_beyond_their_range_are_counted_by_parameter(tmp_path):
    packed = GOOD[:32].copy()
    (tmp_path / "x.syx").write_bytes(bank_of(packed))
    before = read_presets("dexed", tmp_path).report["clipped"] # of what the table allows
    packed[3, 14], packed[5, :2] = 127, 110 # a level of the sixth operator; two rates of its envelope
    (tmp_path / "x.syx").write_bytes(bank_of(packed))
    read = read_presets("dexed", tmp_path)
    after = read.report["clipped"]
    assert {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name)} == {"op6_output_level": 1, "op6_eg_rate_1": 1, "op6_eg_rate_2": 1} and "3 values beyond their range" in read.problems["x.syx"]
    voice = dexed.Patch.from_packed(packed[3].tobytes()).to_sysex()[:155]
    assert np.array_equal(read.presets[3], from_dx7(DEXED, np.frombuffer(voice, np.uint8)[None])[0])
    (tmp_path / "x.syx").write_bytes(bank_of(packed)[:-2] + b"\0\xf7") # no checksum vouches for them: a few are let through
    assert len(read_presets("dexed", tmp_path).names) == 32
    with pytest.raises(ValueError, match="values beyond their range"):
        read_presets("dexed", tmp_path, strict=True) if (tmp_path / "x.syx").write_bytes(bank_of(packed)) else None


FOUR = bytes([*range(73), *bytes(55)] * 32)
REFUSED = {
    "four operators": (sysex("f04300042000", FOUR), r"no DX7 voices \(1 times a bank of four operators \(DX21, DX11, TX81Z\), not a DX7's\)"),
    "four, bare": (FOUR, "not voices: 32 records of four operators"), "empty": (b"", "an empty file"), "zeros": (bytes(4096), "not voices: 4096 bytes, zeros"),
    "page": (b"\n<!DOCTYPE html><html>" + b"404 " * 99 + b"</html>", "a web page"), "Roland": (bytes.fromhex("f0411042124000f7"), "1 times a message of Roland"),
    "changes": (bytes.fromhex("f0431000011bf7") * 3, "3 times a parameter change"), "request": (bytes.fromhex("f0432009f7"), "a request for a dump"),
    "music": (in_midi(), "no DX7 voices"), "zip": (b"PK\3\4" + bytes(99), "a zip archive"), "text": (TEXT, "not voices: .* bytes, text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_dx7_is_refused_by_what_it_is(name, tmp_path):
    content, message = REFUSED[name]
    (tmp_path / "x.syx").write_bytes(content)
    with pytest.raises(ValueError, match=f"no preset in 1 files; x.syx: .*{message}"):
        read_presets("dexed", tmp_path)


def test_many_problems_are_counted_not_kept():
    found = Problems("x.syx", strict=False)
    _, good = dx7_voices(b"".join(bank_of(GOOD[:32])[:500] for _ in range(300)), found)
    assert good.sum() == 900 and len(found.reasons) == 5 and found.count == 300 and str(found).endswith("and 295 more")


def test_unpacking_is_the_engines():
    voices = unpack_dx7(GOOD)
    for packed, voice in zip(GOOD, voices):
        assert dexed.Patch.from_packed(packed.tobytes()).to_sysex()[:155] == voice.tobytes()


def test_the_plugin_reads_the_same_voices(tmp_path):
    plugin = get_synth("dexed_vst3")
    (tmp_path / "bank.syx").write_bytes(bank_of(GOOD[:32]))
    ours, theirs = (read_presets(name, tmp_path / "bank.syx") for name in ("dexed", "dexed_vst3"))
    columns = [plugin.names.index(name) for name in DEXED.names]
    assert theirs.names == ours.names and np.array_equal(theirs.presets[:, columns], ours.presets)
    assert np.array_equal(from_dx7(plugin, to_dx7(plugin, theirs.presets)), theirs.presets)
    with pytest.raises(ValueError, match="amsynth: 0 parameters with a byte of a DX7 voice"):
        to_dx7(get_synth("amsynth"), sample(get_synth("amsynth"), 1))


def test_folders_within_folders_links_and_things_that_are_no_files(tmp_path, monkeypatch):
    (tmp_path / "deep" / "x.json").mkdir(parents=True)
    (tmp_path / "deep" / "x.json" / "a.json").write_text('{"a": {"cutoff": 0.25}}')
    (tmp_path / "b.json").write_text('{"b": {"cutoff": 0.5}}')
    (tmp_path / "locked.json").write_text('{"c": {"cutoff": 0.5}}')
    (tmp_path / "deep" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere.json")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / os.fsdecode(b"\xff\n.json")).write_text("")
    opened = Path.open

    def refuse(path, *args, **more): # root may read everything, so that a locked file is one that says so
        if path.name == "locked.json":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **more)

    monkeypatch.setattr(Path, "open", refuse)
    read = read_presets("faust_poly", tmp_path)
    assert read.sources == ["b.json:0", "deep/x.json/a.json:0"]
    assert set(read.problems) == {"gone.json", "locked.json", "pipe.json", "??.json"}
    assert "Permission denied" in read.problems["locked.json"] and read.problems["pipe.json"] == "not a file"
    assert json.loads(json.dumps(read.problems).encode()) == read.problems
    with pytest.raises(ValueError, match="cannot be read"):
        read_presets("faust_poly", tmp_path, strict=True)


def test_home_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.json").write_text('{"a": {"cutoff": 0.25}}')
    (tmp_path / "mine.syx").write_bytes(bank_of(GOOD[:32]))
    assert read_presets("faust_poly", "~").names == ["a"] and len(read_dx7("~/mine.syx")[0]) == 32


HOSTILE = {
    "nested": (b'{"a":' * 100_000, "nested too deeply"), "lists": (b"[" * 100_000, "nested too deeply"),
    "empty": (b"", "not JSON"), "binary": (bytes(range(256)), "not JSON"), "cut": (b'{"a": {"cutoff": 0.', "not JSON"),
    "nan": (b'{"a": {"cutoff": NaN}}', "'a'.*parameter 'cutoff' is 'nan', expected a finite number"),
    "infinity": (b'{"a": {"cutoff": -Infinity}}', "parameter 'cutoff' is '-inf'"), "huge": (b'{"a": {"cutoff": 1e999}}', "is 'inf'"),
    "digits": (b'{"a": {"cutoff": 1' + b"0" * 5000 + b"}}", "is 'inf'"), "true": (b'{"a": {"cutoff": true}}', "is 'True'"),
    "null": (b'{"a": {"cutoff": null}}', "is 'None'"), "text": (b'{"a": {"cutoff": "0.5"}}', "is '0.5'"),
    "list": (b'{"a": {"cutoff": [1]}}', r"is '\[1.0\]'"), "twice": (b'{"a": {"cutoff": 0, "cutoff": 1}}', "parameter 'cutoff' comes twice"),
    "flat": (b'{"cutoff": 0.5}', "expected {preset name"), "number": (b"17", "expected {preset name"), "none": (b"{}", "no preset in 1 files"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_json_that_means_harm_is_one_error(tmp_path, name):
    content, message = HOSTILE[name]
    (tmp_path / "x.json").write_bytes(content)
    for synth in ("faust_poly", "talnm"):
        wanted = "expected programs of TAL" if synth == "talnm" and name == "number" else message
        with pytest.raises(ValueError, match=f"x.json: .*{wanted}" if name != "none" else wanted):
            read_presets(synth, tmp_path)


def test_a_file_without_presets_is_named(tmp_path):
    (tmp_path / "a.json").write_text('{"a": {"cutoff": 0.5}}')
    (tmp_path / "b.json").write_text("{}")
    (tmp_path / "c.json").write_text('{"c": {"azimuth": 1}}')
    read = read_presets("faust_poly", tmp_path)
    assert read.names == ["a"] and read.problems == {"b.json": "holds no preset", "c.json": "preset 0 ('c'): no parameter of faust_poly"}
    assert read.report["skipped"] == {"files without presets": 1, "presets of something else": 1} and not read.report["unknown"]
    with pytest.raises(ValueError, match="b.json: holds no preset"):
        read_presets("faust_poly", tmp_path / "b.json", strict=True)


def test_a_bad_preset_costs_itself_only(tmp_path):
    (tmp_path / "x.json").write_text('{"a": {"cutoff": 0.5}, "b": {"cutoff": NaN}, "c": 3, "d\\ud800\\n": {"cutoff": 1}, "a": {"cutoff": 0}}')
    read = read_presets("faust_poly", tmp_path)
    assert read.sources == ["x.json:0", "x.json:3", "x.json:4"] and read.names == ["a", "d", "a"]
    assert "preset 1 ('b'): parameter 'cutoff' is 'nan'" in read.problems["x.json"] and "preset 2 ('c')" in read.problems["x.json"]
    (tmp_path / "y.bank").write_text("amSynth\n<parameter> stray 1\n<preset> <name> a\n<parameter> amp_attack 1\n<parameter> amp_attack 2\n"
                                     "<preset> <name> b\n<parameter> amp_attack 1e999\n<preset> <name> c\n<parameter> amp_attack 1.25\n<preset> <name> d\n<parameter> amp")
    read = read_presets("amsynth", tmp_path / "y.bank")
    assert read.names == ["c"] and read.presets[0][get_synth("amsynth").names.index("amp_attack")] == .5
    assert all(f"preset {i}" in read.problems["y.bank"] for i in (0, 1, 3))
    (tmp_path / "x.h2p").write_bytes(b"#cm=ENV1\nAtk=soft\n")
    with pytest.raises(ValueError, match=r"x.h2p: preset 0 \('x'\): ENV1:Atk is 'soft', expected a finite number"):
        read_presets("diva", tmp_path / "x.h2p", strict=True)


XML = '<?xml version="1.0"?>{}<tal version="1.7"><programs><program programname="a" cutoff="{}"/><program programname="b" cutoff=".5"/></programs></tal>'


def test_xml_that_means_harm(tmp_path):
    bomb = "<!DOCTYPE l [<!ENTITY a 'lol'>" + "".join(f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefgh", "bcdefghi")) + "]>"
    path = tmp_path / "x.noisemakerpreset"
    for content in (XML.format(bomb, "&i;"), XML.format("<!DOCTYPE a SYSTEM 'file:///etc/passwd'>", ".1")):
        path.write_text(content)
        with pytest.raises(ValueError, match="document type declaration"):
            read_presets("talnm", tmp_path)
    path.write_text("<a>" * 200_000)
    with pytest.raises(ValueError, match="x.noisemakerpreset: not XML"):
        read_presets("talnm", tmp_path)
    path.write_text(XML.format("", ".25")[:-40]) # cut within the second program
    assert read_presets("talnm", tmp_path).names == ["a"] and "cut or damaged" in read_presets("talnm", tmp_path).problems[path.name]
    path.write_text(XML.format("", "wide"))
    assert read_presets("talnm", tmp_path).names == ["b"]


def test_many_unknown_names_take_their_time_only_once(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"a": {"cutoff": 0.5, **{f"name {i}": 0.5 for i in range(50_000)}}}))
    started = time.process_time()
    assert len(read_presets("faust_poly", tmp_path).report["unknown"]) == 50_000
    assert time.process_time() - started < 10


STATE = b"VC2!" + len(XML.format("", ".25")).to_bytes(4, "little") + XML.format("", ".25").encode() + b"\0"
WRAPPED = {".fxp": b"CcnK\0\0\0\0FPCh" + bytes(48), ".fxb": b"CcnK\0\0\0\0FBCh" + bytes(148), ".vstpreset": b"VST3" + bytes(44)}
SEEDS = {
    ".json": [b'{"a": {"cutoff": 0.5}, "b": {"x": 1}}', b'[{"name": "a", "v": {"cutoff": 0.5}}]'], ".h2p": [b"#cm=ENV1\nAtk=25.00\n#cm=FX1\nModule='Phaser1'\n"],
    ".bank": [b"amSynth\n<preset> <name> a\n<parameter> amp_attack 1\n"], ".noisemakerpreset": [XML.format("", ".25").encode()],
    ".syx": [bank_of(GOOD[:32]), single_of(GOOD[0])], ".dx7": [GOOD[:2].tobytes()],
    **{suffix: [WRAPPED[suffix] + STATE] for suffix in WRAPPED},
    ".mid": [in_midi(bank_of(GOOD[:32]))], ".midi": [in_midi(single_of(GOOD[0]), single_of(GOOD[1]))]}


@st.composite
def harmful(draw, suffix: str) -> bytes: # anything, or something good with anything in it
    if draw(st.booleans()):
        return draw(st.binary(max_size=600))
    good = draw(st.sampled_from(SEEDS[suffix]))
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(good))] * 2)))
    return good[:start] + draw(st.one_of(st.binary(max_size=20), st.sampled_from([b"NaN", b"1e999", b"null", b"[", b"{", b'"', b"<!DOCTYPE a>", b"\0", b"=", b"-1"]))) + good[end:]


@pytest.mark.parametrize("synth, suffix", sorted({*READERS, *(("faust_poly", suffix) for suffix in FOR_ANY), ("diva", ".json")}))
def test_any_bytes_are_presets_or_a_value_error(synth, suffix, tmp_path):
    path = tmp_path / f"x{suffix}"

    @given(harmful(suffix), st.booleans())
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    def check(content, strict):
        path.write_bytes(content)
        try:
            read = read_presets(synth, path, strict=strict)
        except ValueError as error:
            assert path.name in str(error)
        else:
            assert isinstance(read, Presets) and len(read.presets) == len(read.names) == len(read.sources) > 0
            assert np.isfinite(read.presets).all() and all(name.isprintable() for name in read.names)

    check()


@given(st.dictionaries(st.sampled_from(["filtertype", "osc1waveform", "osc2waveform", "voices"]), st.floats(-10, 20)), st.floats(0, 3))
def test_any_program_of_any_version_stays_a_program(values, version):
    assert set(tal_values(values, version)) == set(values) and np.isfinite(list(tal_values(values, version).values())).all()


def test_an_amsynth_bank_as_people_have_it(tmp_path):
    path = tmp_path / "mine.BANK"
    path.write_bytes("\ufeffamSynth\r\n<preset> <name> a\r\n<parameter> amp_attack 1,25\r\n<parameter> filter_cutoff 0,5\r\nEOF\r\n".encode())
    read, table = read_presets("amsynth", tmp_path), get_synth("amsynth")
    assert read.presets[0][table.names.index("amp_attack")] == .5 and read.report["mended"] == {"decimal commas": 2}
    with pytest.raises(ValueError, match="mine.BANK: line 3: '1,25' has a comma for a point"):
        read_presets("amsynth", tmp_path, strict=True)
    one = "<preset> <name> {}\n<parameter> amp_attack 1\n<parameter> amp_decay 1\n"
    path.write_text("amSynth\n" + one.format("a") + one.format("b") + "<preset> <name> c\n<parameter> amp_attack 1\n") # cut between two lines
    read = read_presets("amsynth", tmp_path)
    assert read.names == ["a", "b"] and "line 9: preset 2 ('c') has 1 parameters, the one before 2, and no EOF follows: the file is cut there" in read.problems["mine.BANK"]
    path.write_text(path.read_text() + "EOF\n") # one that is short on purpose
    assert read_presets("amsynth", tmp_path, strict=True).names == ["a", "b", "c"]


@pytest.mark.parametrize("content", ['{"a": {"cutof": 0.5}, "b": {}, "c": {"cutoff": 0.5}}', '{"a": {"x": 1, "y": 2}, "b": {"z": 1}, "c": {"cutoff": 0.5}}'])
def test_a_preset_of_something_else_is_not_the_default(content, tmp_path):
    (tmp_path / "x.json").write_text(content)
    read = read_presets("faust_poly", tmp_path)
    assert read.names == ["c"] and read.sources == ["x.json:2"] and read.problems == {"x.json": "preset 0 ('a'): no parameter of faust_poly; so are 1 more"}
    assert read.report["skipped"] == {"presets of something else": 2}


def test_a_preset_of_another_u_he_synth_is_refused(tmp_path):
    (tmp_path / "x.h2p").write_bytes(b"#AM=Zebra2\n#cm=ENV1\nAtk=25.00\n")
    with pytest.raises(ValueError, match="x.h2p: a preset of Zebra2, expected one of diva"):
        read_presets("diva", tmp_path)
    (tmp_path / "x.h2p").write_bytes(b"#AM=Diva\n#cm=ENV1\nAtk=25.00\n")
    assert read_presets("diva", tmp_path).names == ["x"]
