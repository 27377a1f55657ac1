"""Commands under a fault or killed, in processes forked from one that has the libraries loaded.

So a kill falls into the work and not into the imports.
"""

import hashlib
import io
import multiprocessing
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback

import torch

SERVER = multiprocessing.get_context("forkserver")
CLOCK = 86_400.0  # seconds that the clock jumps


def _command(words, fault, told):
    """In the forked process: a command under a fault."""
    from ganatomy.cli import main
    from ganatomy.training import loop

    os.setpgrp()
    sys.stdout = sys.stderr = said = io.StringIO()  # a file would be cut short by a full disk
    torch.set_num_threads(1)
    kind, _, value = fault.partition("=")
    if kind == "full disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(value), int(value)))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if kind == "gradient":
        real, calls = loop.distributed.list_gradients, []

        def poisoned(parameters):
            found = real(parameters)
            calls.append(1)
            if len(calls) == int(value):
                found[0].fill_(float("nan"))
            return found

        loop.distributed.list_gradients = poisoned
    if kind == "clock":
        real_time, jumps = time.time, []
        time.time = lambda: real_time() + CLOCK * (len(jumps) % 3 - 1) + (jumps.append(1) or 0)
    try:
        code = main(list(map(str, words)))
    except BaseException:
        code = 70
        traceback.print_exc()
    told.send(said.getvalue())
    told.close()
    os._exit(code)


def begun(words, fault=""):
    """A process at work, and where it will say what it had to say."""
    here, there = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=_command, args=(words, fault, there))
    process.start()
    there.close()
    return process, here


def ended(words, fault=""):
    """Exit code and what was said."""
    process, here = begun(words, fault)
    said = here.recv() if here.poll(300) else "said nothing for five minutes"
    process.join(10)
    return process.exitcode, said


def content(folder, patterns):
    """Files by name with their hashes; the clock and folders' names left aside."""
    files = sorted(path for pattern in patterns for path in folder.rglob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Work:
    """A command, where its output goes, and which of it must be the same."""

    def __init__(self, name, words, patterns):
        self.name, self.words, self.patterns = name, words, patterns

    def at(self, out):
        return [str(word).replace("OUT", str(out)) for word in self.words]

    def content(self, out):
        return content(out, self.patterns)


def killed(work, out, times, seconds, chance):
    """Kill the command at random moments until so many kills came while it was at work."""
    hits = 0
    while hits < times:
        process, _ = begun(work.at(out))
        process.join(chance.uniform(0.05, 0.9 * seconds))
        if process.is_alive():
            hits += 1
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                process.kill()
            process.join()
        if process.exitcode == 0:
            shutil.rmtree(out)  # it was done: the next one begins anew
    return hits


def damaged(file, how):
    content = bytearray(file.read_bytes())
    if how == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    else:
        file.unlink()


def leftovers(out):
    """Temporary files and locks in an output and beside it."""
    return [*out.rglob("*.part"), *out.parent.glob(f".{out.name}.*")]


FULL = """
mount -t tmpfs -o size={size}k tmpfs {place} || exit 99
{command}; echo "first $?"
mount -o remount,size=1g {place}
{command}; echo "then $?"
cp -a {place}/out {kept}
"""


def on_a_full_file_system(work, place, kept, size):
    """Exit codes and words of a command on a file system of its own of so many KiB, full and then larger; None = no
    right to mount one."""
    place.mkdir()
    command = shlex.join([sys.executable, "-m", "ganatomy", *work.at(place / "out")])
    script = FULL.format(size=size, place=place, kept=kept, command=command)
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode == 99 or "unshare" in done.stderr:
        return None
    codes = dict(line.split() for line in done.stdout.splitlines() if line.startswith(("first ", "then ")))
    return int(codes["first"]), int(codes["then"]), done.stderr
