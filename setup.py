"""The package's metadata lives in settings.ini; this reads it for setuptools, and packs the best proxy of each synth into a wheel."""
import json
import shutil
import struct
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

root = Path(__file__).parent
ini = ConfigParser(delimiters=["="])
ini.read(root / "settings.ini")
cfg = ini["DEFAULT"]
extras = {key.removesuffix("_requirements"): words.split() for key, words in cfg.items() if key.endswith("_requirements")}
for name in ("hpo", "studies"): # studies train, render and draw
    extras[name] = sorted({word for part in (name, "render", "plots") for word in extras[part]})
extras["dev"] = sorted({word for name in ("dev", "render", "plots", "pipeline") for word in extras[name]}) # a clone does everything


def best_checkpoints() -> list[Path]:
    "Of each synth that ships, the checkpoint that `best_checkpoint` of the notebook on proxies chooses."
    def score(folder: Path) -> tuple[bool, float]:
        card = json.loads((folder / "config.json").read_text())
        return card["data"]["distribution"] == "prior", card["validation"]["mrr_512"]

    synths = sorted((root / "data").glob("*/cpu/checkpoints"))
    if not synths:
        raise SystemExit("no checkpoints in data/*/cpu: a wheel is built from a clone, or from its sdist")
    return [max((path.parent for path in sorted(folder.glob("*/config.json"))), key=score) for folder in synths]


def halve(path: Path) -> None:
    "Weights of a safetensors file in half precision; statistics (of targets, of batch norm) stay as they are. Written out, since a build has neither torch nor safetensors."
    content = path.read_bytes()
    data = 8 + struct.unpack("<Q", content[:8])[0]
    tensors = {name: about for name, about in json.loads(content[8:data]).items() if name != "__metadata__"}
    parts = {}
    for name, about in tensors.items():
        begin, end = about["data_offsets"]
        part = parts[name] = content[data + begin:data + end]
        if about["dtype"] == "F32" and not name.endswith(("mean", "std", "var")):
            numbers = struct.unpack(f"<{len(part) // 4}f", part)
            about["dtype"], parts[name] = "F16", struct.pack(f"<{len(numbers)}e", *numbers)
    at = 0
    for name in sorted(tensors, key=lambda name: (-int(tensors[name]["dtype"][1:]), name)): # what takes more bytes first: then all are aligned
        tensors[name]["data_offsets"] = [at, at := at + len(parts[name])]
    header = json.dumps(dict(sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]))).encode()
    header += b" " * (-len(header) % 8)
    ordered = b"".join(parts[name] for name in sorted(tensors, key=lambda name: tensors[name]["data_offsets"]))
    path.write_bytes(struct.pack("<Q", len(header)) + header + ordered)


class BuildWithProxies(build_py):
    "Builds the package; a wheel also gets synthproxy/shipped/<synth>, in half precision. An editable installation finds them in its clone."

    def run(self):
        super().run()
        if not self.editable_mode:
            for checkpoint in best_checkpoints():
                copied = Path(self.build_lib) / "synthproxy" / "shipped" / checkpoint.parts[-4]
                shutil.copytree(checkpoint, copied, dirs_exist_ok=True)
                halve(copied / "model.safetensors")


setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(root / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license="GPL-3.0-or-later",
    keywords=cfg["keywords"],
    python_requires=f">={cfg['min_python']}",
    packages=find_packages(include=["synthproxy", "synthproxy.*"]),
    package_data={"synthproxy": ["py.typed", "tuned.csv", "specs/*.csv", "specs/*.dsp", "specs/*.json"]},
    entry_points={"console_scripts": cfg["console_scripts"].split()},
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    cmdclass={"build_py": BuildWithProxies},
)
