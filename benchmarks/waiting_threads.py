"""Measure the cost of OpenMP's waiting threads: twelve convolution layers, forward and backward, with and without load.

    python benchmarks/waiting_threads.py [--quick] [--threads 2] [--rounds 5]

OpenMP's threads spin while they wait for each other. If another program uses a core, they spin while the thread that
they wait for does not run, and a step takes many times as long. `OMP_WAIT_POLICY=PASSIVE`, which ganatomy sets unless
the variable is set, lets them sleep. Each measurement is a separate process, since the policy is read when torch is
loaded; the policies alternate. The last line is JSON; `ratio` is the speed with PASSIVE beside one busy core divided by
the speed without, `ratio_idle` the same without other load.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import torch

LAYERS, CHANNELS, SIZE, BATCH = 12, 32, 64, 4
SECONDS = 4.0  # duration of a measurement
POLICIES = {"as OpenMP is": "", "PASSIVE": "PASSIVE"}


def measure(threads: int, seconds: float) -> float:
    """Measure steps per second in this process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layers = torch.nn.Sequential(*(torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(LAYERS)))
    images = torch.randn(BATCH, CHANNELS, SIZE, SIZE)

    def step() -> None:
        layers(images).square().mean().backward()

    step()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step()
        steps += 1
    return steps / (time.perf_counter() - start)


def measure_apart(policy: str, threads: int, seconds: float) -> float:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    environment |= {"OMP_WAIT_POLICY": policy} if policy else {}
    words = [sys.executable, __file__, "--measure", str(seconds), "--threads", str(threads)]
    return float(subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout)


def spin(count: int) -> list[subprocess.Popen[bytes]]:
    """Start this number of processes that each occupy a core."""
    return [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--measure", type=float)
    options = parser.parse_args()
    if options.measure is not None:
        print(measure(options.threads, options.measure))
        return
    rounds = options.rounds or (1 if options.quick else 5)
    seconds = 1.0 if options.quick else SECONDS
    found: dict[str, dict[str, list[float]]] = {}
    before = os.getloadavg()[0]
    for load, others in (("idle", 0), ("one busy core", 1), ("all cores busy", os.cpu_count() or 1)):
        busy = spin(others)
        try:
            for _ in range(rounds):
                for name, policy in POLICIES.items():
                    rate = measure_apart(policy, options.threads, seconds)
                    found.setdefault(load, {}).setdefault(name, []).append(rate)
        finally:
            for process in busy:
                process.kill()
                process.wait()
    middle = {load: {name: statistics.median(rates) for name, rates in one.items()} for load, one in found.items()}
    ratios = {load: one["PASSIVE"] / one["as OpenMP is"] for load, one in middle.items()}
    for load, one in middle.items():
        told = ", ".join(f"{name} {rate:.1f}" for name, rate in one.items())
        print(f"{load}: {told} steps/s, ratio {ratios[load]:.2f}")
    print(
        json.dumps(
            {
                "name": "waiting_threads",
                "ratio": ratios["one busy core"],
                "ratio_idle": ratios["idle"],
                "ratio_all_busy": ratios["all cores busy"],
                "opponent": "OMP_WAIT_POLICY not set",
                "steps_per_second": middle,
                "all": found,
                "runs": rounds,
                "threads": options.threads,
                "load_before": before,
                "device": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}",
            }
        )
    )


if __name__ == "__main__":
    main()
