"""Images that are not what they claim: what is certain is left out, what is doubtful is counted."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Pillow

from ganatomy.data.doubts import describe_doubts
from ganatomy.data.prepare import prepare
from ganatomy.data.store import Manifest
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image, UnusableImage
from ganatomy.imaging.nifti import find_nifti_doubts, read_nifti
from ganatomy.modalities.brain_mri import BrainMRI, find_far_padding
from ganatomy.modalities.checks import check_hounsfield_units, check_label_map, check_polarity
from ganatomy.modalities.chest_ct import ChestCT
from ganatomy.modalities.facts import FactSource
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.modalities.modality import Candidate
from ganatomy.phantoms.head import make_brain
from ganatomy.phantoms.thorax import make_thorax


def _breast(height=400, width=320):
    y, x = np.mgrid[:height, :width]
    far = np.hypot((y - height / 2) / (0.4 * height), x / (0.7 * width))
    texture = np.random.default_rng(0).normal(0, 0.02, far.shape)
    return np.where(far < 1, np.clip(0.9 - 0.6 * far + texture, 0.05, 1), 0).astype(np.float32)


@pytest.mark.parametrize("background", [0.0, 0.03, 0.1])
def test_a_negative_is_left_out_and_a_positive_is_not(background):
    positive = np.maximum(_breast(), np.float32(background))
    check_polarity(positive)
    check_polarity(positive[100:300, :150])  # cut so close that there is nearly no background
    framed = positive.copy()
    framed[:6] = framed[-6:] = framed[:, :5] = framed[:, -5:] = 1  # the white frame of a scanned film
    check_polarity(framed)
    for turned in (1 - positive, (1 - positive)[:, ::-1], np.rot90(1 - positive)):
        with pytest.raises(UnusableImage, match="% of the image, is white and the body is dark"):
            check_polarity(turned)


def _table(folder, name, row="CC,L"):
    (folder / "facts.csv").write_text(f"file,view_position,laterality\n{name},{row}\n")
    (candidate,) = Mammogram(facts=FactSource()).list_candidates(folder)
    return candidate


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("turn", [3, 2, 4])
def test_an_orientation_tag_turns_the_picture(tmp_path, suffix, turn):
    """EXIF 0x0112: 3 = upside down, 2 = mirrored, 4 = rows from below."""
    pixels = np.rint(_breast() * 255).astype(np.uint8)
    pixels[:100] //= 2  # nothing symmetric
    stored = {3: pixels[::-1, ::-1], 2: pixels[:, ::-1], 4: pixels[::-1]}[turn]
    tag = Pillow.Exif()
    tag[0x0112] = turn
    Pillow.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a.{suffix}", exif=tag)
    image, _ = Mammogram().read(_table(tmp_path, f"a.{suffix}"))
    assert np.abs(image.pixels - pixels / np.float32(255)).max() < (0.2 if suffix == "jpg" else 1e-6)


def test_lossy_pictures_are_named(tmp_path):
    pixels = Pillow.fromarray(np.rint(_breast() * 255).astype(np.uint8))
    for name in ("a.png", "a.jpg"):
        folder = tmp_path / name[2:]
        folder.mkdir()
        pixels.save(folder / name)
        doubts = Mammogram().read(_table(folder, name))[0].doubts
        assert doubts == ((("lossy compression", "JPEG"),) if name == "a.jpg" else ())


def test_a_picture_whose_chest_wall_contradicts_its_laterality_is_doubtful(tmp_path):
    Pillow.fromarray(np.rint(_breast() * 255).astype(np.uint8)).save(tmp_path / "a.png")
    (doubt,) = Mammogram().read(_table(tmp_path, "a.png", "CC,R"))[0].doubts
    assert doubt.kind == "chest wall at the other side"


# ----------------------------------------------------------------------------------------------------------------------
# Volumes.


@pytest.fixture(scope="module")
def thorax():
    return make_thorax((0, 1), (32, 32, 32)).voxels


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda hu: hu + 1024, "an offset, most often 1024, has not been taken off"),
        (lambda hu: np.where(hu < -1000, -2000, hu + 1024), "shifted or scaled"),
        (lambda hu: (hu + 1024) / 1624, "scaled to 0..1"),
        (lambda hu: (hu + 1024) / 812 - 1, "scaled to -1..1"),
        (lambda hu: (hu + 1024) / 1624 * 255, "an offset"),
    ],
)
def test_values_that_are_not_hounsfield_units_are_left_out_and_described(thorax, change, words):
    values = change(np.clip(thorax, -1024, 600)).astype(np.float32)
    with pytest.raises(UnusableImage, match=words) as caught:
        check_hounsfield_units(values)
    assert caught.value.kind == "not Hounsfield units"


def test_hounsfield_units_are_no_doubt_and_values_twice_shifted_are_one(thorax):
    assert check_hounsfield_units(thorax) == ()
    (doubt,) = check_hounsfield_units(np.clip(thorax, -1024, 600) - 1024)
    assert doubt.kind == "unlike Hounsfield units"


def _labels(count, largest):
    """Cubes of 4 voxels with a number each."""
    numbers = np.linspace(0, largest, count).round().astype(int)
    coarse = np.random.default_rng(0).choice(numbers, (8, 8, 8))
    return np.kron(coarse, np.ones((4, 4, 4))).astype(np.float32)


@pytest.mark.parametrize(("count", "largest"), [(2, 1), (3, 2), (4, 4), (16, 15), (40, 39), (100, 2035)])
def test_label_maps_are_left_out(count, largest):
    with pytest.raises(UnusableImage, match="label map: "):
        check_label_map(_labels(count, largest))


def test_few_flat_values_are_doubtful_and_images_are_not(thorax):
    (doubt,) = check_label_map(_labels(5, 1000))
    assert doubt.kind == "label map?"
    for image in (thorax, np.rint(make_brain((0, 1), (48, 48, 48)).voxels * 200)):
        assert check_label_map(np.asarray(image, dtype=np.float32)) == ()


def _save(path, voxels, spacing=4.0, edit=lambda image: None):
    image = nib.Nifti1Image(voxels, np.diag([spacing, spacing, spacing, 1.0]))
    image.header.set_xyzt_units("mm")
    edit(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


@pytest.mark.parametrize(
    ("unit", "spacing", "words"),
    [
        ("mm", 4.0, None),
        ("unknown", 4.0, None),
        ("meter", 0.004, "converted to 4 x 4 x 4 mm"),
        ("micron", 4000.0, "converted to 4 x 4 x 4 mm"),
        ("meter", 4.0, "makes no sense in the unit that is said"),
        ("micron", 4.0, "makes no sense in the unit that is said"),
    ],
)
def test_the_unit_of_nifti_is_followed_unless_it_makes_no_sense(tmp_path, unit, spacing, words):
    voxels = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    path = _save(tmp_path / "a.nii", voxels, spacing, lambda image: image.header.set_xyzt_units(unit))
    assert read_nifti(path)[1] == pytest.approx((4, 4, 4), rel=1e-5)
    doubts = find_nifti_doubts(path)
    assert [words in doubt.detail for doubt in doubts] == ([True] if words else [])


@pytest.mark.parametrize(
    ("code", "reason"), [("label", "label map"), ("t test", "not an image"), ("vector", "not an image")]
)
def test_intents_of_other_things_are_reasons(tmp_path, code, reason):
    voxels = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    path = _save(
        tmp_path / "a.nii", voxels, 4.0, lambda image: image.header.set_intent(code, (3,) if code == "t test" else ())
    )
    with pytest.raises(UnusableImage) as caught:
        read_nifti(path)
    assert caught.value.kind == reason


def test_complex_values_are_a_reason(tmp_path):
    path = _save(tmp_path / "a.nii", np.ones((12, 12, 12), np.complex64) * 1j)
    with pytest.raises(UnusableImage, match="complex values: store the magnitude"):
        read_nifti(path)


@pytest.mark.parametrize("padding", [-2000.0, -32768.0])
def test_padding_far_below_a_brain_does_not_swallow_its_contrast(padding):
    made = make_brain((0, 1), (64, 64, 64))
    voxels = made.voxels * 700 + 20
    padded = voxels.copy()
    padded[:4] = padded[:, :4] = padding
    kind = BrainMRI(shape=(64, 64, 64))
    clean, found = (kind.normalise(Image(v.astype(np.float32), made.spacing)).pixels for v in (voxels, padded))
    assert np.abs(clean - found).mean() < 0.05
    assert found.std() > 0.9 * clean.std()
    assert find_far_padding(voxels.astype(np.float32)) is None
    image = kind.check_image(
        Image(padded.astype(np.float32), made.spacing), Candidate((Path("sub-1_T1w.nii.gz"),), "a", {})
    )
    assert [doubt.kind for doubt in image.doubts] == ["padding far below the image"]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("sub-1_T1w.nii.gz", []),
        ("sub-1_T2w.nii.gz", ["other contrast than T1"]),
        ("sub-1_FLAIR.nii.gz", ["other contrast than T1"]),
        ("BraTS20_001_t1ce.nii.gz", ["other contrast than T1"]),
        ("patient2.nii.gz", []),
    ],
)
def test_names_of_other_contrasts_are_doubtful(tmp_path, name, kinds):
    made = make_brain((0, 1), (32, 32, 32))
    path = _save(tmp_path / name, made.voxels.astype(np.float32))
    candidate = Candidate((path,), name, {})
    kind = BrainMRI(shape=(32, 32, 32))
    image = kind.check_image(kind.read(candidate)[0], candidate)
    assert [doubt.kind for doubt in image.doubts] == kinds


def test_doubts_are_kept_with_the_store_and_counted(tmp_path):
    for number in range(4):
        made = make_brain((0, number), (32, 32, 32))
        name = f"sub-{number}_{('T1w', 'T2w')[number % 2]}.nii.gz"
        _save(tmp_path / "raw" / name, made.voxels.astype(np.float32), 6.0)
    store = prepare(tmp_path / "raw", BrainMRI(shape=(32, 32, 32)), tmp_path / "store", workers=0)
    assert store.manifest.doubts == {"other contrast than T1": 2}
    rows = [json.loads(line) for line in (store.path / "doubts.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == ["sub-1_T2w.nii.gz", "sub-3_T2w.nii.gz"]
    told = describe_doubts(store.path)
    assert told == [
        "Used, but doubtful: 2 x other contrast than T1. See doubts.jsonl.",
        "  other contrast than T1: sub-1_T2w.nii.gz: the name has the word T2W",
    ]
    assert not any("doubts" in case for case in store.cases)
    before = json.loads((store.path / "manifest.json").read_text())
    del before["doubts"], before["sha256"]  # a store of the first release
    (store.path / "doubts.jsonl").unlink()
    assert Manifest.model_validate(before).doubts == {}
    assert describe_doubts(store.path) == []


def test_a_folder_of_ct_with_label_maps_beside_keeps_the_ct_only(tmp_path, thorax):
    for number in range(2):
        hu = np.roll(thorax, number, 1)
        _save(tmp_path / "raw" / f"s{number}" / "ct.nii.gz", hu)
        _save(tmp_path / "raw" / f"s{number}" / "segmentations" / "lung.nii.gz", (hu < -500).astype(np.uint8))
        _save(tmp_path / "raw" / f"s{number}" / "shifted.nii.gz", hu + 1024)
    store = prepare(tmp_path / "raw", ChestCT(shape=(32, 32, 32)), tmp_path / "store", workers=0)
    assert [case["file"] for case in store.cases] == ["s0/ct.nii.gz", "s1/ct.nii.gz"]
    assert store.manifest.quarantined == {"label map": 2, "not Hounsfield units": 2}
    with pytest.raises(Refused, match="1 x label map"):
        prepare(tmp_path / "raw" / "s0" / "segmentations", ChestCT(shape=(32, 32, 32)), tmp_path / "none", workers=0)
