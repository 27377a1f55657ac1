"""A modality that the package does not know, registered by one line, goes the whole way from raw files to DICOM."""

import json
import subprocess
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image as Pillow
from tools import tool

from ganatomy.checkpoint import open_snapshot
from ganatomy.data.prepare import prepare
from ganatomy.data.samples import read_samples
from ganatomy.dicom import write
from ganatomy.dicom.instances import DicomForm
from ganatomy.errors import Refused
from ganatomy.evaluation.evaluate import evaluate
from ganatomy.exporting.export import export, write_samples
from ganatomy.exporting.verify import verify
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.modality import Candidate
from ganatomy.modalities.projection import ProjectionModality
from ganatomy.modalities.table import MODALITIES, get_modality, make_modality
from ganatomy.modalities.volume import VolumeModality
from ganatomy.phantoms.cohort import write_cohort
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.sampling import sample
from ganatomy.training import memory_estimate
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.train import train

SHAPE = (32, 32)
DX = "1.2.840.10008.5.1.4.1.1.1.1"  # Digital X-Ray Image Storage - For Presentation (PS3.4 B.5)


# All of a new modality: a file of this length below `modalities/`, and one line in `MODALITIES`.
@dataclass(frozen=True)
class ChestRadiograph(ProjectionModality):
    """Frontal radiographs of the chest."""

    shape: tuple[int, ...] = (512, 512)

    name = "chest_radiograph"

    def measure_image(self, image):
        lung = image.pixels < image.pixels.mean()
        return {"dark (% of image)": 100 * float(lung.mean())}


@dataclass(frozen=True)
class TextWriting(ChestRadiograph):
    """A radiograph with a format and an option of its own."""

    offset: float = 0.0

    name = "text_writing"

    class Writer:
        def __init__(self, out):
            self.out = out

        def __call__(self, image, shown, record):
            self.out.mkdir(exist_ok=True)
            (self.out / f"{record['index']}.txt").write_text(f"{shown.pixels.mean():.3f}")
            return f"{record['index']}.txt"

    own_formats: ClassVar = {"text": Writer}


@dataclass(frozen=True)
class Tomography(VolumeModality):
    """A volume without DICOM objects of its own."""

    name = "tomography"

    def normalise(self, image):
        return image

    denormalise = canonicalise = normalise

    def segment_foreground(self, image):
        return image.pixels > 0

    def measure_image(self, image):
        return {"mean": float(image.pixels.mean())}

    def render_image(self, image):
        return image.pixels[0]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for kind in (ChestRadiograph, TextWriting, Tomography):
        monkeypatch.setitem(MODALITIES, kind.name, kind)


def _draw_chest(number, size=(72, 64)):
    """Two dark lungs in a grey body, no two alike, 8 bit."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    pixels = np.full(size, 150.0)
    for middle in (0.28, 0.72):
        at = middle + rng.uniform(-0.05, 0.05), 0.5 + rng.uniform(-0.08, 0.08)
        pixels[np.hypot((x - at[0]) / 0.18, (y - at[1]) / rng.uniform(0.28, 0.4)) < 1] = rng.uniform(30, 60)
    return np.clip(pixels + rng.normal(0, 6, size), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def made_by_code(tmp_path_factory):
    """Thirty PNG and JPEG files of 72 x 64 and six of DICOM's DX."""
    folder = tmp_path_factory.mktemp("radiographs")
    for number in range(30):
        Pillow.fromarray(_draw_chest(number)).save(folder / f"{number:03d}.{('png', 'jpg')[number % 2]}")
    for number in range(30, 36):
        _write_dx(folder / f"{number:03d}.dcm", _draw_chest(number), f"P{number}")
    return folder


def _write_dx(path, pixels, patient):
    """What a scanner might write: dark bones (MONOCHROME1), a spacing, no window."""
    subject = write.Subject(1, "PHANTOM", "test", "20260101")
    ds = write.make_dataset(DX, "DX", subject, ("x",), 1, {"generator": "test"}, pixels.astype(np.uint16))
    write.add_pixels(ds, 255 - pixels.astype(np.uint16), 12)
    ds.PhotometricInterpretation, ds.PatientID, ds.ImagerPixelSpacing = "MONOCHROME1", patient, ["0.5", "0.5"]
    write.save_dataset(ds, path)


@pytest.fixture
def real(shared, tmp_path):
    """Real chest radiographs of children (Kermany 2018)."""
    folder = shared / "cxr_kermany_normal"
    if not folder.is_dir():
        pytest.skip("the real chest radiographs are not among the shared images")
    raw = tmp_path / "raw"
    raw.mkdir()
    for file in sorted(folder.glob("*.jp*g"))[:40]:
        (raw / file.name).symlink_to(file)
    return raw


@pytest.mark.ci
@pytest.mark.parametrize("source", ["made_by_code", pytest.param("real", marks=pytest.mark.slow)])
def test_a_new_modality_goes_the_whole_way(source, request, tmp_path, monkeypatch):
    raw = request.getfixturevalue(source)
    store = prepare(raw, make_modality("chest_radiograph", shape=SHAPE, facts=FactSource()), tmp_path / "s", workers=0)
    assert store.manifest.modality == "chest_radiograph"
    assert store.manifest.cases >= 36
    assert not store.manifest.quarantined

    recipe = get_recipe("relativistic-mammogram").make_tiny()
    recipe = change_recipe(
        recipe, {"shape": SHAPE, "conditions": {}, "total_kimg": 2 * recipe.strategy.batch_size / 1000}
    )
    wish = ComputeSettings(hold_memory=True)
    room = memory_estimate.estimate_training(recipe, wish, torch.device("cpu")).total - 1
    with monkeypatch.context() as little:
        little.setattr("ganatomy.training.train.measure_free_memory", lambda place: room)
        little.setattr(memory_estimate, "fits_surely", lambda recipe, memory: False)
        with pytest.raises(Refused, match="will not fit"):
            train(recipe, store, tmp_path / "runs", computing=wish)
        run = train(recipe, store, tmp_path / "runs", computing=wish, fit=True)
    assert {name: run.computing[name] for name in wish.model_dump()} != wish.model_dump()
    assert run.computing["micro_batches"] == 1  # its discriminator compares the images of a batch
    longer = change_recipe(recipe, {"total_kimg": 4 * recipe.strategy.batch_size / 1000})
    run = train(longer, store, tmp_path / "runs")
    assert [path.name for path in run.path.parent.iterdir()] == [run.path.name]  # gone on with, not begun anew
    snapshot = open_snapshot(run.list_snapshots()[-1])
    assert (snapshot.modality, snapshot.images) == ("chest_radiograph", 4 * recipe.strategy.batch_size)

    drawn, spacing = list(sample(snapshot, 12)), store.manifest.spacing
    assert write_samples(drawn, 12, snapshot.modality, tmp_path / "png") == 12
    _, images = read_samples(tmp_path / "png")
    for (image, _), (back, _) in zip(drawn, images, strict=True):
        assert image.shape == SHAPE
        assert np.abs(image.pixels - back.pixels).max() < 2 / 65535  # one step of 16 bits

    evaluate(tmp_path / "png", store, tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert "dark (% of image)" in json.dumps(report)

    assert export(tmp_path / "png", tmp_path / "dicom", date="20260101", despite_audit=True) == 12
    files = sorted((tmp_path / "dicom").rglob("*.dcm"))
    assert len(files) == 12
    for file, (image, _) in zip(files, drawn, strict=True):
        ds = pydicom.dcmread(file)
        assert ds.SOPClassUID.name == "Secondary Capture Image Storage"
        assert (ds.Modality, ds.StudyDescription) == ("OT", "SYNTHETIC chest radiograph")
        assert "ViewPosition" not in ds
        assert ds.SyntheticData == "YES"
        assert ("NominalScannedPixelSpacing" in ds) == (spacing is not None)
        assert np.abs(ds.pixel_array / 4095 - (image.pixels + 1) / 2).max() < 1e-3
    told = subprocess.run([tool("dciodvfy"), "-new", files[0]], capture_output=True, text=True, check=False)
    assert not [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]
    assert all(one.is_sound and one.again == "equal" for one in verify(tmp_path / "dicom", snapshot=run.path))


def test_dicom_and_pictures_of_the_same_radiograph_are_the_same_image(made_by_code, tmp_path):
    kind = ChestRadiograph(shape=SHAPE)
    Pillow.fromarray(_draw_chest(30)).save(tmp_path / "a.png")
    (picture, _), (dicom, who) = (
        kind.read(Candidate((path,), path.name, {})) for path in (tmp_path / "a.png", made_by_code / "030.dcm")
    )
    low, high = picture.pixels.min(), picture.pixels.max()  # without a window, from the smallest to the largest value
    assert np.abs((picture.pixels - low) / (high - low) - dicom.pixels).max() < 1e-6
    assert (dicom.spacing, who.identity) == ((0.5, 0.5), "ganatomy/P30")
    grid = kind.normalise(dicom)
    back = kind.denormalise(grid)
    assert (grid.shape, back.shape) == (SHAPE, (72, 64))
    assert back.spacing == pytest.approx((0.5, 0.5))
    assert (
        np.abs(back.pixels - dicom.pixels).mean() < 0.3 * dicom.pixels.std()
    )  # the noise is gone, the lungs are there


def test_other_dicom_and_files_without_labels_are_left_out_with_a_reason(made_by_code, cohort, tmp_path):
    mammogram = next(cohort.rglob("*.dcm"))
    with pytest.raises(UnusableImage, match="Modality is MG, DX or CR is needed"):
        ChestRadiograph().read(Candidate((mammogram,), "x", {}))
    kind = ChestRadiograph(facts=FactSource(columns={"finding": "finding"}))
    with pytest.raises(UnusableImage, match="gives no finding for x"):
        kind.read(Candidate((made_by_code / "000.png",), "x", {}))
    image, who = kind.read(
        Candidate((made_by_code / "000.png",), "x", {"finding": "none", "patient": "p", "spacing_mm": "0.2"})
    )
    assert (dict(image.facts), image.spacing, who.identity) == ({"finding": "none"}, (0.2, 0.2), "p")


def test_a_modality_has_formats_and_options_of_its_own(tmp_path):
    samples = [
        (Image(np.zeros(SHAPE, np.float32)), {"generator": "x", "snapshot_sha256": "a", "seed": 0, "index": i})
        for i in range(2)
    ]
    assert write_samples(samples, 2, "text_writing", tmp_path / "out", "text") == 2
    assert (tmp_path / "out" / "1.txt").read_text() == "0.500"
    with pytest.raises(Refused, match="chest_radiograph is not written in this format; choose one of png, npy, dicom"):
        write_samples(samples, 2, "chest_radiograph", tmp_path / "other", "text")
    with pytest.raises(
        Refused, match="mammogram is not written in this format; choose one of png, npy, dicom, hanging"
    ):
        write_samples(samples, 2, "mammogram", tmp_path / "other", "text")
    assert make_modality("text_writing", offset=1.0).offset == 1.0
    with pytest.raises(Refused, match="--offset is not an option of chest_radiograph"):
        make_modality("chest_radiograph", offset=1.0)


def test_what_a_modality_lacks_is_refused(tmp_path):
    with pytest.raises(Refused, match="a chest radiograph is one image"):
        get_modality("chest_radiograph")().dicom.make_instances(DicomForm(enhanced=True), "20260101")
    with pytest.raises(Refused, match="tomography has no DICOM object; it is written as nifti, npy"):
        _ = Tomography().dicom
    with pytest.raises(Refused, match="no phantom 'tomography'; choose one of mammogram, chest_ct, brain_mri"):
        write_cohort("tomography", tmp_path / "phantoms", 1)
    with pytest.raises(Refused, match=r"no modality 'x_ray'; choose one of .*brain_mri, chest_radiograph"):
        get_modality("x_ray")
