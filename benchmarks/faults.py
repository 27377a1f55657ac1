"""Run train, prepare, sample and export under faults: each must give the uninterrupted result or name the cause.

    python benchmarks/faults.py [--quick] [--kills 60] [--seed 0]

Commands run in processes forked from one that has loaded the libraries, so that a kill interrupts the work and not the
imports. The moments are drawn with a seed over the time that the uninterrupted command takes. After its faults the same
command is given again, and its output is compared byte for byte with that of the uninterrupted command (checkpoints and
snapshots of a training, arrays and tables of a store, samples, DICOM files). The last line is JSON; `ratio` is the
share of rows that ended as intended.
"""

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import torch

from ganatomy.data.store import open_store

SERVER = multiprocessing.get_context("forkserver")
CLOCK = 86_400.0  # jump of the clock in seconds


def _command(words, fault, told):
    """Run a command under a fault; called in the forked process."""
    from ganatomy.cli import main
    from ganatomy.training import loop

    os.setpgrp()
    sys.stdout = sys.stderr = said = io.StringIO()  # not a file, which a full disk would truncate
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
    """A running process and the pipe for its exit code and messages."""
    here, there = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=_command, args=(words, fault, there))
    process.start()
    there.close()
    return process, here


def ended(words, fault=""):
    """Run a command under a fault; returns its exit code and messages."""
    process, here = begun(words, fault)
    said = here.recv() if here.poll(300) else "said nothing for five minutes"
    process.join(10)
    return process.exitcode, said


def content(folder, patterns):
    """Hashes of files by name, without times and the names of folders."""
    files = sorted(path for pattern in patterns for path in folder.rglob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Work:
    """A command, its output folder, and the part of the output that must be the same."""

    def __init__(self, name, words, patterns):
        self.name, self.words, self.patterns = name, words, patterns

    def at(self, out):
        return [str(word).replace("OUT", str(out)) for word in self.words]

    def content(self, out):
        return content(out, self.patterns)


def killed(work, out, times, seconds, chance):
    """Kill the command at random moments until this number of kills interrupted it."""
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
            shutil.rmtree(out)  # the command had finished, so the next one starts again
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


def works(folder):
    raw, store, run = folder / "raw", folder / "store", folder / "run"
    train = [
        "train",
        "hagan",
        store,
        "--tiny",
        "--out",
        "OUT",
        "--threads",
        "1",
        "--checkpoint-kimg",
        "0.02",
        "--tick-kimg",
        "0.04",
        "--snapshot-kimg",
        "0.08",
        "--grid-kimg",
        "0.2",
    ]
    return {
        "train": Work("train", train, ["checkpoints/*/*.safetensors", "snapshots/*/*.safetensors", "recipe.json"]),
        "prepare": Work(
            "prepare",
            ["prepare", raw, "--modality", "chest_ct", "--shape", "32,32,32", "--out", "OUT", "--workers", "2"],
            ["arrays/**/*", "cases.jsonl", "manifest.json"],
        ),
        "sample": Work("sample", ["sample", run, "--n", "60", "--out", "OUT"], ["*"]),
        "export": Work(
            "export", ["export", folder / "samples", "--to", "dicom", "--date", "20260101", "--out", "OUT"], ["*"]
        ),
    }


def prepared(folder):
    """A raw folder, its store, a run and samples; time and output of each uninterrupted command."""
    assert (
        ended(
            [
                "phantom",
                "chest_ct",
                "--out",
                folder / "raw",
                "--patients",
                "24",
                "--shape",
                "32,32,32",
                "--workers",
                "1",
            ]
        )[0]
        == 0
    )
    every, unbroken = works(folder), {}
    for name, place in (("prepare", "store"), ("train", "trained"), ("sample", "samples"), ("export", "exported")):
        start = time.perf_counter()
        code, said = ended(every[name].at(folder / place))
        assert code == 0, said
        unbroken[name] = (every[name].content(folder / place), time.perf_counter() - start)
        if name == "train":
            shutil.copytree(next((folder / place).glob("0*")), folder / "run")
    return every, unbroken


def rows_of(folder, options):
    every, unbroken = prepared(folder)
    chance = random.Random(options.seed)

    def finish(name, fault, out, hits, first=""):
        """Give the same command again and compare its output with that of the uninterrupted command."""
        code, said = ended(every[name].at(out))
        same = every[name].content(out) == unbroken[name][0]
        left = [p for p in out.rglob("*.part")]
        good = code == 0 and same and not left
        outcome = "the same bits" if good else f"exit {code}, same {same}, left {len(left)}: {said[-300:]}"
        shutil.rmtree(out, ignore_errors=True)
        return {"command": name, "fault": fault, "times": hits, "first": first, "then": outcome, "good": good}

    shares = {"train": 0.5, "prepare": 0.25, "sample": 0.1, "export": 0.15}
    for name, share in shares.items():
        out = folder / f"killed-{name}"
        hits = killed(every[name], out, max(1, round(share * options.kills)), unbroken[name][1], chance)
        yield finish(name, "SIGKILL at a random moment", out, hits)
    for name, limit in (("train", 100_000), ("prepare", 20_000), ("export", 2_000), ("sample", 20_000)):
        out = folder / f"full-{name}"
        code, said = ended(every[name].at(out), f"full disk={limit}")
        row = finish(name, "full disk", out, 1, said.strip().splitlines()[-1][:160] if said.strip() else "")
        yield row | {"good": row["good"] and code == 2 and "disk is full" in said}
    for how in ("truncated", "flipped", "deleted"):
        out = folder / f"checkpoint-{how}"
        shutil.copytree(folder / "trained", out)
        (run,) = out.glob("0*")
        damaged(sorted((run / "checkpoints").iterdir())[-1] / "generator.safetensors", how)
        _, said = ended(every["train"].at(out))
        shutil.rmtree(next((run / "checkpoints").glob("damaged-*")))
        yield finish(
            "train",
            f"newest checkpoint {how}",
            out,
            1,
            next(line for line in said.splitlines() if "damage" in line)[:160],
        )
    for how in ("deleted", "flipped", "truncated"):
        broken = folder / f"store-{how}"
        shutil.copytree(folder / "store", broken)
        case = next(case for case in open_store(broken).split("train"))
        damaged(broken / "arrays" / "32x32x32" / "c" / str(case["row"]) / "0" / "0" / "0", how)
        words = [str(broken) if word == str(folder / "store") else word for word in every["train"].at(folder / "none")]
        code, said = ended(words)
        line = said.strip().splitlines()[-1]
        yield {
            "command": "train",
            "fault": f"a case of the store {how}",
            "times": 1,
            "first": line[:160],
            "then": "refused" if code == 2 else f"exit {code}",
            "good": code == 2 and "it again into another folder" in line,
        }
        shutil.rmtree(folder / "none", ignore_errors=True)
    out = folder / "gradient"
    code, said = ended(every["train"].at(out), "gradient=21")
    row = finish("train", "a gradient that is not finite", out, 1, said.strip().splitlines()[-1][:160])
    yield row | {"good": row["good"] and code == 1 and "diverged" in said}
    for name in ("train", "prepare", "export"):
        out = folder / f"clock-{name}"
        code, said = ended(every[name].at(out), "clock")
        same = every[name].content(out) == unbroken[name][0]
        yield {
            "command": name,
            "fault": "the clock jumps by a day, to and fro",
            "times": 1,
            "first": "",
            "then": "the same bits" if same else f"exit {code}: {said[-300:]}",
            "good": same and code == 0,
        }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.kills = options.kills or (8 if options.quick else 60)
    os.environ["OMP_NUM_THREADS"] = "1"
    SERVER.set_forkserver_preload(
        ["ganatomy.training.train", "ganatomy.exporting.export", "ganatomy.data.prepare", "faults"]
    )
    sys.path.insert(0, str(Path(__file__).parent))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for row in rows_of(Path(name), options):
            rows.append(row)
            print(json.dumps(row), flush=True)
    kills = sum(row["times"] for row in rows if "SIGKILL" in row["fault"])
    device = f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}"
    print(
        json.dumps(
            {
                "name": "faults",
                "ratio": sum(row["good"] for row in rows) / len(rows),
                "opponent": "the unbroken command",
                "device": device,
                "runs": 1,
                "seed": options.seed,
                "kills": kills,
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
