"""Images with label maps: found by patterns, brought to the grid with their images, kept as shares of classes."""

import numpy as np
import pytest
from label_maps import AFFINE, LABELS, make_chest, write_breasts, write_chests, write_volume
from PIL import Image as Pillow

from ganatomy.channels import ImageChannel, LabelChannel
from ganatomy.data.prepare import prepare
from ganatomy.data.store import open_store
from ganatomy.errors import Refused
from ganatomy.machine.durable import read_json, read_lines
from ganatomy.modalities.label_files import make_label_source
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.phantoms.cohort import write_cohort

SHAPE = (16, 16, 16)


def _prepare(raw, out, labels=None, **options):
    return prepare(raw, "chest_ct", out, 0, shape=SHAPE, labels=LABELS if labels is None else labels, **options)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    write_chests(folder / "raw")
    return folder, _prepare(folder / "raw", folder / "store")


def test_the_store_holds_the_image_and_shares_that_add_up_to_one(pairs):
    _, store = pairs
    assert store.manifest.channels == (ImageChannel(), LabelChannel(classes=("body", "lesion")))
    assert store.manifest.cases == 6
    for level in store.manifest.levels:
        assert store.array(level).shape[1:] == (4, *level)
        arrays = store.read_arrays(0, level).astype(float)
        assert np.abs(arrays[1:].sum(0) - 65535).max() <= 3
        assert np.array_equal(store.read([0], level)[0], arrays[0])


def test_a_mask_goes_through_the_geometry_of_its_image(pairs):
    """Bright voxels of the image are where the shares of the lesion are, at every level and after trimming."""
    _, store = pairs
    image, background, body, lesion = store.read_arrays(2, SHAPE) / 65535
    bright = image * 1624 - 1024 > 300
    assert (lesion[bright] > 0.4).mean() > 0.95
    assert (lesion[~bright] < 0.75).mean() > 0.99
    assert lesion.sum() > 30
    assert body[image * 1624 - 1024 < -900].mean() < 0.2
    assert set(np.unique(background.round(3))) - {0.0, 1.0}, "voxels at the border have shares"


def test_a_store_of_images_alone_of_the_same_files_has_the_same_images(pairs, tmp_path):
    _, store = pairs
    write_chests(tmp_path / "raw", masks=False)
    alone = prepare(tmp_path / "raw", "chest_ct", tmp_path / "store", 0, shape=SHAPE)
    assert alone.array(SHAPE).ndim == 4
    rows = list(range(6))
    names = [store.cases[i]["file"] for i in rows]
    assert [alone.cases[i]["file"] for i in rows] == names
    assert np.array_equal(alone.read(rows, SHAPE), store.read(rows, SHAPE))
    assert alone.manifest.fingerprint != store.manifest.fingerprint


def test_the_same_command_leaves_the_store_and_other_labels_are_refused(pairs):
    folder, store = pairs
    assert _prepare(folder / "raw", folder / "store").manifest == store.manifest
    with pytest.raises(Refused, match="is a store of labels"):
        _prepare(folder / "raw", folder / "store", {"body": "seg/{stem}_seg.nii.gz:1,2"})


def test_a_store_grows_by_pairs(tmp_path):
    write_chests(tmp_path / "raw", 4)
    _prepare(tmp_path / "raw", tmp_path / "store")
    write_chests(tmp_path / "raw", 5)
    grown = _prepare(tmp_path / "raw", tmp_path / "store")
    assert grown.manifest.cases == 5
    assert grown.read_arrays(4, SHAPE)[3].max() > 60000
    balance = read_json(tmp_path / "store" / "balance.json")
    assert (balance["used"], balance["left_out"]) == (10, 0)


def test_files_of_another_orientation_are_turned_and_another_grid_is_a_doubt(tmp_path):
    write_chests(tmp_path / "raw", 3)
    _, mask = make_chest(0)
    flipped = AFFINE @ np.array([[-1, 0, 0, 23], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    write_volume(tmp_path / "raw" / "seg" / "p0_seg.nii.gz", mask[::-1], flipped)
    half = AFFINE @ np.array([[0.5, 0, 0, -0.25], [0, 0.5, 0, -0.25], [0, 0, 0.5, -0.25], [0, 0, 0, 1.0]])
    fine = mask.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    write_volume(tmp_path / "raw" / "seg" / "p1_seg.nii.gz", fine, half)
    store = _prepare(tmp_path / "raw", tmp_path / "store")
    rows = {case["file"]: case["row"] for case in store.cases}
    first, second, third = (store.read_arrays(rows[f"p{i}.nii.gz"], SHAPE)[1:] for i in range(3))
    assert np.array_equal(first, third)
    assert np.array_equal(second, third)
    assert store.manifest.doubts == {"mask of another grid": 1}
    assert "the nearest voxel" in read_lines(tmp_path / "store" / "doubts.jsonl")[0]["detail"]


def test_unusable_masks_are_left_out_with_their_reasons(tmp_path):
    raw = tmp_path / "raw"
    write_chests(raw, 9)
    seg = raw / "seg"
    _, mask = make_chest(0)
    write_volume(seg / "p1_seg.nii.gz", mask * 3)
    write_volume(seg / "p2_seg.nii.gz", mask * 0)
    (seg / "p3_seg.nii.gz").unlink()
    (seg / "p4_seg.nii.gz").write_bytes(b"no NIfTI")
    write_volume(seg / "p5_seg.nii.gz", mask, AFFINE + np.array([[0, 0, 0, 900.0]] + [[0] * 4] * 3))
    write_volume(seg / "p6_seg.nii.gz", mask * 0.5, dtype=np.float32)
    write_volume(seg / "lonely_seg.nii.gz", mask)
    write_volume(seg / "p7_seg.nii.gz", np.where(mask == 2, 1, mask))
    store = _prepare(raw, tmp_path / "store")
    reasons = {row["file"]: (row["reason"], row["detail"]) for row in read_lines(store.path / "quarantine.jsonl")}
    assert {name: reason for name, (reason, _) in reasons.items()} == {
        "p1.nii.gz": "label value without a name",
        "p2.nii.gz": "empty mask",
        "p3.nii.gz": "no mask",
        "p4.nii.gz": "not readable as NIfTI",
        "p5.nii.gz": "mask lies elsewhere",
        "p6.nii.gz": "mask is no label map",
        "seg/lonely_seg.nii.gz": "mask without image",
    }
    assert "3, 6, and --labels names 1, 2" in reasons["p1.nii.gz"][1]
    assert store.manifest.doubts == {"no voxel of a class": 1}
    assert store.manifest.cases == 3


def test_a_mask_in_several_files_and_classes_that_overlap(tmp_path):
    raw = tmp_path / "raw"
    for i in range(3):
        hu, mask = make_chest(i)
        write_volume(raw / f"p{i}" / "ct.nii.gz", hu)
        write_volume(raw / f"p{i}" / "mask_body.nii.gz", mask > 0)
        write_volume(raw / f"p{i}" / "mask_lesion.nii.gz", mask == 2)
    write_volume(raw / "p2" / "mask_lesion_2.nii.gz", mask == 2)
    labels = {"body": "mask_body.nii.gz", "lesion": "*_lesion*.nii.gz"}
    store = _prepare(raw, tmp_path / "store", labels)
    assert store.manifest.doubts == {"overlapping classes": 2}
    assert store.read_arrays(0, SHAPE)[3].max() > 60000
    (left,) = read_lines(store.path / "quarantine.jsonl")
    assert left["reason"] == "two masks"


def test_a_mask_beside_a_dicom_series_lies_where_another_reader_puts_it(tmp_path):
    simpleitk = pytest.importorskip("SimpleITK")
    write_cohort("chest_ct", tmp_path / "raw", 3, shape=(32, 32, 32), workers=1)
    folders = sorted(path for path in (tmp_path / "raw").iterdir() if path.is_dir())
    for folder in folders:
        names = simpleitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
        volume = simpleitk.ReadImage(names)
        simpleitk.WriteImage(simpleitk.Cast(volume > 200, simpleitk.sitkUInt8), f"{folder}_bone.nii.gz")
    store = _prepare(tmp_path / "raw", tmp_path / "store", {"bone": "../{stem}_bone.nii.gz"})
    assert store.manifest.cases == 3
    assert not store.manifest.doubts
    for case in store.cases:
        image, _, bone = store.read_arrays(case["row"], SHAPE) / 65535
        dense = image * 1624 - 1024 > 200
        assert bone[dense].mean() > 0.5 > 5 * bone[~dense].mean()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"body": "seg/{stem}_sgm.nii.gz"}, "matches no file"),
        ({"body": "*.nii.gz"}, "no image is left"),
        ({"body": "seg/p0_seg.nii.gz"}, "is the mask of two images"),
        ({"background": "seg/{stem}_seg.nii.gz"}, "a class has a name of its own"),
        ({"body": "/seg/{stem}_seg.nii.gz"}, "relative to the folder of an image"),
        ({"body": "seg/{stem}_seg.nii.gz:0"}, "above zero"),
        ({"a": "{stem}_seg.nii.gz:1", "b": "{stem}_seg.nii.gz:1"}, "the value 1 is a already"),
    ],
)
def test_wrong_patterns_are_refused(pairs, tmp_path, labels, words):
    with pytest.raises(Refused, match=words):
        _prepare(pairs[0] / "raw", tmp_path / "store", labels)
    assert not (tmp_path / "store").exists()


def test_masks_beside_pictures_are_turned_with_them(tmp_path):
    write_breasts(tmp_path / "raw")
    small = Pillow.open(tmp_path / "raw" / "b0.mask.png").resize((40, 50), Pillow.Resampling.NEAREST)
    small.save(tmp_path / "raw" / "b0.mask.png")
    small.resize((50, 40)).save(tmp_path / "raw" / "b1.mask.png")
    kind = Mammogram(shape=(40, 32), labels=make_label_source({"mass": "{stem}.mask.png"}))
    store = prepare(tmp_path / "raw", kind, tmp_path / "store", 0)
    assert [row["reason"] for row in read_lines(store.path / "quarantine.jsonl")] == ["mask of another shape"]
    assert store.manifest.doubts == {"mask of another grid": 1}
    for case in store.cases:
        image, _, mass = store.read_arrays(case["row"], (40, 32)) / 65535
        assert np.corrcoef((image > 0.7).ravel(), mass.ravel())[0, 1] > 0.9
        assert mass[:, :16].sum() > mass[:, 16:].sum()  # the chest wall is left now
    assert open_store(store.path).manifest.channels[1].classes == ("mass",)
