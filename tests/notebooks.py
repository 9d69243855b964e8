"""Run nbdev_test over every notebook, two at a time, each in a process of its own that has an end, and count what passed."""
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TIMEOUT_S = 900 # of one notebook
root = Path(__file__).parent.parent
environment = {k: v for k, v in os.environ.items() if k != "IN_TEST"} | {"OMP_NUM_THREADS": "1"}


def passes(notebook: str) -> bool:
    start = time.monotonic()
    command = ["nbdev_test", "--path", f"nbs/{notebook}", "--n_workers", "1", "--do_print"]
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as run:
        try:
            output, ended = run.communicate(timeout=TIMEOUT_S)[0], True
        except subprocess.TimeoutExpired: # it, or a process that it left
            os.killpg(run.pid, signal.SIGKILL)
            output, ended = f"{run.communicate()[0]}\nno end within {TIMEOUT_S} s", False
    completed = re.search(rf"^- Completed .*{re.escape(notebook)}", output, re.M) # nbdev_test finds nothing quietly
    passed = ended and run.returncode == 0 and completed is not None
    print(f"{time.monotonic() - start:5.0f} s  {notebook}" + ("" if passed else f": NOT PASSED\n{output}"), flush=True)
    return passed


notebooks = sorted(p.name for p in (root / "nbs").glob("*.ipynb"))
with ThreadPoolExecutor(2) as pool:
    results = list(pool.map(passes, notebooks))
print(f"notebooks: {sum(results)} passed, {len(results) - sum(results)} failed", flush=True)
sys.exit(not all(results))
