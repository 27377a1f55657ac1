"""Times of the studio: to the first picture in a browser, and from a slider to the new picture.

    python benchmarks/studio.py [--cube 256]

A headless Chromium with software rendering drives the pages on this machine. The weights of the volume model are those
of its first moment, which take as long as trained ones. The drafts come from the low-resolution head of `hagan` at its
full width; the whole volume is drawn when the slider is released. The last line is JSON.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import torch
import uvicorn
from playwright.sync_api import sync_playwright

from ganatomy.checkpoint import save_snapshot
from ganatomy.directions import Direction
from ganatomy.library.example import get_example_model
from ganatomy.recipes import get_recipe
from ganatomy.studio.serve import open_studio
from ganatomy.studio.subject import open_subject

DRAGS = 12  # slider positions that are timed one after another
RELEASES = 3  # whole images that are timed
SPACING_MM = 1.0


def make_volume_model(folder: Path, edge: int) -> Path:
    """Write a snapshot of `hagan` at its published width, untrained, for cubes of an edge in voxels."""
    recipe = get_recipe("hagan").replace(shape=(edge, edge, edge))
    torch.manual_seed(0)
    generator = recipe.networks["generator"].build(recipe.space)
    about = {
        "images": recipe.total_images,
        "seed": 0,
        "modality": "chest_ct",
        "spacing": [SPACING_MM] * 3,
        "trained_on": {"fingerprint": "none", "facts": {}},
    }
    save_snapshot(folder, {"generator": generator}, recipe, about)
    return folder


def measure(path: Path, folder: Path) -> dict[str, float]:
    """Measure the times of one model: seconds to the first picture, milliseconds of a draft and of an image."""
    subject = open_subject([path], folder)
    steering = subject.steering
    assert steering is not None
    axis = torch.eye(steering.model.recipe.latent)[0].double().numpy()
    steering.moved.know({"axis": Direction("axis", axis, 0.0)})  # learning takes 128 images, which are not timed here
    opened = open_studio(subject)
    server = uvicorn.Server(uvicorn.Config(opened.guard, log_level="error", lifespan="off"))
    threading.Thread(target=server.run, kwargs={"sockets": [opened.listener]}, daemon=True).start()
    with sync_playwright() as kit:
        browser = kit.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        begun = time.perf_counter()
        page.goto(opened.address + "look")
        page.wait_for_selector("body[data-shown]", timeout=300_000)
        first = time.perf_counter() - begun
        page.goto(opened.address + "steer")
        page.wait_for_selector("body[data-shown='1']", timeout=300_000)
        page.click("#learn")
        page.wait_for_selector(".slider")
        drafts = [_move(page, "input", 0.1 * (number + 1)) for number in range(DRAGS)]
        images = [_move(page, "change", -0.1 * (number + 1)) for number in range(RELEASES)]
        browser.close()
    server.should_exit = True
    return {
        "first_picture_s": round(first, 2),
        "draft_ms": round(statistics.median(drafts), 1),
        "image_ms": round(statistics.median(images), 1),
    }


def _move(page, event: str, value: float) -> float:
    """Move the slider; returns the milliseconds from the event to the picture on the page."""
    before = page.get_attribute("body", "data-shown")
    page.eval_on_selector(
        ".slider input",
        "(input, [event, value]) => { input.value = value; input.dispatchEvent(new Event(event)); }",
        [event, str(value)],
    )
    page.wait_for_selector(f"body:not([data-shown='{before}'])", timeout=300_000)
    return float(page.get_attribute("body", "data-milliseconds"))


def main() -> None:
    """Measure the example model and a volume model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cube", type=int, default=256)
    edge = parser.parse_args().cube
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {"mammogram 80x64": measure(get_example_model(), folder / "out")}
        found[f"hagan {edge}x{edge}x{edge}"] = measure(make_volume_model(folder / "volumes", edge), folder / "out")
    print(json.dumps({"threads": torch.get_num_threads(), **found}))


if __name__ == "__main__":
    main()
