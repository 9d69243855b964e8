"""The package's metadata lives in settings.ini; this reads it for setuptools, and packs the best proxy of each synth into a wheel."""
import json
import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

root = Path(__file__).parent
ini = ConfigParser(delimiters=["="])
ini.read(root / "settings.ini")
cfg = ini["DEFAULT"]
extras = {key.removesuffix("_requirements"): words.split() for key, words in cfg.items() if key.endswith("_requirements")}
extras["dev"] = sorted({word for name in ("dev", "render", "plots", "pipeline") for word in extras[name]}) # a clone does everything


def best_checkpoints() -> list[Path]:
    "Of each synth that ships, the checkpoint with the highest validation MRR."
    def score(folder: Path) -> float:
        return json.loads((folder / "config.json").read_text())["validation"]["mrr_512"]

    synths = sorted((root / "data").glob("*/cpu/checkpoints"))
    if not synths:
        raise SystemExit("no checkpoints in data/*/cpu: a wheel is built from a clone, or from its sdist")
    return [max((path.parent for path in sorted(folder.glob("*/config.json"))), key=score) for folder in synths]


class BuildWithProxies(build_py):
    "Builds the package; a wheel also gets synthproxy/shipped/<synth>. An editable installation finds them in its clone."

    def run(self):
        super().run()
        if not self.editable_mode:
            for checkpoint in best_checkpoints():
                shutil.copytree(checkpoint, Path(self.build_lib) / "synthproxy" / "shipped" / checkpoint.parts[-4], dirs_exist_ok=True)


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
