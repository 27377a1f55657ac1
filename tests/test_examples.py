"""The examples run as they stand: a loop that gives a command again, and a SLURM job that queues itself again."""

import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from pairs import free_port

import ganatomy
from ganatomy.training.run import open_run

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
OPTIONS = ["--tiny", "--checkpoint-kimg", "0.02", "--threads", "1", "--quiet"]


def _equal(a, b):
    (files, meta), (other, about) = open_run(a).load_newest_checkpoint(), open_run(b).load_newest_checkpoint()
    assert meta["counts"] == about["counts"]
    return all(torch.equal(files[f][k], other[f][k]) for f in files for k in files[f])


ENDS = [([1, 1, 0], 5, 0), ([1, 2], 5, 2), ([130], 5, 130), ([1, 1], 2, 1)]


@pytest.mark.parametrize(("codes", "tries", "expected"), ENDS)
def test_the_loop_ends_when_the_command_does(codes, tries, expected, tmp_path):
    script = tmp_path / "command.sh"
    script.write_text(
        f"echo x >> {tmp_path}/calls\nset -- {' '.join(map(str, codes))}\n"
        f"shift $(($(wc -l < {tmp_path}/calls) - 1))\nexit $1\n"
    )
    done = subprocess.run(
        ["sh", EXAMPLES / "until_done.sh", "sh", script],
        check=False,
        capture_output=True,
        env=os.environ | {"TRIES": str(tries), "PAUSE": "0"},
    )
    assert done.returncode == expected
    assert (tmp_path / "calls").read_text().count("x") == len(codes)


@pytest.mark.ci
def test_monai_learns_from_a_mixture_of_phantoms_and_samples(store):
    """Numbers of classes and masks that nothing has learned would be right for half of the images, and not overlap."""
    script = runpy.run_path(str(EXAMPLES / "train_on_mixture.py"))
    found = script["train_on_mixture"](store.path, ganatomy.get_example_model(), steps=60)
    assert (found["training_images"], found["synthetic"], found["test_images"]) == (64, 32, 4)
    assert found["accuracy"] >= 0.75
    assert found["dice"] > 0.9


@pytest.mark.slow
def test_a_slurm_job_that_is_stopped_queues_itself_again_and_ends_as_if_unbroken(volumes, tmp_path):
    """`srun` and `scontrol` are stand-ins; the launcher and the training are real."""
    tools = tmp_path / "bin"
    tools.mkdir()
    stand_ins = {
        "srun": 'exec "$@"',
        "scontrol": f'if [ "$1" = requeue ]; then echo "$2" >> {tmp_path}/requeued; else echo 127.0.0.1; fi',
        "torchrun": f'exec {sys.executable} -m torch.distributed.run "$@"',
    }
    for name, line in stand_ins.items():
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    job = {
        "SLURM_JOB_NODELIST": "127.0.0.1",
        "SLURM_NNODES": "1",
        "SLURM_JOB_ID": "7",
        "PROCESSES": "2",
        "PORT": str(free_port()),
        "PATH": f"{tools}:{os.environ['PATH']}",
    }

    def begin(out):
        command = ["bash", EXAMPLES / "slurm.sh", "hagan", volumes.path, "--out", out, *OPTIONS]
        return subprocess.Popen(command, env=os.environ | job, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert begin(tmp_path / "whole").wait(120) == 0
    assert not (tmp_path / "requeued").exists()
    stopped = begin(tmp_path / "parts")
    while not list((tmp_path / "parts").glob("*/checkpoints/[0-9]*")):
        assert stopped.poll() is None
        time.sleep(0.01)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(60) != 0
    assert (tmp_path / "requeued").read_text() == "7\n"
    assert begin(tmp_path / "parts").wait(120) == 0
    assert _equal(tmp_path / "whole" / "00000-hagan", tmp_path / "parts" / "00000-hagan")


def test_the_examples_are_shell_without_mistakes():
    for script in EXAMPLES.glob("*.sh"):
        assert subprocess.run([shutil.which("bash"), "-n", script], check=False).returncode == 0
