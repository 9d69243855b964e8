"""Hand-crafted presets: every format, and a report of what was changed."""
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from synthproxy.presets import project, read_amsynth, read_presets, tal_values
from synthproxy.synths import decode, encode, get_synth, sample, to_dict, to_dx7, validate

BANKS = Path("/usr/share/amsynth/banks")


def test_a_dx7_bank_is_read_as_before(tmp_path):
    import dexed
    presets = sample(get_synth("dexed"), 32)
    dexed.Patch.save_to_bank(str(tmp_path / "one.syx"), [dexed.Patch.from_sysex(bytes(v)) for v in to_dx7(get_synth("dexed"), presets)])
    read = read_presets("dexed", tmp_path)
    assert np.array_equal(read.presets, presets) and read.sources[31] == "one.syx:31"
    assert not any(read.report.values())


@pytest.mark.skipif(not BANKS.is_dir(), reason="Debian's amsynth is not installed")
def test_all_of_amsynths_own_banks_are_read():
    read = read_presets("amsynth", BANKS)
    assert len(read.presets) == 3482 and len(np.unique(read.presets, axis=0)) > 3000
    assert "unknown" not in {what for what, counts in read.report.items() if counts}
    assert sum(read.report["clipped"].values()) < 100


def test_bad_files_are_one_clear_error(tmp_path):
    (tmp_path / "a.bank").write_text("something else")
    with pytest.raises(ValueError, match="expected an amsynth bank, whose first line is 'amSynth'"):
        read_amsynth(get_synth("amsynth"), tmp_path / "a.bank")
    with pytest.raises(ValueError, match="parameter 'cutoff' is 'nan', expected a finite number"):
        project(get_synth("faust_poly"), [{"cutoff": float("nan")}])
    with pytest.raises(FileNotFoundError, match="no .fxb, .fxp, .h2p, .json or .vstpreset file in"):
        read_presets("diva", tmp_path)


@pytest.mark.parametrize("synth", ["talnm", "diva"])
def test_json_round_trips_for_synths_without_their_plugin(synth, tmp_path):
    table = get_synth(synth)
    presets = sample(table, 20, seed=4)
    names = [p.name for p in table.parameters]
    (tmp_path / "all.json").write_text(json.dumps({str(i): dict(zip(names, row)) for i, row in enumerate(encode(table, presets).tolist())}))
    assert np.array_equal(read_presets(synth, tmp_path).presets, presets)


def factory() -> list[dict]: # TAL-NoiseMaker's programs, with values as the plug-in of today holds them
    folder = Path(os.environ.get("SYNTHPROXY_PRESETS", "")) / "talnm"
    if not folder.is_dir():
        pytest.skip("SYNTHPROXY_PRESETS names no folder with TAL-NoiseMaker's programs")
    return json.loads(next(folder.glob("*.json")).read_text())


def test_the_factory_programs_of_tal_noisemaker_are_played_as_they_are():
    programs, table = factory(), get_synth("talnm")
    read = read_presets("talnm", Path(os.environ["SYNTHPROXY_PRESETS"]) / "talnm", strict=True)
    assert len(read.names) == 256 and np.array_equal(validate(table, read.presets), read.presets)
    assert not any(read.report[what] for what in ("missing", "unknown", "clipped")) and not read.problems
    values = programs[0]["v"] # the first, by hand
    first = dict(zip(table.names, read.presets[0]))
    assert first["filter_cutoff"] == values["cutoff"] and first["osc_1_volume"] == pytest.approx(values["osc1volume"])
    moved = read.report["moved to the nearest step"]
    assert set(moved) == {"lfo_1_waveform", "lfo_2_waveform"} # of whose six waveforms the paper draws five
    def column(name: str) -> np.ndarray:
        return np.array([program["v"][name] for program in programs])

    steps = [(column(f"lfo{i}waveform") >= .8) & (column(f"lfo{i}waveform") < 1) for i in (1, 2)] # the fifth
    assert sum(moved.values()) == np.sum(steps)
    heard = [(column(f"lfo{i}destination") > 0) & (column(f"lfo{i}amount") != .5) for i in (1, 2)]
    same, long = ~np.any(np.logical_and(steps, heard), 0), (column("reverbdecay") > .6) & (column("reverbwet") > 0)
    assert (same.sum(), (same & ~long).sum()) == (245, 216) # as with the plug-in; and were the reverb clipped
    octaves = [int(np.float32(program["v"]["transpose"]) * np.float32(3.00001)) for program in programs]
    assert read.presets[:, table.names.index("transpose")].tolist() == [[0, .5, .75, 1][k] for k in octaves]
    as_loaded = decode(table, [p.default for p in table.parameters])[0]
    assert np.array_equal(read.presets[0], as_loaded)


MENUS = {"voices": 6, "portamentomode": 3, "lfo1destination": 8, "lfo2destination": 8, "freeaddestination": 6,
         "osc1waveform": 3, "osc2waveform": 5, "envelopeeditordest1": 8, "envelopeeditorspeed": 6}
ITEM_OF_FILTER = {1: 1, 2: 2, 3: 3, 4: 5, 5: 6, 6: 7, 7: 8, 8: 9, 9: 11, 10: 12} # item k is heard as floor((k - 1) / 11 * 9 + 1.5)


def as_written(values: dict[str, float], version: str) -> dict[str, float]: # by a plug-in of that version
    values, filtertype = dict(values), round(values["filtertype"] * 11) + 1
    if version < "1.7":
        values["filtertype"] = (filtertype - 1) / 9
    if version < "1.6":
        values |= {name: round(values[name] * (items - 1)) + 1 for name, items in MENUS.items()}
        values["filtertype"] = ITEM_OF_FILTER[filtertype]
    if version < "1.1":
        values |= {"osc1waveform": (values["osc1waveform"] - 1) / 2, "osc2waveform": (values["osc2waveform"] - 1) / 3}
    return values


def write_xml(path: Path, version: str | None, programs: list[tuple[str, dict[str, float]]]) -> None:
    tal = ET.Element("tal", {"curprogram": "0"} | ({"version": version} if version else {}))
    inner = ET.SubElement(tal, "programs")
    for name, values in programs:
        ET.SubElement(inner, "program", {"programname": name} | {k: str(v) for k, v in values.items()})
    ET.ElementTree(tal).write(path)


@pytest.mark.parametrize("version", ["1.7", "1.6", "1.5", "1.1", "1.0", None])
def test_programs_of_every_version_are_those_of_today(tmp_path, version):
    programs = [(p["name"], p["v"]) for p in factory()]
    if (version or "1") < "1.1": # which had no noise there
        programs = [(name, v) for name, v in programs if v["osc2waveform"] < 1]
    written = [(name, as_written(v, version or "1")) for name, v in programs]
    write_xml(tmp_path / "all.noisemakerpreset", version, written)
    (tmp_path / "today.json").write_text(json.dumps([{"name": name, "v": v} for name, v in programs]))
    old, new = (read_presets("talnm", tmp_path / name) for name in ("all.noisemakerpreset", "today.json"))
    assert old.names == new.names and len(old.names) >= 255 and np.array_equal(old.presets, new.presets)
    assert list(old.problems.values()) == ([] if version else ["no version: read as version 1, as the plug-in does"])


def test_a_version_that_is_ignored_gives_the_wrong_filter(tmp_path):
    programs = [(p["name"], p["v"]) for p in factory()]
    write_xml(tmp_path / "all.noisemakerpreset", "1.7", [(name, as_written(v, "1.6")) for name, v in programs])
    right = read_presets("talnm", Path(os.environ["SYNTHPROXY_PRESETS"]) / "talnm").presets
    wrong = read_presets("talnm", tmp_path).presets != right
    assert wrong.any(1).sum() == wrong[:, get_synth("talnm").names.index("filter_type")].sum() == 92


@pytest.mark.parametrize(("version", "given", "expected"), [ # item n of m is (n - 1) / (m - 1)
    (1.0, {"osc1waveform": .4989, "osc2waveform": .3322}, {"osc1waveform": 0, "osc2waveform": 0}),
    (1.0, {"osc1waveform": .5, "osc2waveform": .3324}, {"osc1waveform": .5, "osc2waveform": .25}),
    (1.0, {"osc1waveform": .9979, "osc2waveform": .6646}, {"osc1waveform": .5, "osc2waveform": .25}),
    (1.0, {"osc1waveform": .9981, "osc2waveform": .6647}, {"osc1waveform": 1, "osc2waveform": .5}),
    (1.0, {"osc1waveform": 1, "osc2waveform": .9971}, {"osc1waveform": 1, "osc2waveform": .75}),
    (1.1, {"osc1waveform": 2, "osc2waveform": 5}, {"osc1waveform": .5, "osc2waveform": 1}),
    (1.1, {"voices": 6, "lfo1destination": 8}, {"voices": 1, "lfo1destination": 1}),
    (1.5, {"filtertype": 4, "freeaddestination": 3}, {"filtertype": 2 / 11, "freeaddestination": .4}),
    (1.5, {"filtertype": 10}, {"filtertype": 7 / 11}),
    (1.6, {"filtertype": 4 / 9, "voices": .4, "cutoff": .3}, {"filtertype": 4 / 11, "voices": .4, "cutoff": .3}),
    (1.6, {"filtertype": 1}, {"filtertype": 9 / 11}),
    (1.7, {"filtertype": 1, "voices": .4}, {"filtertype": 1, "voices": .4}),
    (2.0, {"filtertype": 4 / 11}, {"filtertype": 4 / 11}),
])
def test_old_values_by_hand(version, given, expected):
    assert tal_values(given, version) == pytest.approx(expected)


def test_odd_versions_are_said(tmp_path):
    path = tmp_path / "x.noisemakerpreset"
    write_xml(path, "2.5", [("new", {"filtertype": 4 / 11})])
    read = read_presets("talnm", path, strict=True)
    assert read.problems == {path.name: "version 2.5, the newest known is 1.7: read as that"}
    assert read.presets[0][0] == 4
    for version in ("new", "nan", "1e999"):
        write_xml(path, version, [("new", {"filtertype": 4 / 11})])
        with pytest.raises(ValueError, match=f"x.noisemakerpreset: version is '{version}', expected a finite number"):
            read_presets("talnm", path)


def test_a_clipped_value_is_clipped_and_has_not_moved():
    synth = get_synth("dexed")
    given = {"lfo_delay": .9, "feedback": .5, "algorithm": 1.5, "cutoff": 2}
    presets, report = project(synth, [given, {"lfo_delay": .5}])
    assert report["clipped"] == {"lfo_delay": 1, "algorithm": 1, "cutoff": 1}
    assert report["moved to the nearest step"] == {"feedback": 1, "lfo_delay": 1} # .5 is between two steps
    first = to_dict(synth, presets[0])
    assert first["lfo_delay"] == np.float32(49 / 99) and first["algorithm"] == 31


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, "0.5", [1], 10 ** 400])
def test_what_is_no_number_is_named(value):
    with pytest.raises(ValueError, match="faust_poly: parameter 'cutoff' is .*expected a finite number"):
        project(get_synth("faust_poly"), [{"cutoff": value}])


def test_one_file_or_a_folder(tmp_path):
    (tmp_path / "a.json").write_text('{"low": {"cutoff": 0.1}}')
    (tmp_path / "b.json").write_text('{"high": {"Cutoff": 0.9}}')
    assert read_presets("faust_poly", tmp_path).names == ["low", "high"] and read_presets("faust_poly", tmp_path / "b.json").names == ["high"]
    assert read_presets("faust_poly", tmp_path / "b.json").presets[0][get_synth("faust_poly").names.index("cutoff")] == pytest.approx(.9)
