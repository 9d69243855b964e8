"""What several tests need: weights where there are any, and small datasets."""
import os
from pathlib import Path

import pytest

from synthproxy.audio_models import WEIGHTS_VARIABLE, have_weights

ROOT = Path(__file__).parent.parent
if WEIGHTS_VARIABLE not in os.environ and (ROOT.parent / "shared" / "weights").is_dir():
    os.environ[WEIGHTS_VARIABLE] = str(ROOT.parent / "shared" / "weights")


@pytest.fixture
def mn04_weights() -> None:
    if not have_weights("mn04"):
        pytest.skip(f"no mn04 weights: set {WEIGHTS_VARIABLE} to their folder, or connect to the network once")
