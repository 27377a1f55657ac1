"""The machine: how OpenMP's threads wait, how much memory is free on any system."""

import os
import subprocess
import sys
import time

import psutil
import pytest
import torch

from ganatomy.machine import device
from ganatomy.machine.processes import run_child


def _read_policy(program, environment):
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return told.stdout.strip()


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_asleep_unless_the_user_says_otherwise(given, expected):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
    program = "import os, sys, ganatomy; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    assert _read_policy(program, environment) == expected


def test_the_command_sets_it_before_torch_loads():
    program = (
        "import sys, os, ganatomy.cli; assert 'torch' not in sys.modules; print(os.environ.get('OMP_WAIT_POLICY'))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    assert _read_policy(program, environment) == "PASSIVE"


def test_free_memory_is_that_of_the_system_or_of_the_container(monkeypatch):
    class Memory:
        available = 5 * 2**30

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory)
    monkeypatch.setattr(device, "CGROUP_MEMORY_FILES", ())  # as on macOS
    assert device.measure_free_memory(torch.device("cpu")) == 5 * 2**30
    monkeypatch.setattr(device, "CGROUP_MEMORY_FILES", (("a", "b"),))
    monkeypatch.setattr(device, "_read_cgroup_free_memory", lambda limit, used: 2**30)
    assert device.measure_free_memory(torch.device("cpu")) == 2**30


PARENT = """
import sys
import time
from ganatomy.machine.processes import run_child
child = "import time; from ganatomy.machine.processes import exit_with_standard_input as leave; leave();"
child += f"open({sys.argv[1]!r}, 'w').write(str(__import__('os').getpid())); time.sleep(60)"
run_child([sys.executable, "-c", child])
"""


def test_a_child_ends_with_its_killed_parent(tmp_path):
    told = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, told])
    while not (told.exists() and told.read_text()):
        assert parent.poll() is None
        time.sleep(0.01)
    child = psutil.Process(int(told.read_text()))
    parent.kill()
    parent.wait()
    child.wait(10)
    assert not psutil.pid_exists(child.pid)


def test_a_child_is_heard_to_its_end():
    program = "import sys, ganatomy.machine.processes as p; p.exit_with_standard_input();"
    program += "print('a'); print('b', file=sys.stderr); sys.exit(3)"
    done = run_child([sys.executable, "-c", program])
    assert (done.returncode, done.stdout, done.stderr) == (3, "a\n", "b\n")
