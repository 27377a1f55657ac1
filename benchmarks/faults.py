"""Commands under faults: each must end in the unbroken command's bits, or say why.

    python benchmarks/faults.py [--quick] [--kills 60] [--seed 0]

Commands run in processes forked from one that has the libraries loaded, so that a kill falls into the work and not into
the imports; the moments are drawn from a seed over the time that the unbroken command takes. After its faults the same
command is given once more and its output compared byte for byte with the unbroken one's (a training's checkpoints and
snapshots, a store's arrays and tables, the samples, the DICOM files, reports, tables of features). The last line is
JSON; `ratio` is the share of rows that ended well. Rows that cannot be tried here, such as a file system of its own
where nobody may mount one, are left out.
"""

import argparse
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch
from _under_faults import SERVER, Work, begun, damaged, ended, killed, leftovers, on_a_full_file_system

from ganatomy.data.store import open_store
from ganatomy.machine.durable import read_lines

HELPERS = Path(__file__).resolve().parents[1] / "tests" / "helpers"
PATIENTS = 40  # so that four are held out
FULL_KIB = {"prepare": 900, "encode": 40, "augment-study": 8, "evaluate": 64}  # less than each needs, more than nothing


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
            [
                *("prepare", raw, "--modality", "chest_ct", "--shape", "32,32,32", "--out", "OUT", "--workers", "2"),
                *("--facts", raw / "truth.csv", "--column", "emphysema=emphysema"),
            ],
            ["arrays/**/*", "cases.safetensors", "manifest.json"],
        ),
        "sample": Work("sample", ["sample", run, "--n", "60", "--out", "OUT"], ["*"]),
        "export": Work(
            "export", ["export", folder / "samples", "--to", "dicom", "--date", "20260101", "--out", "OUT"], ["*"]
        ),
        "evaluate": Work("evaluate", ["evaluate", folder / "few", store, "--n", "4", "--out", "OUT"], ["*"]),
        "encode": Work(
            "encode",
            ["encode", folder / "coder", store, "--out", "OUT/features.csv", "--to", "nifti", "--device", "cpu"],
            ["*"],
        ),
        "augment-study": Work(
            "augment-study",
            [
                *("augment-study", store, "--target", "emphysema", "--shape", "16,16,16", "--share", "0.5"),
                *("--share", "1", "--seeds", "2", "--steps", "4", "--out", "OUT"),
            ],
            ["*"],
        ),
        "benchmark": Work(
            "benchmark",
            [
                *("benchmark", "--store", store, "--tiny", "--kimg", "0.016", "--n", "8", "--rounds", "1"),
                *("--recipe", "vae-gan", "--out", "OUT"),
            ],
            ["rows/*/row.json", "rows/*/samples/*", "snapshots/*/*.safetensors"],  # the page has measured times
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
                str(PATIENTS),
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
    assert ended(["sample", folder / "run", "--n", "8", "--out", folder / "few"])[0] == 0
    coder = ["train", "vae-gan", folder / "store", "--tiny", "--set", "total_kimg=0.04", "--out", folder / "coders"]
    assert ended([*coder, "--threads", "1"])[0] == 0
    shutil.copytree(next((folder / "coders").glob("0*")), folder / "coder")
    for name in ("evaluate", "encode", "augment-study", "benchmark"):
        start = time.perf_counter()
        code, said = ended(every[name].at(folder / f"whole-{name}"))
        assert code == 0, said
        unbroken[name] = (every[name].content(folder / f"whole-{name}"), time.perf_counter() - start)
    return every, unbroken


def twice_at_once(work, wanted, out):
    """Two of the same command begun together: one is refused, or it comes when the other has ended."""
    both = [begun(work.at(out)) for _ in range(2)]
    said = [here.recv() if here.poll(300) else "" for _, here in both]
    for process, _ in both:
        process.join(10)
    codes = sorted(process.exitcode for process, _ in both)
    same, left = work.content(out) == wanted, leftovers(out)
    refused = next((text for text in said if "Another command" in text), "")
    return {
        "command": work.name,
        "fault": "the same command twice at once",
        "times": 1,
        "first": refused.strip()[-160:],
        "then": "the same bits" if same else f"exit {codes}: {said}",
        "good": codes in ([0, 0], [0, 2]) and same and not left,
    }


def full_file_systems(every, unbroken, folder):
    """A row a command, where somebody who is not the administrator may mount a file system of his own."""
    for name, size in FULL_KIB.items():
        kept = folder / f"kept-{name}"
        told = on_a_full_file_system(every[name], folder / f"small-{name}", kept, size)
        if told is not None:
            line = next((line for line in told[2].splitlines() if "disk is full" in line.lower()), told[2][-160:])
            same = every[name].content(kept) == unbroken[name][0]
            yield {
                "command": name,
                "fault": f"a real file system of {size} KiB, then of 1 GiB",
                "times": 1,
                "first": line[:160],
                "then": "the same bits" if same else f"exit {told[1]}, same {same}",
                "good": told[:2] == (2, 0) and same and "Traceback" not in told[2],
            }


def odd_files(work, folder):
    """Files that mean harm beside good ones: each a row, and the good ones as without them."""
    sys.path.insert(0, str(HELPERS))
    from odd_files import write_odd_files

    odd, out = folder / "raw" / "odd", folder / "odd-store"
    names = write_odd_files(odd, 4200)
    words = [word for word in work.at(out) if word not in ("--facts", "--column", "emphysema=emphysema")]
    code, said = ended([word for word in words if not word.endswith("truth.csv")])
    shutil.rmtree(odd)
    told = {Path(row["file"]).name: row["reason"] for row in read_lines(out / "quarantine.jsonl")}
    before, after = open_store(folder / "store"), open_store(out)
    same = [case["pixels"] for case in before.cases] == [case["pixels"] for case in after.cases]
    return {
        "command": "prepare",
        "fault": f"{len(names)} odd files: bombs of 4 MB, a looping TIFF, PostScript, cut and flipped files, odd names",
        "times": 1,
        "first": "; ".join(sorted(set(told.values()))),
        "then": f"{len(told)} rows, the other {len(after.cases)} images are stored" if same else f"exit {code}: {said}",
        "good": code == 0 and same and set(told) == set(names),
    }


def rows_of(folder, options):
    every, unbroken = prepared(folder)
    chance = random.Random(options.seed)

    def finish(name, fault, out, hits, first=""):
        """Give the same command again and compare its output with that of the uninterrupted command."""
        code, said = ended(every[name].at(out))
        same = every[name].content(out) == unbroken[name][0]
        left = leftovers(out)
        good = code == 0 and same and not left
        outcome = "the same bits" if good else f"exit {code}, same {same}, left {len(left)}: {said[-300:]}"
        shutil.rmtree(out, ignore_errors=True)
        return {"command": name, "fault": fault, "times": hits, "first": first, "then": outcome, "good": good}

    shares = {"train": 0.4, "prepare": 0.2, "sample": 0.05, "export": 0.1}
    shares |= {"evaluate": 0.05, "encode": 0.1, "augment-study": 0.05, "benchmark": 0.05}
    for name, share in shares.items():
        out = folder / f"killed-{name}"
        hits = killed(every[name], out, max(1, round(share * options.kills)), unbroken[name][1], chance)
        yield finish(name, "SIGKILL at a random moment", out, hits)
    for name in ("prepare", "encode", "augment-study"):
        yield twice_at_once(every[name], unbroken[name][0], folder / f"twice-{name}")
    yield from full_file_systems(every, unbroken, folder)
    if not options.quick:
        yield odd_files(every["prepare"], folder)
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
        [
            *("ganatomy.training.train", "ganatomy.exporting.export", "ganatomy.data.prepare", "ganatomy.encoding"),
            *("ganatomy.evaluation.evaluate", "ganatomy.studies.augment", "ganatomy.benchmark.run", "_under_faults"),
        ]
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
