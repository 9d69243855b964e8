"""Scanning: what a plug-in shows and what can be heard, as a table that can be used at once."""
import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from synthproxy import scan as scan_module
from synthproxy.plugins import plugin_path
from synthproxy.scan import GRID, given_presets, infer, is_continuous, main, nearby, scan, steps_by_ear
from synthproxy.synths import Synth, get_synth

HEAD = """import("stdfaust.lib");
freq = hslider("freq", 262, 20, 20000, 0.01); gain = hslider("gain", 0.5, 0, 1, 0.01); gate = button("gate");
"""
PROGRAM = HEAD + """octave = hslider("octave", 1, 0, 3, 1); dust = hslider("dust", 0.2, 0, 1, 0.001); idle = hslider("idle", 0.2, 0, 1, 0.001);
process = os.osc(freq * pow(2, octave)) * gain * gate * (1 - dust) : attach(_, idle);"""
BARE = HEAD + """
truncated = hslider("truncated", 0.3, 0, 1, 0.001); switch = hslider("switch", 0, 0, 1, 0.001); hundred = hslider("hundred", 99, 0, 99, 1);
percent = hslider("percent", 0.5, 0, 1, 0.01); detune = hslider("detune", 0.2, 0, 1, 0.001);
process = os.osc(freq * (1 + int(truncated * 4.00001)) + 9 * detune) * (1 + 0.5 * os.osc(freq * 1.5) * (switch > 0)) * gain * gate * (0.2 + percent) * (0.1 + int(hundred) / 99);"""
QUIET = HEAD + """open = hslider("open", 0, 0, 1, 1); a = hslider("a", 0.5, 0, 1, 0.001); b = hslider("b", 0.5, 0, 1, 0.001); never = hslider("never", 0, 0, 1, 0.001);
process = os.osc(freq * (1 + a)) * gain * gate * (open > 0.5) * (0.1 + b) : attach(_, never);"""


def command(*arguments: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([Path(sys.executable).parent / "synthproxy-scan", *arguments], cwd=folder, capture_output=True, text=True)


def write(folder: Path, program: str) -> Path:
    (folder / "program.dsp").write_text(program)
    return folder / "program.dsp"


def test_the_command_writes_a_table_that_is_used_at_once(tmp_path):
    (tmp_path / "Blip One.dsp").write_text(PROGRAM)
    done = command("Blip One.dsp", "--bases", "1", folder=tmp_path)
    assert done.returncode == 0 and "blip_one.csv: 3 parameters, 2 can be heard" in done.stdout and "set SYNTHPROXY_SPECS" in done.stdout
    assert done.stderr == "" # neither a bar nor a time, where nobody watches
    table = {p.name: p for p in Synth.from_csv(tmp_path / "blip_one.csv").parameters}
    assert table["octave"].values == pytest.approx([0, 1 / 3, 2 / 3, 1]) and table["octave"].default == pytest.approx(1 / 3) and table["octave"].steps == 3
    assert table["dust"].default == pytest.approx(.2) and not table["dust"].values
    assert [table[name].used for name in ("octave", "dust", "idle")] == [True, True, False]
    (tmp_path / "blip_one.dsp").write_text(PROGRAM)
    code = ("from synthproxy.plugins import get_renderer, need_no_plugin; from synthproxy.rendering import rms; from synthproxy.synths import get_synth, sample\n"
            "print(need_no_plugin(), rms(get_renderer('blip_one', 32000).render(sample(get_synth('blip_one'), 3))).min() > 1e-3)")
    run = subprocess.run([sys.executable, "-c", code], env={"PATH": "", "SYNTHPROXY_SPECS": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['dexed', 'blip_one', 'faust_poly'] True"


@pytest.mark.parametrize(("content", "message"), [(None, "no plug-in at x.so"), ("no library", "holds no Linux library")])
def test_what_cannot_be_scanned_is_one_clear_error(tmp_path, content, message):
    if content:
        (tmp_path / "x.so").write_text(content)
    done = command("x.so", folder=tmp_path)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr and not list(tmp_path.glob("*.csv"))


def test_a_program_that_does_not_compile(tmp_path):
    (tmp_path / "bad.dsp").write_text("process = nonsense;")
    done = command("bad.dsp", folder=tmp_path)
    assert done.returncode == 1 and "bad.dsp cannot be compiled" in done.stderr and "Traceback" not in done.stderr


AMSYNTH = dict(osc1_waveform=5, osc2_waveform=5, lfo_waveform=7, osc2_range=8, osc2_sync=2, keyboard_mode=3, osc2_pitch=25, filter_type=5,
               filter_slope=2, freq_mod_osc=3) # and portamento_mode, which one note does not show


@pytest.mark.slow # half a minute; the three below fail of the same faults
def test_a_real_plugin_is_found_as_its_table_says():
    try:
        path = plugin_path("amsynth")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    found, change, seen = scan(path, "found", bases=0, near=0)
    table = {p.name: p for p in get_synth("amsynth").parameters}
    assert {p.name for p in found.parameters} == set(table) and seen["heard"] == 1 and not seen["left out"] and not seen["needs display"]
    assert {p.name: len(p.values) for p in found.parameters if p.values} == AMSYNTH
    assert max(abs(p.default - table[p.name].default) for p in found.parameters) < .01
    assert not change.set_index("parameter").used["reverb_width"] # nothing that mono can hear


REAL = { # what is true of Debian's other plug-ins: all parameters, those with steps, those that one note of the default shows
    "Nekobi-vst.so": ({"waveform", "tuning", "cutoff", "vcf_resonance", "env_mod", "decay", "accent", "volume"}, {"waveform": 2},
                      {"waveform", "tuning", "cutoff", "vcf_resonance", "env_mod", "accent", "volume"}),
    "Kars-vst.so": ({"sustain", "release", "volume"}, {"sustain": 2}, {"sustain", "release", "volume"}),
    "ZynAddSubFX.so": ({f"slot_{i}" for i in range(1, 17)}, {}, set()), # what a slot does is said in its editor
}


@pytest.mark.parametrize("file", REAL)
def test_debians_plugins_are_found_as_they_are(file, caplog):
    path = Path("/usr/lib/vst") / file
    if not path.exists():
        pytest.skip(f"{path} is not there: install dpf-plugins-vst, zynaddsubfx-vst")
    caplog.set_level("WARNING")
    found, _, seen = scan(path, "found", bases=0, near=0)
    names, steps, used = REAL[file]
    assert {p.name for p in found.parameters} == names and {p.name: len(p.values) for p in found.parameters if p.values} == steps
    assert set(found.names) <= used and seen["heard"] == 1 and seen["change without a change"] == 0
    assert ("no parameter changes what is heard" in caplog.text) == (not used)


def test_numbers_keep_their_order_and_words_do_not():
    texts = [f"{i // 65}" for i in range(257)]
    assert infer("steps", 0, texts).type == "num" and infer("words", 0, [f"type {t}" for t in texts]).type == "cat"


@pytest.mark.parametrize("k", [2, 25, 32, 64, 100, 128])
def test_steps_that_a_display_shows_are_kept(k, tmp_path):
    found = infer("level", 1.0, [f"{round(u * (k - 1))}" for u in np.linspace(0, 1, GRID)])
    assert (found.steps, found.default, len(found.values)) == (k - 1, 1, k if k <= 32 else 0)
    scan_module.write_table(Synth("x", (found,)), tmp_path / "x.csv")
    again = Synth.from_csv(tmp_path / "x.csv").parameters[0]
    assert again.steps == k - 1 and again.snap(np.array([.501])) * (k - 1) == pytest.approx(np.rint(.501 * (k - 1))) or again.type == "bin"
    assert not infer("volume", .5, [f"{u:.5f}" for u in np.linspace(0, 1, GRID)]).steps


def test_bare_numbers_are_told_apart_by_ear(tmp_path):
    found, _, seen = scan(write(tmp_path, BARE), "bare", bases=0, near=0)
    table = {p.name: p for p in found.parameters}
    assert table["truncated"].values == pytest.approx((0, .25, .5, .75, 1)) and table["truncated"].default == .25
    assert table["switch"].type == "bin" and table["switch"].default == 0
    assert [(p.values, p.steps) for p in (table["percent"], table["detune"])] == [((), None)] * 2 # one shows steps that it has not
    assert (table["hundred"].steps, table["hundred"].default) == (99, 1)
    assert all(p.used for p in found.parameters) and seen["heard"] == 1


@pytest.mark.parametrize("k", range(2, 33))
@pytest.mark.parametrize("law", [lambda u, k: round(u * (k - 1)), lambda u, k: int(u * (k - 1) + 1e-6), lambda u, k: min(int(u * k), k - 1)])
def test_every_number_of_steps_is_found(k, law):
    assert len(steps_by_ear(lambda values: [law(u, k) for u in values])) == k
    assert not is_continuous(lambda values: [law(u, k) for u in values])


@pytest.mark.parametrize("law", [lambda u: u, lambda u: u ** 9, lambda u: min(u, .3), lambda u: max(u, .9), lambda u: min(max(u, .55), .6), lambda u: 1.0])
def test_what_has_no_steps_gets_none(law):
    def hear(values):
        return [law(u) for u in values]

    assert is_continuous(hear) or steps_by_ear(hear) == ()


def test_presets_that_sound_are_asked_first_and_silence_is_said(tmp_path, caplog):
    path = write(tmp_path, QUIET)
    (tmp_path / "mine.json").write_text(json.dumps({"loud": {"open": 1.0, "a": .3}, "too": {"open": 1.0, "b": .9, "other": 1}}))
    with caplog.at_level(logging.WARNING):
        silent, change, seen = scan(path, "quiet", bases=0, near=0)
    assert seen["heard"] == 0 and all(p.used for p in silent.parameters) and change.change.isna().all() # nothing is pretended
    assert "none of 1 presets makes a sound" in caplog.text and "--presets FILE" in caplog.text
    caplog.clear()
    rows = [{"open": 1, "a": .3, "b": .5, "never": 0}, {"open": 1, "a": .5, "b": .9, "never": 0}]
    for given in (tmp_path / "mine.json", tmp_path, np.array([[row[name] for name in silent.names] for row in rows])):
        assert len(given_presets(silent, given)) == 2
    with caplog.at_level(logging.WARNING):
        found, _, seen = scan(path, "quiet", bases=0, near=0, presets=tmp_path / "mine.json")
    assert seen["heard"] == 2 and {p.name: p.used for p in found.parameters} == {"open": True, "a": True, "b": True, "never": False}
    assert "only 2 of 3 presets make a sound" in caplog.text
    (tmp_path / "mine.json").write_text(json.dumps({"foreign": {"x": 1}}))
    with pytest.raises(ValueError, match="no preset with a parameter of this plug-in"):
        scan(path, "quiet", presets=tmp_path / "mine.json")


def test_near_the_default_is_near():
    synth = get_synth("dexed")
    moved = (nearby(synth, 40) != nearby(synth, 0, 0).sum(0) + scan_module.from_dict(synth, {})).mean(1)
    assert .05 < moved.mean() < .2 and (nearby(synth, 3, seed=1) != nearby(synth, 3, seed=2)).any()


def test_a_tilde_and_an_odd_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, PROGRAM)
    with pytest.raises(SystemExit, match="no plug-in at"):
        main("~/nothing.dsp")
    main("~/program.dsp", out="~/my-synth.csv", bases=0)
    assert (tmp_path / "my-synth.csv").is_file() and "the synth's name is my-synth" in capsys.readouterr().out
    assert scan_module.path_variable("my-synth") == "MY_SYNTH_PATH"


def test_how_long_it_takes_is_said_beforehand(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        scan(write(tmp_path, PROGRAM), "blip", bases=0, near=0)
    assert "program.dsp: 17 to 23 renders of" in caplog.text
