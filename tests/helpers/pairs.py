"""Two processes that train together over gloo, forked from a server that has torch loaded."""

import json
import multiprocessing
import os
import signal
import socket
import traceback
from pathlib import Path

import torch

from ganatomy.machine import progress
from ganatomy.recipes.recipe import Recipe
from ganatomy.training.callbacks import Callback, Callbacks, Intervals
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.train import train

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["ganatomy.training.train", "ganatomy.recipes", "pairs"])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def together(work, *arguments, timeout=180):
    """Exit codes of two processes that do the same work, as torchrun would start them."""
    port = free_port()
    processes = [SERVER.Process(target=_one, args=(number, port, work, arguments)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout)
        if process.is_alive():
            process.kill()
    return [process.exitcode for process in processes]


def _one(number, port, work, arguments):
    os.environ.update(
        RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    progress.quiet = True
    try:
        work(*arguments)
    except Exception as error:  # a traceback helps where a test expected none
        traceback.print_exc()
        os._exit(getattr(error, "exit_code", 1))
    os._exit(0)


def trained(recipe, store, out, killed_at=None, often=0.016, generator=None, how=None):
    """Train; process 1 is killed outright at a step if wished. Process 0 leaves the terms of each step."""
    steps, terms = [], []

    def note(self, found):
        steps.append(1)
        terms.append({name: float(term) for name, term in found.items()})
        if int(os.environ.get("RANK", "0")) == 1 and len(steps) == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    before = Callbacks.record_losses, Callback.record_losses
    Callbacks.record_losses = Callback.record_losses = note
    intervals = Intervals(tick_kimg=1, grid_kimg=100, snapshot_kimg=100, checkpoint_kimg=often)
    how = None if how is None else ComputeSettings.model_validate(how)
    try:
        run = train(Recipe.model_validate(recipe), store, out, intervals=intervals, generator=generator, computing=how)
    finally:
        Callbacks.record_losses, Callback.record_losses = (
            before  # the session that runs the tests trains in this process, too
        )
    if os.environ.get("RANK", "0") == "0":
        (Path(run.path) / "terms.json").write_text(json.dumps(terms))
