"""What shows real patients says so on its face; nothing of a table or a name reaches HTML unescaped."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from cohorts import volumes as write_volumes
from drawings import draw
from jinja2 import UndefinedError
from odd_files import write_brain
from PIL import Image as Pillow
from pydicom import dcmread

from ganatomy.checkpoint import open_snapshot
from ganatomy.data.prepare import prepare
from ganatomy.evaluation.report.page import Picture, Section
from ganatomy.evaluation.report.table import Table
from ganatomy.exporting.export import write_samples
from ganatomy.imaging.caption import add_caption
from ganatomy.machine.templates import render_template
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.modalities.marks import says_synthetic
from ganatomy.sampling import sample

MARKER = "<img src=x onerror=alert(1)>"


def test_a_caption_stands_above_the_picture_and_leaves_it_as_it_is():
    for shape in ((40, 400), (40, 30), (40, 400, 3)):
        picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        shown = add_caption(picture, shows_patients=True)
        np.testing.assert_array_equal(shown[-shape[0] :, : shape[1]], picture)
        assert shown[: -shape[0]].max() > 128  # letters
        assert shown.shape[0] > shape[0] + 5


def test_the_picture_of_real_images_has_one(run):
    with Pillow.open(run.path / "reals.png") as reals, Pillow.open(next((run.path / "fakes").iterdir())) as fakes:
        assert reals.height > fakes.height


def test_a_store_knows_whether_it_shows_patients(store, volumes, cohort, tmp_path):
    assert (store.manifest.synthetic, store.shows_patients) == (40, False)
    assert not volumes.shows_patients
    raw = tmp_path / "raw"
    shutil.copytree(cohort / "PHA-000001", raw)
    file = next(raw.glob("*.dcm"))
    dataset = dcmread(file)
    del dataset.SyntheticData
    dataset.save_as(file)
    mixed = prepare(raw, Mammogram(shape=(80, 64)), tmp_path / "store", workers=0)
    assert (mixed.manifest.synthetic, mixed.manifest.cases, mixed.shows_patients) == (3, 4, True)
    assert replace(mixed, manifest=mixed.manifest.replace(synthetic=0)).shows_patients  # one of an older version


def test_samples_and_phantoms_of_every_form_are_marked(run, tmp_path):
    drawn = list(sample(open_snapshot(run.list_snapshots()[-1]), 2, 0))
    for to, suffix in (("png", ".png"), ("dicom", ".dcm")):
        write_samples(iter(drawn), 2, "mammogram", tmp_path / to, to, "20260101", 0.2)
        files = [path for path in (tmp_path / to).rglob("*") if path.suffix == suffix]
        assert len(files) == 2
        assert all(says_synthetic(path) for path in files)
    write_volumes(tmp_path / "nifti", "chest_ct")
    assert says_synthetic(next((tmp_path / "nifti").glob("*.nii.gz")))
    for name in ("a.png", "a.nii.gz"):
        write_brain(tmp_path / name) if name.endswith("gz") else draw(tmp_path / name, 0)
        assert not says_synthetic(tmp_path / name)


def test_the_caption_says_what_is_shown(run, store):
    with Pillow.open(run.path / "reals.png") as picture:
        pixels = np.asarray(picture)
    for shows_patients in (True, False):
        strip = add_caption(np.zeros((1, pixels.shape[1]), np.uint8), shows_patients)[:-1]
        rows = min(len(strip), 30)
        assert np.array_equal(strip[:rows], pixels[:rows]) == (shows_patients == store.shows_patients)


def test_a_sample_says_how_many_threads_computed_it(run):
    import torch

    _, record = next(sample(open_snapshot(run.list_snapshots()[-1]), 1, device="cpu"))
    assert record["threads"] == torch.get_num_threads()


def test_names_are_escaped():
    table = Table(MARKER, (MARKER,), [(MARKER,)], MARKER, MARKER)
    benchmark = {"intro": [MARKER], "parts": [table], "pictures": {"a.png": (MARKER, MARKER)}}
    content = {
        "images": {"generator": MARKER},
        "compared": dict.fromkeys(("images_a_side", "synthetic_images", "shape", "patients"), MARKER)
        | {"shows_patients": True, "trained_on_this_store": True},
        "constant_images": MARKER,
        "warnings": [MARKER],
        "verdicts": [{"question": "likeness", "answer": "good", "reason": MARKER}],
    }
    sections = [Section(MARKER, [table], [Picture(MARKER, MARKER, "")])]
    report = {"content": content, "questions": {"likeness": MARKER}, "sections": sections}
    for name, values in (("benchmark.html", benchmark), ("benchmark.md", benchmark), ("report.html", report)):
        text = render_template(name, **values)
        assert "<img src=x" not in text, name
        assert text.count("&lt;img src=x") >= str(values).count("<img src=x"), name
    study = render_template("reader_study.html", shows_patients=True, study={"study": MARKER})
    assert "<img src=x" not in study
    assert '{"study": "\\u003cimg src=x onerror=alert(1)\\u003e"}' in study


def test_a_value_that_a_page_lacks_is_an_error_and_not_an_empty_place():
    with pytest.raises(UndefinedError, match="'pictures' is undefined"):
        render_template("benchmark.html", intro=[], parts=[])
