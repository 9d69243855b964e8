"""Every number in the committed tables and in the README, derived again from the JSON reports."""
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from synthproxy.preset_encoders import ENCODERS
from synthproxy.synths import get_synth
from synthproxy.tables import METRICS, PAPER
from synthproxy.proxies import SynthProxy, checkpoint_folder, trained_encoders

ROOT = Path(__file__).parent.parent
SYNTHS = ("dexed", "amsynth", "faust_poly")
FOLDER = ROOT / "results" / "cpu"


@pytest.fixture(scope="module")
def reports() -> dict[tuple[str, str, str, str], tuple[float, float | None]]: # (synth, encoder, split, metric) -> value, deviation; from preset to audio
    found = {}
    for synth in SYNTHS:
        for row in json.loads((FOLDER / f"eval_{synth}.json").read_text())["rows"]:
            assert row["synth"] == synth and row["profile"] == "cpu"
            if row["group"] == "all" and (row["direction"] != "a2p" or row["split"] == "validation"):
                found[synth, row["encoder"], row["split"], row["metric"]] = row["value"], row["std"]
    return found


def rows_of(markdown: str) -> list[list[str]]: # cells of every table row, marks removed
    return [[re.sub(r"[*`]", "", cell).strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line.startswith("|") and "---" not in line]


@pytest.mark.parametrize("split", ["synthetic", "handcrafted"])
def test_main_tables(reports, split):
    header, *rows = rows_of((FOLDER / f"table_{split}.md").read_text())
    assert header[2:] == list(METRICS.values()) and [row[:2] for row in rows] == [[s, e] for s in sorted(SYNTHS) for e in trained_encoders(s, "cpu")]
    table = pd.read_csv(FOLDER / f"table_{split}.csv").set_index(["synth", "encoder"])
    latex = (FOLDER / f"table_{split}.tex").read_text()
    for synth, encoder, *cells in rows:
        for metric, cell in zip(METRICS, cells):
            value, deviation = reports[synth, encoder, split, metric]
            assert cell == f"{value:.3f}" + (f" ± {deviation:.3f}" if metric == "mrr" and deviation is not None else ""), (synth, encoder, metric)
            assert table[metric][synth, encoder] == pytest.approx(value, abs=5e-4) and f"{value:.3f}" in latex
        row = table.loc[(synth, encoder)]
        assert re.fullmatch(r"[0-9a-f]{12}", row.commit) and row.report == f"results/cpu/eval_{synth}.json" and row.run == f"05_eval_{synth}"


def test_the_table_beside_the_paper(reports):
    paper = PAPER.set_index(["synth", "encoder"])
    for synth, encoder, *cells in rows_of((FOLDER / "table_paper.md").read_text())[1:]:
        ours = [reports.get((synth, encoder, "validation", metric), (None,))[0] for metric in ("mrr_512", "l1")]
        theirs = paper.loc[(synth, encoder)].tolist() if (synth, encoder) in paper.index else [None, None]
        assert cells == [f"{v:.4f}" if v is not None else "-" for v in (ours[0], theirs[0], ours[1], theirs[1])]


def test_the_readme(reports):
    text, found = (ROOT / "README.md").read_text(), []
    for cells in rows_of(text):
        if cells[0] in ENCODERS: # the table of Dexed
            keys = [("validation", "mrr_512"), ("synthetic", "mrr"), *(("handcrafted", k) for k in ("mrr", "recall_1", "recall_10"))]
            assert cells[1:6] == [f"{reports['dexed', cells[0], *key][0]:.3f}" for key in keys]
            card = SynthProxy.from_pretrained(checkpoint_folder("dexed", "cpu", cells[0])).config
            paper = PAPER[(PAPER.synth == "dexed") & (PAPER.encoder == cells[0])].mrr_512
            assert cells[6:] == [f"{card['data']['rows']:,}", f"{card['seconds'] / 60:.0f}", f"{paper.item():.3f}" if len(paper) else "-"]
            found.append(("dexed", cells[0]))
        elif cells[0] in SYNTHS: # the other synths
            encoder, keys = cells[1].split(",")[0], (("validation", "mrr_512"), ("synthetic", "mrr"))
            assert cells[3:5] == [f"{reports[cells[0], encoder, *key][0]:.3f}" for key in keys]
            assert cells[5].startswith(f"{reports[cells[0], encoder, 'handcrafted', 'mrr'][0]:.3f} (")
            assert cells[6] == f"{reports[cells[0], encoder, 'handcrafted', 'recall_10'][0]:.3f}"
            data = SynthProxy.from_pretrained(checkpoint_folder(cells[0], "cpu", encoder)).config["data"]
            assert cells[2] == f"{data['rows']:,} {data['distribution']}"
            found.append((cells[0], encoder))
    assert [e for s, e in found if s == "dexed"] == [e for e in ENCODERS if e in trained_encoders("dexed", "cpu")]
    assert {s for s, _ in found} == set(SYNTHS) and ("amsynth", "opsnap") in found and len(set(found)) == len(found)


def test_where_all_learn_from_the_same_presets_hearing_is_ahead_everywhere(reports): # as the README says
    def gain(split: str, metric: str) -> float: # over the best of the others
        others = [e for e in trained_encoders("faust_poly", "cpu") if e != "opsnap"]
        return reports["faust_poly", "opsnap", split, metric][0] - max(reports["faust_poly", e, split, metric][0] for e in others)

    gains = {(split, metric): gain(split, metric) for split in ("synthetic", "handcrafted") for metric in ("mrr", "recall_1", "recall_10")}
    assert min(*gains.values(), gain("validation", "mrr_512")) > .01
    assert all(gains["handcrafted", metric] > gains["synthetic", metric] for metric in ("mrr", "recall_10"))


def test_the_results_file_agrees_with_the_reports(reports):
    rows = pd.read_csv(ROOT / "results" / "metrics.csv")
    rows = rows[(rows.profile == "cpu") & (rows.group == "all") & ((rows.direction != "a2p") | (rows.split == "validation"))].set_index(["synth", "encoder", "split", "metric"])
    assert set(rows.index) == set(reports)
    assert all(rows.value[key] == pytest.approx(value, abs=5e-4) for key, (value, _) in reports.items())
    assert rows.commit.str.fullmatch("[0-9a-f]{12}").all() and rows.hardware.notna().all()


def test_used_parameters_said_in_the_notebooks():
    assert [len(get_synth(name)) for name in ("dexed", "talnm", "diva", "amsynth", "faust_poly", "dexed_vst3")] == [100, 59, 173, 35, 23, 100]
