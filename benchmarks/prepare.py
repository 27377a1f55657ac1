"""Compare `ganatomy prepare` on two cores and on one, and its memory by the number of files; extrapolate to a million.

    python benchmarks/prepare.py [--quick] [--before SRC]

The script makes a folder of phantom mammograms of 1280 x 1024 pixels, 12 bits in 16, and prepares it on the paper's
grid, each time in a new process that is bound to one core or two and has as many workers; the sides alternate. Memory
is the largest resident set of any process of the run. The last line is JSON; `ratio` is the time on one core divided by
that on two, including the start of Python.

With `--before` the sides are this checkout and the `src` folder of another one, such as a worktree of an older version,
both on one core in turn; `ratio` is the time of this one divided by that of the other.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = """
import resource, sys
from pathlib import Path
from ganatomy.machine import progress
from ganatomy.data.prepare import prepare
if __name__ == "__main__":
    progress.quiet = True
    prepare(Path(sys.argv[1]), "mammogram", Path(sys.argv[2]), workers=int(sys.argv[3]))
    sides = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    print(max(resource.getrusage(side).ru_maxrss for side in sides) / 1024)
"""


def prepared(raw: Path, workers: int, folder: Path, source: Path | None = None) -> tuple[float, float]:
    """Run `prepare`; returns seconds and MiB of the largest process. `source`: the `src` folder; None = installed."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    start = time.perf_counter()
    told = subprocess.run(
        [sys.executable, program, raw, folder / f"store{time.monotonic_ns()}", str(workers)],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, set(range(workers))),
        env=os.environ | ({} if source is None else {"PYTHONPATH": str(source.resolve())}),
    )
    return time.perf_counter() - start, float(told.stdout)


def make_raw(folder: Path, patients: int) -> Path:
    """Write phantom mammograms, four per patient."""
    raw = folder / f"raw{patients}"
    command = ["phantom", "mammogram", "--patients", str(patients), "--out", str(raw), "--quiet"]
    subprocess.run([sys.executable, "-m", "ganatomy", *command], check=True)
    return raw


def compare_versions(before: Path, patients: int, runs: int) -> None:
    """Compare this checkout with another one, in turn."""
    here = Path(__file__).resolve().parents[1] / "src"
    times: dict[Path, list[float]] = {here: [], before: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = make_raw(folder, patients)
        for source in times:  # warm-up, after which files are cached and modules compiled
            prepared(raw, 1, folder, source)
        for _ in range(runs):
            for source, seconds in times.items():
                seconds.append(prepared(raw, 1, folder, source)[0])
    ratio = statistics.median(a / b for a, b in zip(times[here], times[before], strict=True))
    print(
        json.dumps(
            {
                "name": "prepare",
                "ratio": round(ratio, 3),
                "opponent": "another version",
                "device": f"{os.cpu_count()} cores, {platform.machine()}",
                "runs": runs,
                "files": 4 * patients,
                "this_s": [round(seconds, 2) for seconds in times[here]],
                "before_s": [round(seconds, 2) for seconds in times[before]],
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--before", type=Path, metavar="SRC")
    options = parser.parse_args()
    quick = options.quick
    patients, runs = (48, 1) if quick else (200, 3)
    if options.before is not None:
        return compare_versions(options.before, patients, runs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw, few = (make_raw(folder, n) for n in (patients, patients // 4))
        prepared(few, 2, folder)  # warm-up, after which files are cached and modules compiled
        times: dict[int, list[float]] = {1: [], 2: []}
        memory = {}
        for _ in range(runs):
            for workers in (1, 2):
                seconds, mib = prepared(raw, workers, folder)
                times[workers].append(seconds)
                memory[workers] = mib
        _, mib_few = prepared(few, 2, folder)
    files = 4 * patients
    one, two = (statistics.median(times[n]) for n in (1, 2))
    rate = files / one
    print(
        json.dumps(
            {
                "name": "prepare",
                "ratio": round(statistics.median(a / b for a, b in zip(times[1], times[2], strict=True)), 2),
                "opponent": "one core",
                "device": f"{os.cpu_count()} cores, {platform.machine()}",
                "runs": runs,
                "files": files,
                "one_s": round(one, 2),
                "two_s": round(two, 2),
                "images_per_second_and_core": round(rate, 1),
                "largest_process_mib": {f"{files} files": round(memory[2]), f"{files // 4} files": round(mib_few)},
                "core_hours_for_a_million": round(1e6 / rate / 3600, 1),
                "hours_for_a_million_on_2_cores": round(1e6 / (files / two) / 3600, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
