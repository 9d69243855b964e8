"""Scanning: what a plug-in shows and what can be heard, as a table that can be used at once."""
import subprocess
import sys
from pathlib import Path

import pytest

from synthproxy.plugins import plugin_path
from synthproxy.scan import infer, scan
from synthproxy.synths import Synth, get_synth

PROGRAM = """import("stdfaust.lib");
freq = hslider("freq", 262, 20, 20000, 0.01); gain = hslider("gain", 0.5, 0, 1, 0.01); gate = button("gate");
octave = hslider("octave", 1, 0, 3, 1); dust = hslider("dust", 0.2, 0, 1, 0.001); idle = hslider("idle", 0.2, 0, 1, 0.001);
process = os.osc(freq * pow(2, octave)) * gain * gate * (1 - dust) : attach(_, idle);"""


def command(*arguments: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([Path(sys.executable).parent / "synthproxy-scan", *arguments], cwd=folder, capture_output=True, text=True)


def test_the_command_writes_a_table_that_is_used_at_once(tmp_path):
    (tmp_path / "Blip One.dsp").write_text(PROGRAM)
    done = command("Blip One.dsp", "--bases", "1", folder=tmp_path)
    assert done.returncode == 0 and "blip_one.csv: 3 parameters, 2 can be heard" in done.stdout and "set SYNTHPROXY_SPECS" in done.stdout
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


def test_a_real_plugin_is_found_as_its_table_says():
    try:
        path = plugin_path("amsynth")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    found, change, seen = scan(path, "found", bases=0)
    table = {p.name: p for p in get_synth("amsynth").parameters}
    assert {p.name for p in found.parameters} == set(table) and seen["heard"] == 1 and not seen["left out"]
    assert {p.name: len(p.values) for p in found.parameters} == {name: len(p.values) for name, p in table.items()}
    assert max(abs(p.default - table[p.name].default) for p in found.parameters) < .01
    assert not change.set_index("parameter").used["reverb_width"] # nothing that mono can hear


def test_numbers_keep_their_order_and_words_do_not():
    texts = [f"{i // 65}" for i in range(257)]
    assert infer("steps", 0, texts).type == "num" and infer("words", 0, [f"type {t}" for t in texts]).type == "cat"
