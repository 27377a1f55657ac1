"""Shards in any order, a Dask cluster that loses a worker, a pool that loses one: the same store."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from stores import KIND, content, dies, dies_once, same

from ganatomy.data import parts as preparing
from ganatomy.data.prepare import prepare, prepare_shard
from ganatomy.data.store import open_store
from ganatomy.errors import Refused

real = type(KIND).list_candidates


def test_shards_in_any_order_make_the_store(cohort, store, tmp_path, monkeypatch):
    listed = []
    monkeypatch.setattr(type(KIND), "list_candidates", lambda self, *given: listed.append(1) or real(self, *given))
    out = tmp_path / "store"
    assert prepare_shard(cohort, KIND, out, (3, 3), workers=0) is None
    assert prepare_shard(cohort, KIND, out, (1, 3), workers=0) is None
    with pytest.raises(Refused, match="not finished"):
        open_store(out)
    assert prepare_shard(cohort, KIND, out, (1, 3), workers=0) is None  # given again: nothing is done twice
    assert prepare_shard(cohort, KIND, out, (2, 3), workers=0) is not None
    assert len(listed) == 1
    same(content(store.path), content(out))
    assert prepare_shard(cohort, KIND, out, (2, 3), workers=0).manifest == store.manifest
    assert prepare(cohort, KIND, out, workers=0).manifest == store.manifest


def test_shards_that_begin_at_once_make_one_store(cohort, store, tmp_path):
    out = tmp_path / "store"
    words = [
        "prepare",
        cohort,
        "--modality",
        "mammogram",
        "--shape",
        "80,64",
        "--out",
        out,
        "--workers",
        "1",
        "--quiet",
    ]
    begun = [subprocess.Popen([sys.executable, "-m", "ganatomy", *words, "--shard", f"{i}/3"]) for i in (1, 2, 3)]
    begun[0].send_signal(signal.SIGKILL)
    assert [process.wait(60) for process in begun] == [-signal.SIGKILL, 0, 0]
    prepare_shard(cohort, KIND, out, (1, 3), workers=0)
    same(content(store.path), content(out))


def test_shards_of_another_kind_or_number_are_refused(cohort, tmp_path):
    prepare_shard(cohort, KIND, tmp_path / "store", (1, 2), workers=0)
    with pytest.raises(Refused, match=r"store of shape \[80, 64\], not \[160, 128\]"):
        prepare_shard(cohort, type(KIND)(shape=(160, 128)), tmp_path / "store", (2, 2))
    for wrong in ((0, 2), (3, 2)):
        with pytest.raises(Refused, match="give i/n with i from 1 to n"):
            prepare_shard(cohort, KIND, tmp_path / "store", wrong)


def test_a_pool_that_loses_a_worker_goes_on(cohort, store, tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "_write_part", dies_once)
    monkeypatch.setenv("GANATOMY_TEST_DIES", str(tmp_path / "died"))
    prepare(cohort, KIND, tmp_path / "store", workers=2)
    assert (tmp_path / "died").exists()
    same(content(store.path), content(tmp_path / "store"))


def test_a_pool_that_loses_every_worker_says_so(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "_write_part", dies)
    with pytest.raises(Refused, match=r"ended by the system before any part is done.*fewer --workers"):
        prepare(cohort, KIND, tmp_path / "store", workers=2)


@pytest.fixture
def cluster():
    """A scheduler and three worker processes on loopback."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1", silence_logs=50
    ) as cluster:
        yield cluster


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_that_loses_a_worker_makes_the_same_store(cluster, cohort, store, tmp_path):
    out = tmp_path / "store"
    victim = next(iter(cluster.workers.values())).process.process.pid

    def kill():
        while not list((out / "parts").glob("*.jsonl")):
            time.sleep(0.001)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    prepare(cohort, KIND, out, dask=cluster.scheduler_address)
    killer.join()
    same(content(store.path), content(out))


def test_where_no_cluster_answers_it_says_so(cohort, tmp_path, monkeypatch):
    with pytest.raises(Refused, match=r"--dask nonsense://x: no Dask scheduler answers"):
        prepare(cohort, KIND, tmp_path / "store", dask="nonsense://x")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Refused, match=r"pip install 'ganatomy\[dask\]'"):
        prepare(cohort, KIND, tmp_path / "store", dask="tcp://127.0.0.1:1")
