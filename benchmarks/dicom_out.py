"""Measure writing and sending DICOM: our writer and pydicom's own, one association and one for each instance.

    python benchmarks/dicom_out.py [--quick]

Writing: both sides write the same 1,000 data sets (mammograms of 1280 x 1024, 20 different ones in turn), alternating
after each hundred. `ratio` is our rate divided by that of `pydicom.dcmwrite` straight to the final name. Our writer
writes beside the target and renames, so that a file is complete or absent. For `durable_ratio` both sides wait for the
disk at the end. The steps before writing (reading a 16-bit PNG, building the data set with the hash of its pixels) are
measured separately.

Sending: 100 CT slices of 128 x 128 are sent to a C-STORE provider in another process on loopback. `send_ratio` is the
time with an association for each slice divided by the time with one association. The last line is JSON.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmwrite

from ganatomy.dicom import write, write_mammogram, write_series
from ganatomy.dicom.association import CStoreArchive
from ganatomy.dicom.volume_class import CT
from ganatomy.exporting.export import export, write_samples
from ganatomy.exporting.send import deliver_instances
from ganatomy.imaging.image import Image
from ganatomy.machine import progress
from ganatomy.machine.durable import sync_tree

RECORD = {
    "generator": "pggan-mammogram",
    "snapshot_sha256": "a" * 64,
    "kimg": 1.0,
    "trained_on": "b" * 64,
    "seed": 0,
    "index": 0,
    "truncation": None,
}
DIFFERENT, ROUND = 20, 100
PROVIDER = """
import sys
from pynetdicom import AE, AllStoragePresentationContexts, evt
entity = AE(ae_title="SCP")
entity.supported_contexts = AllStoragePresentationContexts
server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda event: 0)])
print(server.server_address[1], flush=True)
sys.stdin.read()
"""


def breast(number: int) -> np.ndarray:
    """Make a textured half disc with values in [0, 1]."""
    rng = np.random.default_rng(number)
    y, x = np.indices((1280, 1024)) / 1280
    texture = 0.5 + 0.05 * rng.standard_normal((1280, 1024))
    return np.where((y - 0.5) ** 2 + x**2 < 0.2, texture, 0).clip(0, 1).astype(np.float32)


def views(folder: Path) -> tuple[list[Dataset], float]:
    """Build data sets of different images; returns them and the seconds per data set."""
    subject = write.Subject(1, "SYNTHETIC", "benchmark", "20260101")
    pictures = [breast(number) for number in range(DIFFERENT)]
    start = time.perf_counter()
    made = [
        write_mammogram.make_mammogram_instance(p, (0.2, 0.2), "CC", "L", subject, RECORD | {"index": i})
        for i, p in enumerate(pictures)
    ]
    return made, (time.perf_counter() - start) / DIFFERENT


def written(made: list[Dataset], folder: Path, n: int, durable: bool) -> dict[str, list[float]]:
    """Measure the seconds of each side for every round of a hundred files."""
    times: dict[str, list[float]] = {"ours": [], "pydicom": []}
    for number in range(n // ROUND):
        for side in ("ours", "pydicom") if number % 2 else ("pydicom", "ours"):
            place = folder / side
            place.mkdir()
            start = time.perf_counter()
            for i in range(ROUND):
                path = place / f"{i:04d}.dcm"
                if side == "ours":
                    write.save_dataset(made[i % DIFFERENT], path, sync=False)
                else:
                    dcmwrite(path, made[i % DIFFERENT], enforce_file_format=True)
            if durable:
                sync_tree(place)
            times[side].append(time.perf_counter() - start)
            shutil.rmtree(place)
    return times


def exported(folder: Path, n: int) -> float:
    """Measure the seconds per image of the whole `export --to dicom`, from PNG to synchronised instance."""
    facts = {"view_position": "CC", "laterality": "L"}
    drawn = ((Image(breast(i % DIFFERENT) * 2 - 1, (0.2, 0.2), facts), RECORD | {"index": i}) for i in range(n))
    write_samples(drawn, n, "mammogram", folder / "png")
    start = time.perf_counter()
    export(folder / "png", folder / "dicom")
    return (time.perf_counter() - start) / n


def sent(folder: Path, runs: int) -> dict[str, list[float]]:
    """Measure the seconds for 100 slices over one association and over one association for each."""
    subject = write.Subject(1, "SYNTHETIC", "benchmark", "20260101")
    volume = np.random.default_rng(0).normal(0, 300, (100, 128, 128)).astype(np.float32)
    slices = list(write_series.make_series_instances(volume, (1.0, 1.0, 1.0), CT, subject, RECORD))
    times: dict[str, list[float]] = {"one": [], "each": []}
    with subprocess.Popen([sys.executable, "-c", PROVIDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        address = f"127.0.0.1:{int(child.stdout.readline())}/SCP"
        for number in range(runs + 1):  # the first run is a warm-up
            for side in ("one", "each"):
                groups = [slices] if side == "one" else [[ds] for ds in slices]
                start = time.perf_counter()
                for i, group in enumerate(groups):
                    with CStoreArchive(address) as archive:
                        assert deliver_instances(group, archive, folder / f"{side}{number}-{i}.jsonl").accepted == len(
                            group
                        )
                if number:
                    times[side].append(time.perf_counter() - start)
        child.communicate()
    return times


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    progress.quiet = True
    n, runs = (200, 1) if quick else (1000, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made, building = views(folder)
        written(made, folder, ROUND, durable=False)  # warm-up
        plain, durable = (written(made, folder, n, durable) for durable in (False, True))
        whole = exported(folder, 40 if quick else 100)
        shutil.rmtree(folder / "png")
        associations = sent(folder, runs)

    def ratio(times: dict[str, list[float]], ours: str, theirs: str) -> float:
        return round(statistics.median(b / a for a, b in zip(times[ours], times[theirs], strict=True)), 3)

    print(
        json.dumps(
            {
                "name": "dicom_out",
                "ratio": ratio(plain, "ours", "pydicom"),
                "opponent": "pydicom.dcmwrite",
                "durable_ratio": ratio(durable, "ours", "pydicom"),
                "files": n,
                "ours_files_per_second": round(ROUND / statistics.median(plain["ours"])),
                "pydicom_files_per_second": round(ROUND / statistics.median(plain["pydicom"])),
                "building_ms": round(1000 * building, 1),
                "whole_export_ms": round(1000 * whole, 1),
                "send_ratio": ratio(associations, "one", "each"),
                "instances_sent": 100,
                "one_association_s": round(statistics.median(associations["one"]), 2),
                "one_each_s": round(statistics.median(associations["each"]), 2),
                "device": f"{os.cpu_count()} cores, {platform.machine()}",
                "runs": runs,
            }
        )
    )


if __name__ == "__main__":
    main()
