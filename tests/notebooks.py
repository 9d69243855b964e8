"""Run nbdev_test over every notebook and count what it ran: it prints no count itself, and finds nothing quietly."""
import os
import re
import subprocess
import sys
from pathlib import Path

root = Path(__file__).parent.parent
notebooks = sorted(p.name for p in (root / "nbs").glob("*.ipynb"))
env = {k: v for k, v in os.environ.items() if k != "IN_TEST"}
run = subprocess.run(["nbdev_test", "--n_workers", "2", "--do_print"], cwd=root, env=env, capture_output=True, text=True)
completed = set(re.findall(r"^- Completed .*?([^/\s]+\.ipynb)", run.stdout, re.M)) & set(notebooks)
failed = set(re.findall(r"^\t(\S+\.ipynb)$", run.stdout + run.stderr, re.M)) # nbdev's closing list
passed = completed - failed
if run.returncode or len(passed) < len(notebooks):
    print(run.stdout, run.stderr, sep="\n")
    print("not passed:", ", ".join(n for n in notebooks if n not in passed))
print(f"notebooks: {len(passed)} passed, {len(notebooks) - len(passed)} failed")
sys.exit(run.returncode or len(passed) < len(notebooks))
