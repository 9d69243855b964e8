"""The site's sources: notebooks without hidden cells, the README as first page, API pages, results. `make docs` runs this and then mkdocs.

With `--all` the interactive maps that are not there are made, of every synth that has an engine here.
"""
import importlib
import inspect
import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pandas as pd
import yaml
from latex2mathml.converter import convert
from nbdev.showdoc import BasicMarkdownRenderer

from synthproxy.datasets import has_handcrafted
from synthproxy.maps import write_map
from synthproxy.plugins import PLUGINS, RENDERERS, preflight

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "build" / "docs"


def notebook_page(path: Path) -> None:
    "A notebook with its outputs; hidden cells go, directives go, links to results become links within the site."
    notebook = nbformat.reads(path.read_text(), as_version=4)
    kept = []
    for cell in notebook.cells:
        lines = cell.source.splitlines()
        if any(line.startswith(("#| hide", "#| default_exp")) for line in lines):
            continue
        if cell.cell_type == "code":
            cell.source = "\n".join(line for line in lines if not line.startswith("#|")).strip()
            for output in cell.outputs:
                if "data" in output:
                    output["data"].pop("application/vnd.jupyter.widget-view+json", None)
            if not cell.source and not cell.outputs:
                continue
        else:
            cell.source = re.sub(r"\$\$(.+?)\$\$", lambda m: convert(m[1], display="block"), cell.source, flags=re.S) # no script needed to show it
            cell.source = re.sub(r"\]\((\w+)\.ipynb(#[^)]*)?\)", r"](\1.html\2)", cell.source)
        cell.source = cell.source.replace("](../results/", "](results/")
        kept.append(cell)
    notebook.cells = kept
    nbformat.write(notebook, DOCS / path.name)


def api_page(name: str) -> str:
    "A module's public names with their signatures, whose comments say what each argument is."
    module = importlib.import_module(f"synthproxy.{name}")
    parts = [f"# {name}", "", module.__doc__ or "", ""]
    for public in module.__all__:
        item = getattr(module, public)
        if not callable(item) or getattr(item, "__module__", module.__name__) != module.__name__:
            continue
        parts.append(BasicMarkdownRenderer(item)._repr_markdown_())
        methods = inspect.getmembers(item, inspect.isfunction) if inspect.isclass(item) else []
        parts += [BasicMarkdownRenderer(method, title_level=4)._repr_markdown_() for title, method in methods if not title.startswith("_") and method.__module__ == module.__name__]
    return "\n\n".join(parts).replace("\n---\n", "\n")


def title_of(path: Path) -> str:
    "The first heading of a notebook."
    return next(re.sub(r"^# ", "", line) for cell in json.loads(path.read_text())["cells"] for line in "".join(cell["source"]).splitlines() if line.startswith("# "))


def first_page() -> None:
    "The README, whose links lead into the site."
    text = (ROOT / "README.md").read_text()
    text = re.sub(r"\]\(nbs/(\w+\.ipynb)\)", r"](\1)", text)
    text = re.sub(r"\]\((LICENSE|CITATION\.cff|CONTRIBUTING\.md)\)", r"](https://github.com/synthproxy/synthproxy/blob/main/\1)", text)
    (DOCS / "index.md").write_text(text)


def make_maps(folder: Path) -> None:
    "The interactive maps of synths that have hand-crafted presets and an engine here; they are too large to be committed."
    for synth in RENDERERS:
        there = has_handcrafted(synth, "cpu") and not (synth in PLUGINS and preflight(synth, measure=False).problem)
        if there and not (folder / f"map_{synth}.html").is_file():
            write_map(synth, "cpu")


def results_page() -> None:
    "Every table and figure of the cpu profile."
    lines = ["# Results", "", "Made by `make reproduce`; each number's commit is in the CSV files beside the tables.", ""]
    folder = ROOT / "results" / "cpu"
    if "--all" in sys.argv:
        make_maps(folder)
    shutil.copytree(folder, DOCS / "results" / "cpu", ignore=shutil.ignore_patterns("notebooks", "*.tex"))
    for path in sorted(folder.glob("table_*.md")):
        lines += [f"## {path.stem.removeprefix('table_').replace('handcrafted', 'hand-crafted').replace('paper', 'beside the paper').capitalize()}", "", path.read_text(), "",
                  f"[CSV](results/cpu/{path.stem}.csv)", ""]
    lines += ["## Figures", ""]
    for path in sorted(folder.glob("*.png")):
        pdf = f" [PDF](results/cpu/{path.stem}.pdf)" if path.with_suffix(".pdf").is_file() else ""
        lines += [f"### {path.stem.replace('_', ' ')}", "", f"![{path.stem}](results/cpu/{path.name})", "", pdf, ""]
    maps = sorted(folder.glob("map_*.html"))
    if maps:
        lines += ["## Interactive maps", "", *[f"- [{path.stem.removeprefix('map_')}](results/cpu/{path.name})" for path in maps], ""]
    runs = ROOT / "results" / "runs.csv"
    if runs.is_file():
        lines += ["## Runs", "", "What each step took, the last time that it was run.", "", pd.read_csv(runs).to_markdown(index=False), ""]
    (DOCS / "results.md").write_text("\n".join(lines))


def main() -> None:
    "Write build/docs, and the navigation into build/mkdocs.yml."
    shutil.rmtree(DOCS, ignore_errors=True)
    (DOCS / "api").mkdir(parents=True)
    notebooks = [path for path in sorted((ROOT / "nbs").glob("*.ipynb")) if path.stem != "index"]
    for path in notebooks:
        notebook_page(path)
    modules = sorted(path.stem for path in (ROOT / "synthproxy").glob("[!_]*.py"))
    for module in modules:
        (DOCS / "api" / f"{module}.md").write_text(api_page(module))
    first_page()
    results_page()
    shutil.copy(ROOT / "docs" / "reproducibility.md", DOCS)
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    nav = [{"Home": "index.md"}, {"Results": "results.md"}, {"Add a synth": "91_add_a_synth.ipynb"}, {"Costs": "92_costs.ipynb"}, {"Reproducibility": "reproducibility.md"},
           {"Notebooks": [{f"{path.stem[:2]} {title_of(path)}": path.name} for path in notebooks if path.stem not in ("91_add_a_synth", "92_costs")]},
           {"API": [{module: f"api/{module}.md"} for module in modules]}]
    config |= {"nav": nav, "docs_dir": str(DOCS), "site_dir": str(ROOT / "build" / "site")}
    (ROOT / "build" / "mkdocs.yml").write_text(yaml.safe_dump(config, sort_keys=False))


if __name__ == "__main__":
    main()
