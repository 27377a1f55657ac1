"""Synthetic fixtures: a small phantom cohort, its store, and a tiny run, made once a session.

Every test computes with one thread: a run's bits depend on the number of threads, the networks here are too small to
gain by a second one, and `make test` runs two workers of pytest on two cores.
"""

import os
from pathlib import Path

import pytest
import torch

from ganatomy.data.keys import KEY_VARIABLE
from ganatomy.data.prepare import prepare
from ganatomy.machine import progress
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.phantoms.cohort import write_cohort as phantoms
from ganatomy.recipes import get_recipe
from ganatomy.training.callbacks import Intervals
from ganatomy.training.train import train

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

THREADS = 1
os.environ["OMP_NUM_THREADS"] = str(THREADS)  # of the commands that tests start, and of the workers of pytest
torch.set_num_threads(THREADS)  # fixtures of the session are made before those of a test

OFTEN = Intervals(tick_kimg=0.04, grid_kimg=0.2, snapshot_kimg=0.08, checkpoint_kimg=0.16)


@pytest.fixture(scope="session", autouse=True)
def _key_of_pseudonyms(tmp_path_factory):
    """A key of the tests' own, for the processes that they start, too."""
    os.environ[KEY_VARIABLE] = str(tmp_path_factory.mktemp("key") / "pseudonyms.key")


@pytest.fixture(autouse=True)
def _quiet_and_one_thread():
    progress.quiet = True
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)  # random inputs of a test do not depend on the tests before it
    yield
    progress.quiet = False
    torch.set_num_threads(THREADS)  # a test may have given --threads


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """Ten phantom patients, four DICOM files each, 320 x 256."""
    folder = tmp_path_factory.mktemp("raw") / "cohort"
    progress.quiet = True
    phantoms("mammogram", folder, 10, seed=0, shape=(320, 256))
    return folder


@pytest.fixture(scope="session")
def store(cohort, tmp_path_factory):
    """Their store, up to 80 x 64."""
    return prepare(cohort, Mammogram(shape=(80, 64)), tmp_path_factory.mktemp("store") / "store", workers=0)


@pytest.fixture(scope="session")
def run(store, tmp_path_factory):
    """A complete run of the tiny `pggan-mammogram`, with several snapshots of full size."""
    progress.quiet = True
    return train(get_recipe("pggan-mammogram").make_tiny(), store, tmp_path_factory.mktemp("runs"), intervals=OFTEN)


@pytest.fixture(scope="session")
def thoraces(tmp_path_factory):
    """Sixteen phantom thoraces as DICOM series, 32 cubed."""
    folder = tmp_path_factory.mktemp("raw") / "thoraces"
    progress.quiet = True
    phantoms("chest_ct", folder, 16, seed=0, shape=(32, 32, 32), workers=1)
    return folder


@pytest.fixture(scope="session")
def volumes(thoraces, tmp_path_factory):
    """Their store, labelled with the severity of their emphysema."""
    facts = FactSource(thoraces / "truth.csv", {"emphysema": "emphysema"})
    return prepare(thoraces, ChestCT(facts, (32, 32, 32)), tmp_path_factory.mktemp("store") / "volumes", workers=0)


@pytest.fixture(scope="session")
def hagan(volumes, tmp_path_factory):
    """A complete run of the tiny `hagan`."""
    progress.quiet = True
    return train(get_recipe("hagan").make_tiny(), volumes, tmp_path_factory.mktemp("runs"), intervals=OFTEN)


@pytest.fixture
def shared():
    """The folder of small real images, which is not part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"real images are not here: {SHARED.name} folder beside the project is absent")
    return SHARED
