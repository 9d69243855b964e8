"""What several tests need: weights where there are any, and small datasets."""
import os
from pathlib import Path

import pytest

from synthproxy.audio_models import WEIGHTS_VARIABLE, have_weights
from synthproxy.datasets import Dataset, Recipe, generate
from synthproxy.priors import PRESETS_VARIABLE

ROOT = Path(__file__).parent.parent
for variable, folder in ((WEIGHTS_VARIABLE, "weights"), (PRESETS_VARIABLE, "presets")):
    if variable not in os.environ and (ROOT.parent / "shared" / folder).is_dir():
        os.environ[variable] = str(ROOT.parent / "shared" / folder)


@pytest.fixture
def mn04_weights() -> None:
    if not have_weights("mn04"):
        pytest.skip(f"no mn04 weights: set {WEIGHTS_VARIABLE} to their folder, or connect to the network once")


@pytest.fixture(scope="session")
def validation_set(tmp_path_factory) -> Dataset: # as few rows as a validation takes
    "Made once for all tests that train, and for all processes that run them."
    own = tmp_path_factory.getbasetemp()
    place = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return generate(Recipe("dexed", "mel128", 512, 401), place / "validation_set")
