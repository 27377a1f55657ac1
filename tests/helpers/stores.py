"""Stores compared, and parts of them whose worker is killed."""

import os
import signal

import numpy as np

from ganatomy.data import parts as preparing
from ganatomy.data.store import open_store
from ganatomy.machine.durable import read_lines
from ganatomy.modalities.mammogram import Mammogram

KIND = Mammogram(shape=(80, 64))


def content(path):
    """All that a store is, but the time at which it was made."""
    store = open_store(path)
    arrays = {level: np.asarray(store.array(level)[:]) for level in store.manifest.levels}
    return store.manifest, store.cases, read_lines(path / "quarantine.jsonl"), arrays


def same(a, b):
    assert a[:3] == b[:3]
    for level in a[3]:
        assert np.array_equal(a[3][level], b[3][level]), level


WORK = preparing._write_part


def dies_once(out, kind, plan, key, limits, culprits, part, files):
    """The second part's worker is killed the first time."""
    mark = os.environ["GANATOMY_TEST_DIES"]
    if part == 1 and not os.path.exists(mark):
        with open(mark, "x"):
            os.kill(os.getpid(), signal.SIGKILL)
    WORK(out, kind, plan, key, limits, culprits, part, files)


def dies(*_):
    os.kill(os.getpid(), signal.SIGKILL)
