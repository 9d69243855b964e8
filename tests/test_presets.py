"""Hand-crafted presets: every format, and a report of what was changed."""
import json
import os
from pathlib import Path

import numpy as np
import pytest

from synthproxy.presets import project, read_amsynth, read_presets
from synthproxy.synths import encode, get_synth, sample, to_dx7, validate

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
    with pytest.raises(ValueError, match="parameter 'cutoff' is nan, expected a number"):
        project(get_synth("faust_poly"), [{"cutoff": float("nan")}])
    with pytest.raises(FileNotFoundError, match="no .h2p or .json file in"):
        read_presets("diva", tmp_path)


@pytest.mark.parametrize("synth", ["talnm", "diva"])
def test_json_round_trips_for_synths_without_their_plugin(synth, tmp_path):
    table = get_synth(synth)
    presets = sample(table, 20, seed=4)
    names = [p.name for p in table.parameters]
    (tmp_path / "all.json").write_text(json.dumps({str(i): dict(zip(names, row)) for i, row in enumerate(encode(table, presets).tolist())}))
    assert np.array_equal(read_presets(synth, tmp_path).presets, presets)


def test_the_factory_programs_of_tal_noisemaker_are_valid_presets():
    folder = Path(os.environ.get("SYNTHPROXY_PRESETS", "")) / "talnm"
    if not folder.is_dir():
        pytest.skip("SYNTHPROXY_PRESETS names no folder with TAL-NoiseMaker's programs")
    read, table = read_presets("talnm", folder), get_synth("talnm")
    assert len(read.names) == 256 and np.array_equal(validate(table, read.presets), read.presets)
    assert not any(read.report[what] for what in ("missing", "unknown", "clipped"))
    values = json.loads(next(folder.glob("*.json")).read_text())[0]["v"] # the first, by hand
    first = dict(zip(table.names, read.presets[0]))
    assert first["filter_cutoff"] == values["cutoff"] and first["osc_1_volume"] == pytest.approx(values["osc1volume"])
    assert set(read.report["moved to the nearest step"]) <= {"filter_type", "lfo_1_waveform", "lfo_2_waveform", "lfo_1_destination", "lfo_2_destination", "transpose", "reverb_decay"}


def test_one_file_or_a_folder(tmp_path):
    (tmp_path / "a.json").write_text('{"low": {"cutoff": 0.1}}')
    (tmp_path / "b.json").write_text('{"high": {"Cutoff": 0.9}}')
    assert read_presets("faust_poly", tmp_path).names == ["low", "high"] and read_presets("faust_poly", tmp_path / "b.json").names == ["high"]
    assert read_presets("faust_poly", tmp_path / "b.json").presets[0][get_synth("faust_poly").names.index("cutoff")] == pytest.approx(.9)
