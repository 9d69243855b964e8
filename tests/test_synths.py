from dataclasses import replace

import dexed
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthproxy.dx7_files import read_dx7
from synthproxy.synths import Synth, decode, encode, from_dx7, from_uniform, get_synth, list_synths, sample, to_dx7, validate

DEXED = get_synth("dexed")


@given(st.sampled_from(list_synths()), st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_sampled_is_valid_and_round_trips(name, data):
    synth = get_synth(name)
    u = data.draw(arrays(np.float64, (3, len(synth)), elements=st.floats(0, 1, exclude_max=True)))
    presets = from_uniform(synth, u)
    assert np.array_equal(validate(synth, presets), presets)
    assert np.array_equal(decode(synth, encode(synth, presets)), presets)


@given(arrays(np.uint8, (4, 155), elements=st.integers(0, 127)))
@settings(max_examples=60, deadline=None)
def test_any_voice_projects_to_a_valid_preset_and_stays_there(voices):
    presets = from_dx7(DEXED, voices)
    validate(DEXED, presets)
    assert np.array_equal(from_dx7(DEXED, to_dx7(DEXED, presets)), presets)


def test_bytes_are_those_of_the_voice():
    presets = sample(DEXED, 64, seed=2)
    voices = to_dx7(DEXED, presets)
    column = {p.name: presets[:, i] for i, p in enumerate(DEXED.used)}
    patch = [dexed.Patch.from_sysex(v.tobytes()) for v in voices]
    assert [p.algorithm for p in patch] == column["algorithm"].tolist()
    assert [p.lfo.speed for p in patch] == np.rint(column["lfo_speed"] * 99).tolist()
    assert [p.op[5].envelope.rates[3] for p in patch] == np.rint(column["op6_eg_rate_4"] * 99).tolist()
    assert [p.op[0].detune for p in patch] == np.rint(column["op1_osc_detune"] * 14).tolist()
    assert {p.op[2].velocity_sensitivity for p in patch} == {0} # not used: at its default


def test_rows_stand_alone():
    assert np.array_equal(sample(DEXED, 50, seed=3)[20:30], sample(DEXED, 10, seed=3, start=20))
    assert not np.array_equal(sample(DEXED, 5, seed=3), sample(DEXED, 5, seed=4))


@pytest.mark.parametrize(("change", "message"), [
    ({"lfo_speed": np.nan}, r"parameter 'lfo_speed' is nan, expected a number in \[0, 1\]"),
    ({"lfo_delay": .8}, r"parameter 'lfo_delay' is 0.8, expected a number in \[0, 0.5\]; the nearest is 0.5"),
    ({"algorithm": 32}, r"parameter 'algorithm' is 32, expected a category index from 0 to 31; the nearest is 31"),
    ({"algorithm": 2.5}, r"parameter 'algorithm' is 2.5, expected a category index"),
    ({"feedback": -1}, r"parameter 'feedback' is -1, expected a number in \[0, 1\]; the nearest is 0"),
    ({"op3_mode": np.inf}, r"parameter 'op3_mode' is inf"),
])
def test_a_wrong_value_is_named(change, message):
    preset = sample(DEXED, 2)
    for name, value in change.items():
        preset[1, DEXED.names.index(name)] = value
    with pytest.raises(ValueError, match="preset 1, " + message):
        validate(DEXED, preset)


HEADER = "name,type,default,low,high,values,weights,steps,address,used,rounding,read_high,file_low,file_high"


@pytest.mark.parametrize(("table", "message"), [
    (HEADER + "\nknob,nmu,0,0,1,,,,0,1,,,,", "parameter 'knob': type 'nmu'"),
    (HEADER + "\nknob,cat,0,0,1,0 1,.5,,0,1,,,,", "parameter 'knob': 2 values and 1 weights"),
    (HEADER + "\nknob,cat,0,0,1,,,,0,1,,,,", "parameter 'knob': 0 values and 0 weights"),
    (HEADER + "\nknob,num,0,0,loud,,,,0,1,,,,", "parameter 'knob': high is 'loud', expected a finite number"),
    (HEADER + "\nknob,num,nan,0,1,,,,0,1,,,,", "parameter 'knob': default is 'nan', expected a finite number"),
    (HEADER + "\nknob,num,0,0,inf,,,,0,1,,,,", "parameter 'knob': high is 'inf'"),
    (HEADER + "\nknob,num,,0,1,,,,0,1,,,,", "parameter 'knob': default is ''"),
    (HEADER + "\nknob,num,2,0,1,,,,0,1,,,,", "parameter 'knob': default 2, expected a number in"),
    (HEADER + "\nknob,num,0,.5,.2,,,,0,1,,,,", r"parameter 'knob': type 'num' in \[0.5, 0.2\]"),
    (HEADER + "\nknob,num,0,0,1,,,,0,1,,.5,,", "parameter 'knob': type 'num' in .* read in"),
    (HEADER + "\nknob,cat,0,0,1,0 2,,,0,1,,,,", "parameter 'knob': values .* expected numbers in"),
    (HEADER + "\nknob,cat,0,0,1,0 x,,,0,1,,,,", "parameter 'knob': values is 'x'"),
    (HEADER + "\nknob,cat,0,0,1,0 0 1,,,0,1,,,,", "parameter 'knob': values .* in ascending order, each once"),
    (HEADER + "\nknob,bin,0,0,1,0 .5,,,0,1,,,,", "parameter 'knob': values .* expected 0 1"),
    (HEADER + "\nknob,cat,0,0,1,0 1,0 0,,0,1,,,,", "parameter 'knob': weights"),
    (HEADER + "\nknob,cat,0,0,1,0 1,-1 2,,0,1,,,,", "parameter 'knob': weights"),
    (HEADER + "\nknob,num,0,0,1,,,0,0,1,,,,", "parameter 'knob': steps is '0', expected an integer from 1"),
    (HEADER + "\nknob,num,0,0,1,,,-3,0,1,,,,", "parameter 'knob': steps is '-3'"),
    (HEADER + "\nknob,num,0,0,1,,,1.5,0,1,,,,", "parameter 'knob': steps is '1.5'"),
    (HEADER + "\nknob,num,0,0,1,,,,0,yes,,,,", "parameter 'knob': used is 'yes', expected 0 or 1"),
    (HEADER + "\nknob,num,0,0,1,,,,0,1,,,,\nknob,num,0,0,1,,,,0,1,,,,", "parameter 'knob' in row 1: expected a name that no"),
    (HEADER + "\n,num,0,0,1,,,,0,1,,,,", "parameter '' in row 1"),
    (HEADER + "\nknob,num,0", "parameter 'knob' in row 1: more or fewer fields"),
    (HEADER + "\nknob,num,0,0,1,,,,0,1,,,,,7", "parameter 'knob' in row 1: more or fewer fields"),
    (HEADER + "\nknob,cat,0,0,1,0 1,,,0,1,trunc 2,,,", "parameter 'knob': rounding 'trunc 2', expected floor"),
    (HEADER + "\nknob,cat,0,0,1,0 1,,,0,1,floor,,,", "parameter 'knob': rounding 'floor'"),
    (HEADER + "\nknob,cat,0,0,1,0 1,,,0,1,floor 0,,,", "parameter 'knob': rounding 'floor 0'"),
    (HEADER + "\nknob,num,0,0,1,,,,0,1,floor 2,,,", "parameter 'knob': rounding 'floor 2' without values"),
    (HEADER + "\nknob,cat,0,0,1,0 .4 1,,,0,1,floor 2,,,", "parameter 'knob': rounding 'floor 2' makes steps"),
    (HEADER + "\nknob,num,0,0,1,,,,0,1,,,5,5", "parameter 'knob': file_low and file_high are both 5"),
    ("name,type\nknob,num", "no column default, low, high"), ("", "no column name"), (HEADER, "no column name"),
    (HEADER + '\nknob,num,0,0,1,,,,"0,1,,,,', "odd.csv: "), ("\0\0", "odd.csv: "),
])
def test_a_table_that_makes_no_sense_is_refused(tmp_path, table, message):
    (tmp_path / "odd.csv").write_text(table)
    with pytest.raises(ValueError, match=f"odd.csv: .*{message}" if "odd" not in message else message):
        Synth.from_csv(tmp_path / "odd.csv")


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_table_of_any_bytes_is_a_value_error(tmp_path, content):
    (tmp_path / "odd.csv").write_bytes(content)
    with pytest.raises(ValueError, match="odd.csv"):
        Synth.from_csv(tmp_path / "odd.csv")


def test_a_folder_of_tables_is_there_or_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "blip_two.csv").write_text(HEADER + "\nknob,num,0,0,1,,,,0,1,,,,\n")
    monkeypatch.setenv("SYNTHPROXY_SPECS", "~/own")
    assert "blip_two" in list_synths() and len(get_synth("blip_two")) == len(Synth.from_csv("~/own/blip_two.csv")) == 1
    monkeypatch.setenv("SYNTHPROXY_SPECS", "~/mine")
    for call in (list_synths, lambda: get_synth("blip_three")):
        with pytest.raises(ValueError, match="SYNTHPROXY_SPECS=~/mine is no folder"):
            call()


def test_the_step_is_the_engines():
    parameters = {p.name: p for p in get_synth("talnm").parameters}
    octave = parameters["transpose"] # int(value * 3.00001): -12, 0, 12, 24
    given = np.array([0, .333, .3334, .5, .6, .664, .67, .75, .999, 1.0])
    assert octave.snap(given).tolist() == [0, 0, .5, .5, .5, .5, .75, .75, .75, 1]
    assert replace(octave, rounding="").snap(given).tolist() == [0, .5, .5, .5, .5, .75, .75, .75, 1, 1]
    wave = parameters["lfo_1_waveform"] # int(value * 5.000001); the paper draws no .8
    assert wave.snap(np.array([0, .19, .2, .39, .4, .59, .6, .79, .99, 1.0])).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    chorus = parameters["chorus_1_enable"] # on above zero
    assert chorus.snap(np.array([0, 1e-4, .3, 1.0])).tolist() == [0, 1, 1, 1]
    assert wave.engine_step(np.array(wave.values)).tolist() == [0, 1, 2, 3, 5]


def test_presets_may_hold_more_than_is_drawn():
    synth = get_synth("talnm")
    column = synth.names.index("reverb_decay")
    assert sample(synth, 500)[:, column].max() <= .6
    preset = sample(synth, 1)
    preset[0, column] = .9
    assert decode(synth, encode(synth, validate(synth, preset)))[0, column] == np.float32(.9)
    preset[0, column] = 1.1
    with pytest.raises(ValueError, match=r"'reverb_decay' is 1.1, expected a number in \[0, 1\]; the nearest is 1"):
        validate(synth, preset)


def _bank() -> bytearray:
    payload = b"".join(dexed.Patch.from_sysex(v.tobytes()).to_packed() for v in to_dx7(DEXED, sample(DEXED, 32)))
    return bytearray(bytes.fromhex("f04300092000") + payload + bytes([-sum(payload) & 0x7F, 0xF7]))


@pytest.mark.parametrize(("damage", "message"), [
    (lambda b: b[:-1], "byte 0: the message has no end, expected f7"),
    (lambda b: b[:-2], "byte 0: checksum missing"),
    (lambda b: b[:-200], "byte 0: a message of 3898 bytes, expected 4096: it is cut"),
    (lambda b: b + b"\0", "byte 4104: 1 bytes that belong to no message"),
    (lambda b: b + b[:-2] + bytes([b[-2] ^ 8, 0xF7]), "byte 4104: checksum"),
    (lambda b: b"junk" + b, "byte 0: 4 bytes that belong to no message"),
    (lambda b: bytes(4096), "not voices: 4096 bytes, zeros"),
    (lambda b: b[6:-2].replace(b[106:108], b"\x90\x90", 1), "2 bytes of eight bits: the highest is dropped"),
    (lambda b: b[:500] + bytes([b[500] ^ 4]) + b[501:], "checksum"),
    (lambda b: b[:3] + b"\1" + b[4:], "byte 0: skipped: a dump of Yamaha's format 1"),
    (lambda b: b[6:-1], "4097 bytes, expected a .syx file"),
    (lambda b: b"", "0 bytes, an empty file"),
])
def test_damaged_banks_are_refused(tmp_path, damage, message):
    path = tmp_path / "bank.syx"
    path.write_bytes(_bank())
    assert read_dx7(path, strict=True)[1].shape == (32, 155)
    path.write_bytes(damage(_bank()))
    with pytest.raises(ValueError, match=message):
        read_dx7(path, strict=True)


def test_single_voice_and_packed_voices(tmp_path):
    voices = to_dx7(DEXED, sample(DEXED, 3))
    voices[0, 145:] = np.frombuffer(b"E.PIANO 1 ", np.uint8)
    payload = voices[0].tobytes()
    (tmp_path / "one.syx").write_bytes(bytes.fromhex("f0430000011b") + payload + bytes([-sum(payload) & 0x7F, 0xF7]))
    names, read = read_dx7(tmp_path / "one.syx")
    assert names == ["E.PIANO 1"] and np.array_equal(read[0], voices[0])
    (tmp_path / "three.dx7").write_bytes(b"".join(dexed.Patch.from_sysex(v.tobytes()).to_packed() for v in voices))
    assert np.array_equal(read_dx7(tmp_path / "three.dx7")[1][:, :145], voices[:, :145])


@pytest.mark.parametrize(("name", "listed", "kinds"), [
    ("dexed", 155, {"num": 92, "cat": 8}), ("talnm", 83, {"num": 48, "cat": 8, "bin": 3}), ("diva", 280, {"num": 100, "cat": 51, "bin": 22})])
def test_every_row_of_the_papers_tables_goes_there_and_back(name, listed, kinds):
    synth = get_synth(name)
    found = [p.type for p in synth.used]
    assert len(synth.parameters) == listed and {kind: found.count(kind) for kind in set(found)} == kinds
    start = decode(synth, [p.default for p in synth.parameters])[0]
    for column, p in enumerate(synth.used):
        values = np.arange(p.categories) if p.categories else p.snap(np.array(p.values or np.linspace(p.low, p.high, 7)))
        presets = np.repeat(start[None], len(values), 0)
        presets[:, column] = values
        engine = encode(synth, presets)
        assert np.array_equal(decode(synth, engine), presets), p.name
        place = synth.parameters.index(p)
        assert np.array_equal(np.delete(engine, place, 1), np.delete(encode(synth, start[None]).repeat(len(values), 0), place, 1)), p.name
        if p.values:
            np.testing.assert_allclose(engine[:, place], p.values, atol=1e-6)
