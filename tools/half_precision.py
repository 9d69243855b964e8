"""What half precision changes: every metric of the best proxy of each synth, with its weights as they were trained and as a wheel has them.

`python tools/half_precision.py` writes results/half_precision.csv (a minute).
"""
import tempfile
from pathlib import Path

import pandas as pd

from synthproxy.datasets import get_dataset
from synthproxy.evaluation import TEST_SPLITS, evaluate_proxy
from synthproxy.project import SHIPPED, get_profile, provenance
from synthproxy.proxies import SynthProxy, best_checkpoint

ROOT = Path(__file__).parent.parent
ROW = ["metric", "direction", "group"]


def change(synth: str) -> pd.DataFrame:
    "All metrics of a synth's best proxy, both ways."
    proxy, size, parts = SynthProxy.from_pretrained(synth), get_profile(SHIPPED), []
    with tempfile.TemporaryDirectory() as folder:
        proxy.save_pretrained(folder)
        half = SynthProxy.from_pretrained(folder)
    for split, name in TEST_SPLITS.items():
        dataset = get_dataset(synth, SHIPPED, name)
        whole, other = (evaluate_proxy(p, dataset, size.gallery, size.subsets).set_index(ROW).value for p in (proxy, half))
        parts.append(pd.DataFrame({"trained": whole, "half": other}).reset_index().assign(split=split))
    return pd.concat(parts).assign(synth=synth, encoder=best_checkpoint(synth).name)


def main() -> None:
    "Measure and write."
    made = provenance()
    table = pd.concat([change(synth) for synth in ("amsynth", "dexed", "faust_poly")])
    table = table[["synth", "encoder", "split", *ROW, "trained", "half"]].round(6).assign(hardware=made["hardware"], commit=made["commit"])
    table.to_csv(ROOT / "results" / "half_precision.csv", index=False, lineterminator="\n")
    table["change"] = (table.half - table.trained).abs()
    print(table.sort_values("change").tail(8)[["synth", "split", *ROW, "trained", "half"]].to_markdown(index=False))


if __name__ == "__main__":
    main()
