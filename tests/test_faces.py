"""What shows real patients says so on its face; nothing of a table or a name reaches HTML unescaped."""

import numpy as np
from PIL import Image as Pillow

from ganatomy.benchmark import page as benchmark_page
from ganatomy.benchmark.tables import Table
from ganatomy.checkpoint import open_snapshot
from ganatomy.evaluation.report import page
from ganatomy.imaging.caption import add_caption
from ganatomy.sampling import sample

MARKER = "<img src=x onerror=alert(1)>"


def test_a_caption_stands_above_the_picture_and_leaves_it_as_it_is():
    for shape in ((40, 400), (40, 30), (40, 400, 3)):
        picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        shown = add_caption(picture)
        np.testing.assert_array_equal(shown[-shape[0] :, : shape[1]], picture)
        assert shown[: -shape[0]].max() > 128  # letters
        assert shown.shape[0] > shape[0] + 5


def test_the_picture_of_real_images_has_one(run):
    with Pillow.open(run.path / "reals.png") as reals, Pillow.open(next((run.path / "fakes").iterdir())) as fakes:
        assert reals.height > fakes.height


def test_a_sample_says_how_many_threads_computed_it(run):
    import torch

    _, record = next(sample(open_snapshot(run.list_snapshots()[-1]), 1, device="cpu"))
    assert record["threads"] == torch.get_num_threads()


def test_names_are_escaped(tmp_path):
    table = Table(MARKER, (MARKER,), [(MARKER,)], MARKER)
    for text in (
        benchmark_page._html([MARKER], [table], {}),
        benchmark_page._markdown([MARKER], [table], {}),
        page._table((MARKER,), ((MARKER,),)),
        page._about(
            {
                "images": {MARKER: MARKER},
                "store": {MARKER: MARKER},
                "extractors": {MARKER: {"words": MARKER, "sha256": MARKER}},
                "failures": {"definition": MARKER},
                "compared": {"seed": MARKER},
            }
        ),
    ):
        assert "<img src=x" not in text
        assert "&lt;img src=x" in text
