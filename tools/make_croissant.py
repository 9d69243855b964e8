"""Croissant metadata of the evaluation sets that ship, from their manifests. `python tools/make_croissant.py` writes a croissant.json beside each."""
import json
from pathlib import Path

from synthproxy.datasets import Dataset
from synthproxy.project import SHIPPED, data_folder, project_root, write_json
from synthproxy.synths import get_synth

NAME = "croissant.json"
CONTEXT = { # of Croissant 1.0
    "@language": "en", "@vocab": "https://schema.org/", "cr": "http://mlcommons.org/croissant/", "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/", "sc": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty", "samplingRate": "cr:samplingRate",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field", "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty", "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField",
    "path": "cr:path", "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform"}
LICENCES = { # of the presets, see the README
    ("dexed", "handcrafted"): "https://spdx.org/licenses/GPL-2.0-or-later.html",
    ("amsynth", "handcrafted"): "https://spdx.org/licenses/GPL-2.0-or-later.html"}
PAPER = ("Combes, Weinzierl, Obermayer: Neural Proxies for Sound Synthesizers: Learning Perceptually Informed Preset Representations. "
         "JAES 73(9), 2025, arXiv:2509.07635")


def shipped_sets() -> list[Path]: # folders
    "The evaluation sets in the repository."
    synths = sorted(folder.name for folder in (project_root() / "data").iterdir() if folder.is_dir())
    folders = [data_folder(synth, SHIPPED) / split for synth in synths for split in ("test", "handcrafted")]
    return [folder for folder in folders if (folder / "manifest.json").is_file()]


def file_object(folder: Path, shard: dict) -> dict:
    "One shard."
    return {"@type": "cr:FileObject", "@id": shard["file"], "name": shard["file"], "description": f"{shard['rows']} rows",
            "contentUrl": shard["file"], "contentSize": f"{(folder / shard['file']).stat().st_size} B",
            "encodingFormat": "application/vnd.safetensors", "sha256": shard["sha256"]}


def describe(dataset: Dataset) -> str:
    "What the rows are."
    made, synth = dataset.manifest["made_from"], get_synth(dataset.manifest["made_from"]["synth"])
    note, model = made["note"], made["audio_model"]
    kind = "drawn at random" if made["kind"] == "synthetic" else "made by people"
    return (f"{len(dataset):,} presets of {synth.name}, {kind}, with the {model['name']} embeddings of their sound. In each safetensors file: "
            f"presets, float32 (rows, {len(synth)}), numerical and binary parameters in [0, 1], categorical ones as index, in the order of the "
            f"parameter table synthproxy/specs/{synth.name}.csv; embeddings, float32 (rows, {model['dims']}); rms, float32 (rows,), of the sound. "
            f"Note {note['pitch']}, velocity {note['velocity']}, held {note['hold_s']:g} s of {note['duration_s']:g} s, mono, "
            f"{made['renderer']['sample_rate_hz']} Hz. manifest.json says what made it.")


def croissant(folder: Path) -> dict:
    "The metadata of one set."
    dataset = Dataset(folder)
    synth, split = dataset.manifest["made_from"]["synth"], folder.name
    return {"@context": CONTEXT, "@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.0",
            "name": f"synthproxy-{synth}-{split}".replace("_", "-"), "description": describe(dataset), "version": "0.1.0",
            "license": LICENCES.get((synth, split), "https://spdx.org/licenses/GPL-3.0-or-later.html"), "citeAs": PAPER,
            "creator": {"@type": "sc:Organization", "name": "the synthproxy authors"}, "inLanguage": "en",
            "keywords": ["synthesizer", "preset", "audio embedding", synth], "isLiveDataset": False,
            "distribution": [file_object(folder, shard) for shard in dataset.manifest["shards"]]}


if __name__ == "__main__":
    for each in shipped_sets():
        write_json(each / NAME, croissant(each))
