"""Models of pairs: an image with its label map, from the training to files and datasets, for pictures and volumes."""

import nibabel as nib
import numpy as np
import pytest
import torch
from label_maps import prepare_chests, write_breasts
from PIL import Image as Pillow

import ganatomy
from ganatomy.checkpoint import open_snapshot
from ganatomy.data.samples import count_unnamed_files, hash_samples
from ganatomy.errors import Refused
from ganatomy.machine.durable import read_json, read_lines
from ganatomy.recipes import get_recipe

CLASSES = ("background", "body", "lesion")


@pytest.fixture(scope="module")
def chests(tmp_path_factory):
    return prepare_chests(tmp_path_factory.mktemp("chests"), 6)


@pytest.fixture(scope="module")
def breasts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("breasts")
    write_breasts(folder / "raw", 8)
    labels = {"mass": "{stem}.mask.png"}
    return ganatomy.prepare(folder / "raw", "mammogram", folder / "store", 0, shape=(40, 32), labels=labels)


def _train(recipe, store, shape, out):
    short = get_recipe(recipe).make_tiny().resize(shape)
    short = short.replace(total_kimg=short.plan_step(0, 0).batch_size * 4 / 1000)
    return ganatomy.train(short, store, out)


@pytest.fixture(scope="module")
def volumes_model(chests, tmp_path_factory):
    return ganatomy.open(_train("hagan", chests, (16, 16, 16), tmp_path_factory.mktemp("runs")).path)


@pytest.fixture(scope="module")
def pictures_model(breasts, tmp_path_factory):
    return ganatomy.open(_train("mammogram", breasts, (20, 16), tmp_path_factory.mktemp("runs")).path)


def test_the_recipe_follows_the_channels_of_the_store(volumes_model, chests):
    assert volumes_model.recipe.channels == chests.manifest.channels
    other = volumes_model.recipe.replace(channels=2)
    with pytest.raises(Refused, match=r"makes 2 channels \(2 images\) and the store has 4 \(1 image and labels of"):
        ganatomy.train(other, chests, "unused")


def test_samples_have_labels_and_the_names_of_classes(volumes_model):
    images = volumes_model.sample(3, seed=1)
    assert images[0].classes == CLASSES
    assert images.labels.shape == (3, 16, 16, 16)
    assert images.labels.dtype == np.uint8
    assert images.labels.max() <= 2
    np.testing.assert_allclose(images[0].shares.sum(0), 1, atol=1e-5)
    slabs = volumes_model.sample(1, seed=1, planes=8)[0]
    np.testing.assert_allclose(slabs.shares, images[0].shares, atol=1e-4)
    again = volumes_model.regenerate(images[2].provenance)
    assert np.array_equal(again.labels, images[2].labels)


def test_nifti_samples_are_pairs_that_other_readers_lay_over_one_another(volumes_model, tmp_path):
    samples = ganatomy.sample(volumes_model, 2, out=tmp_path / "out", to="nifti")
    image, labels = (nib.load(tmp_path / "out" / f"0000-000000{end}.nii.gz") for end in ("", "_labels"))
    assert np.array_equal(image.affine, labels.affine)
    assert labels.get_data_dtype() == np.uint8
    assert labels.header.get_intent()[0] == "label"
    assert bytes(labels.header["descrip"].item()).startswith(b"SYNTHETIC")
    drawn = volumes_model.sample(1)[0]
    assert np.array_equal(np.asarray(labels.dataobj), drawn.labels.transpose(2, 1, 0)[::-1, ::-1, :])
    assert b'"classes": ["background", "body", "lesion"]' in labels.header.extensions[0].get_content()
    row = read_lines(tmp_path / "out" / "samples.jsonl")[0]
    assert row["labels"] == {"file": "0000-000000_labels.nii.gz", "classes": list(CLASSES)}
    assert np.array_equal(samples[0].labels, drawn.labels)
    assert samples[0].classes == CLASSES
    assert count_unnamed_files(tmp_path / "out") == (0, "")


def test_png_samples_are_hung_together_and_read_back(pictures_model, tmp_path):
    samples = ganatomy.sample(pictures_model, 4, out=tmp_path / "out", to="png", condition={"laterality": "R"})
    drawn = pictures_model.sample(4, laterality="R")
    for i in range(4):
        with Pillow.open(tmp_path / "out" / f"0000-00000{i}_labels.png") as picture:
            assert np.array_equal(np.asarray(picture), drawn[i].labels[:, ::-1])
            assert "SYNTHETIC" in picture.text["Comment"].upper()
        assert np.array_equal(samples[i].labels, drawn[i].labels)
    before = hash_samples(tmp_path / "out")
    Pillow.fromarray(np.zeros((20, 16), np.uint8)).save(tmp_path / "out" / "0000-000000_labels.png")
    assert hash_samples(tmp_path / "out") != before
    (tmp_path / "out" / "0000-000000_labels.png").unlink()
    with pytest.raises(Refused, match="lacks 1 of 8 files"):
        ganatomy.export(tmp_path / "out", tmp_path / "npy", to="npy")


def test_pairs_are_exported_from_format_to_format(pictures_model, tmp_path):
    ganatomy.sample(pictures_model, 2, out=tmp_path / "npy", to="npy")
    assert ganatomy.export(tmp_path / "npy", tmp_path / "png", to="png") == 2
    first, second = (ganatomy.open(tmp_path / form) for form in ("npy", "png"))
    assert np.load(tmp_path / "npy" / "0000-000001_labels.npy").dtype == np.uint8
    assert read_json(tmp_path / "npy" / "0000-000001_labels.npy.json")["record"]["classes"] == ["background", "mass"]
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.labels, b.labels)
    with pytest.raises(Refused, match="which are not written beside dicom; give --to nifti"):
        ganatomy.export(tmp_path / "npy", tmp_path / "dicom", to="dicom", spacing=0.1)
    assert not (tmp_path / "dicom").exists()


@pytest.mark.parametrize(
    ("model", "to"), [("volumes_model", "nifti"), ("pictures_model", "png"), ("pictures_model", "npy")]
)
def test_verify_makes_both_again_and_finds_a_changed_map(model, to, request, tmp_path):
    model = request.getfixturevalue(model)
    ganatomy.sample(model, 2, out=tmp_path / "out", to=to)
    findings = list(ganatomy.verify(tmp_path / "out", snapshot=model.path))
    assert len(findings) == 4
    assert {(one.again, one.pixels, one.faults) for one in findings} == {("equal", "as written", ())}


def test_datasets_have_masks(chests, volumes_model):
    real = ganatomy.StoreDataset(chests)
    item = real[0]
    assert item["mask"].dtype == torch.int64
    assert item["mask"].shape == (16, 16, 16)
    bright = item["image"][0] * 812 - 212 > 400
    assert (item["mask"][bright] == 2).float().mean() > 0.9
    assert real.classes == CLASSES
    made = ganatomy.SyntheticDataset(volumes_model, n=4)
    assert made.classes == CLASSES
    assert torch.equal(made[1]["mask"], torch.from_numpy(volumes_model.sample(1, first=1)[0].labels).long())
    mixed = ganatomy.MixedDataset(real, made, share=0.3)
    assert {tuple(one["mask"].shape) for one in mixed} == {(16, 16, 16)}
    batch = next(iter(torch.utils.data.DataLoader(mixed, batch_size=2)))
    assert batch["mask"].shape == (2, 16, 16, 16)


def test_monai_and_torchio_get_masks(chests):
    real = ganatomy.StoreDataset(chests)
    pytest.importorskip("monai")
    item = real.as_monai()[0]
    assert item["mask"].shape == (1, 16, 16, 16)
    assert torch.equal(item["mask"].affine, item["image"].affine)
    pytest.importorskip("torchio")
    subject = real.as_torchio()[0]
    assert torch.equal(subject["mask"].data[0].long(), real[0]["mask"])


def test_what_takes_an_image_alone_says_so(volumes_model, chests, tmp_path):
    run = _train("vae", chests, (16, 16, 16), tmp_path / "runs")
    with pytest.raises(Refused, match="trained on 1 image and labels of body, lesion together"):
        ganatomy.encode(run, chests, tmp_path / "features.csv")
    assert open_snapshot(run.list_snapshots()[-1]).recipe.space.channels == 4
