"""README.md from nbs/index.ipynb: hidden cells and directives go, outputs and prose stay. `python tools/make_readme.py` writes it."""
import json
import re
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parent.parent


def readme() -> str:
    "The README's text."
    notebook = nbformat.reads(json.dumps(json.loads((ROOT / "nbs" / "index.ipynb").read_text())), as_version=4)
    kept = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            if "#| hide" in cell.source.splitlines():
                continue
            echo = "#| echo: false" not in cell.source
            cell.source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.M) if echo else ""
        kept.append(cell)
    notebook.cells = kept
    notebook.metadata["language_info"] = {"name": "python"}
    text = MarkdownExporter().from_notebook_node(notebook)[0]
    text = re.sub(r"```python\n\s*```\n?", "", text) # cells that show only their output
    text = re.sub(r"\]\(\.\./", "](", text) # links as seen from the root
    text = re.sub(r"\]\((\w+\.ipynb)\)", r"](nbs/\1)", text)
    return "<!-- made from nbs/index.ipynb by `make readme` -->\n" + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    (ROOT / "README.md").write_text(readme())
