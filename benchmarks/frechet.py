"""Compare the Frechet distance with that of torchmetrics on the same arrays; measure features in bounded memory.

    python benchmarks/frechet.py [--quick]

The reference is ``torchmetrics.image.fid._compute_fid`` on means and covariances in float64; computing the covariances
is included, since both sides begin with sets of features. There are N = 600 images with D = 2048, and the two sides
alternate. Then the features of 1,000 images of 512 x 512 are computed from the disk in one pass in a separate process,
whose peak of resident memory is measured, and once more from the cache. The last line is JSON.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from _resident import resident


def distances(n, d, runs):
    from torchmetrics.image.fid import _compute_fid

    from ganatomy.evaluation.metrics.frechet import compute_frechet_distance

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, d)) * 1.1
    a, b = torch.from_numpy(x), torch.from_numpy(y)

    def theirs():
        return float(_compute_fid(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T)))

    times = {"ours": [], "torchmetrics": []}
    values = {}
    for _ in range(runs):
        for name, call in (("ours", lambda: compute_frechet_distance(x, y)), ("torchmetrics", theirs)):
            start = time.perf_counter()
            values[name] = call()
            times[name].append(time.perf_counter() - start)
    ratios = [t / o for o, t in zip(times["ours"], times["torchmetrics"], strict=True)]
    return {
        "seconds": {name: round(median(values), 3) for name, values in times.items()},
        "ratio": round(median(ratios), 2),
        "relative_difference": abs(values["ours"] - values["torchmetrics"]) / values["torchmetrics"],
    }


def passed(n, side):
    """Write images, compute their features, read them again from the cache; prints JSON. Runs in a child process."""
    from ganatomy.data.store import Manifest, Store, create_array, quantise_pixels
    from ganatomy.evaluation.extractors.random_resnet import RandomResNet
    from ganatomy.evaluation.feature_cache import FeatureCache
    from ganatomy.evaluation.images.sets import RealImages
    from ganatomy.machine import progress
    from ganatomy.phantoms.fields import draw_power_law_field

    progress.quiet = True
    shape = (side, side)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        create_array(path, shape, -(-n // 16) * 16, 16)
        import zarr

        array = zarr.open_array(path / "arrays" / f"{side}x{side}", mode="r+")
        images = [
            quantise_pixels(np.clip(draw_power_law_field(np.random.default_rng(i), shape, 2.8) / 3, -1, 1))
            for i in range(16)
        ]
        for start in range(0, n, 16):
            array[start : start + 16] = np.stack(images)
        manifest = Manifest(
            modality="mammogram",
            shape=shape,
            levels=(shape,),
            conditions={},
            options={},
            files=n,
            cases=n,
            patients=n,
            splits={},
            facts={},
            quarantined={},
            spacing=None,
            intensity_quantiles={},
            fingerprint="",
            made_with="",
        )
        cases = [{"row": i, "pixels": str(i), "patient": str(i), "facts": {}} for i in range(n)]
        store, extractor = Store(path, manifest, cases), RandomResNet(2)
        extractor([np.zeros(shape, np.float32)])
        before = resident("VmRSS")
        start = time.perf_counter()
        first = FeatureCache().get_features(extractor, RealImages(store, cases, shape), "images")
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        again = FeatureCache().get_features(extractor, RealImages(store, cases, shape), "images")
        cached = time.perf_counter() - start
        assert (first == again).all()
        peak = round(resident("VmHWM") - before)
        print(
            json.dumps(
                {
                    "images": n,
                    "shape": list(shape),
                    "seconds": round(seconds, 2),
                    "cached_seconds": round(cached, 4),
                    "peak_mib_above_start": peak,
                }
            )
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--passed", type=int)
    options = parser.parse_args()
    if options.passed:
        return passed(options.passed, 512)
    n, d, runs = (100, 256, 3) if options.quick else (600, 2048, 5)
    found = distances(n, d, runs)
    passes = []
    for count in (32, 64) if options.quick else (250, 1000):
        command = [sys.executable, __file__, "--passed", str(count)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        passes.append(json.loads(told.splitlines()[-1]))
    print(
        json.dumps(
            {
                "name": "frechet",
                "images": n,
                "dimensions": d,
                **found,
                "opponent": "torchmetrics _compute_fid, float64",
                "features": passes,
                "device": platform.processor() or platform.machine(),
                "threads": torch.get_num_threads(),
                "runs": runs,
            }
        )
    )


if __name__ == "__main__":
    main()
