"""`ganatomy.open`: what is written is opened as what it is, and a model gives the images of its command."""

import pickle
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import ganatomy
from ganatomy import checkpoint
from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.imaging.orientation import compute_affine, convert_to_ras


@pytest.fixture(scope="module")
def model(run):
    return ganatomy.open(run.path)


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    """Samples of the command, as arrays."""
    out = tmp_path_factory.mktemp("samples") / "npy"
    line = f"sample {run.path} --n 4 --seed 3 --condition view_position=MLO --to npy --quiet --out {out}"
    assert main(line.split()) == 0
    return out


def test_every_kind_is_opened_as_what_it_is(store, run, written, tmp_path):
    bundle = ganatomy.publish(run, tmp_path / "model.zip", unaudited=True)
    report = tmp_path / "report"
    report.mkdir()
    (report / "report.json").write_text(
        '{"compared": {"images_a_side": 4}, "scores": [{"metric": "KID"}], "privacy": {"passed": null},'
        ' "verdicts": [{"question": "Alike?", "answer": "no"}]}'
    )
    for path, kind in (
        (store.path, ganatomy.Store),
        (run.path, ganatomy.Model),
        (run.list_snapshots()[0], ganatomy.Model),
        (bundle, ganatomy.Model),
        (written, ganatomy.Samples),
        (report, ganatomy.Report),
    ):
        for given in (path, str(path)):
            assert type(ganatomy.open(given)) is kind, path
    opened = ganatomy.open(report)
    assert opened.verdicts == {"Alike?": "no"}
    assert opened.scores == [{"metric": "KID"}]
    assert opened.passed_audit is None
    assert ganatomy.open(bundle).digest == ganatomy.open(run.path).digest


def test_what_cannot_be_opened_is_refused_with_what_is_accepted(cohort, run, store, tmp_path):
    with pytest.raises(Refused, match=r"is none of what ganatomy.open accepts; give the path of a store"):
        ganatomy.open(cohort)
    with pytest.raises(Refused, match="does not exist; give the path of a store"):
        ganatomy.open(tmp_path / "nothing")
    with pytest.raises(Refused, match=f"it contains the runs {run.path.name}: give one"):
        ganatomy.open(run.path.parent)
    (tmp_path / "x.zip").write_text("no zip")
    with pytest.raises(Refused, match="bundle"):
        ganatomy.open(tmp_path / "x.zip")
    begun = tmp_path / "00000-begun"
    (begun / "snapshots").mkdir(parents=True)
    shutil.copy(run.path / "recipe.json", begun)
    with pytest.raises(Refused, match="is a run without a snapshot"):
        ganatomy.open(begun)
    unfinished = tmp_path / "store"
    unfinished.mkdir()
    shutil.copy(store.path / "plan.json", unfinished)
    with pytest.raises(Refused, match="is not finished"):
        ganatomy.open(unfinished)


def test_a_model_gives_the_bits_that_its_command_writes(model, written, tmp_path):
    images = model.sample(4, seed=3, view_position="MLO")
    assert len(images) == 4
    for image in images:
        assert np.array_equal(np.load(written / f"0003-{image.number:06d}.npy"), image.pixels)
        assert image.pixels.dtype == np.float32
        assert image.facts["view_position"] == "MLO"
        assert (image.seed, image.modality) == (3, "mammogram")
        assert image.provenance["snapshot_sha256"] == model.digest
    assert images.save(tmp_path / "saved", to="npy", date="20260101") == 4
    assert ganatomy.open(tmp_path / "saved").rows[0]["record"] == ganatomy.open(written).rows[0]["record"]
    read = ganatomy.open(written)
    assert np.array_equal(read[2].pixels, images[2].pixels)
    assert np.array_equal(read[1:3].pixels, images[1:3].pixels)
    assert read[-1].number == 3
    assert np.array_equal(model.regenerate(read[1].provenance).pixels, images[1].pixels)


def test_samples_as_tensors_and_in_their_own_values(model):
    images = model.sample(3, seed=1, first=5)
    assert [image.number for image in images] == [5, 6, 7]
    assert images.to_torch().shape == (3, 1, *model.shape)
    assert torch.equal(images.to_torch()[1], images[1].to_torch())
    assert images[0].values.min() >= 0
    assert images[0].values.max() <= 1
    one = images[0].to_torch()
    one.zero_()
    assert images[0].pixels.any(), "the tensor shares its memory with the image"


def test_wrong_facts_are_refused(model):
    with pytest.raises(Refused, match="not conditioned on 'view'"):
        model.sample(1, view="MLO")
    with pytest.raises(Refused, match="view_position cannot be 'ML'"):
        model.sample(1, view_position="ML")
    with pytest.raises(Refused, match="view_position is given twice"):
        model.sample(1, condition={"view_position": "CC"}, view_position="MLO")
    with pytest.raises(Refused, match="--n 0"):
        model.sample(0)


def test_a_model_says_what_it_is(model, run, store):
    assert model.run.path == run.path
    assert model.conditions == {"view_position": ("CC", "MLO"), "laterality": ("R", "L")}
    assert (model.shape, model.modality, model.recipe.name) == ((20, 16), "mammogram", "pggan-mammogram")
    assert model.card["snapshot_sha256"] == model.digest
    assert model.card["audit"]["passed"] is None
    with pytest.raises(Refused, match="no encoder"):
        model.encode(store, "x.csv")


def test_a_plan_is_that_of_the_recipe(model, monkeypatch):
    monkeypatch.setattr("ganatomy.library.plan.describe_plan", lambda *given: given)
    recipe, _, device, memory, processes = model.plan(memory="16GB")
    assert (recipe, device.type, memory, processes) == (model.recipe, "cuda", 16 * 10**9, 1)
    assert model.plan(2**30, "cpu")[2:] == (torch.device("cpu"), 2**30, 1)
    with pytest.raises(Refused, match="--memory lots: give a number and a unit"):
        model.plan("lots")


def test_a_bundle_has_the_card_that_it_was_published_with(run, tmp_path):
    bundle = ganatomy.publish(run, tmp_path / "model.zip", unaudited=True, licence="CC0-1.0")
    card = ganatomy.open(bundle).card
    assert card["licence"]["weights"] == "CC0-1.0"


def test_the_network_is_built_once(run, monkeypatch):
    built = []
    load = checkpoint.Snapshot.load_network

    def count(self, role, device):
        if (role, device) not in self._kept:
            built.append(role)
        return load(self, role, device)

    monkeypatch.setattr(checkpoint.Snapshot, "load_network", count)
    fresh = ganatomy.open(run.path)
    first, second = fresh.sample(1), fresh.sample(1)
    assert np.array_equal(first.pixels, second.pixels)
    assert built == ["generator"]


def test_a_pickled_model_opens_the_same_weights_or_refuses(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    opened = ganatomy.Model(tmp_path / "run")
    again = pickle.loads(pickle.dumps(opened))
    assert np.array_equal(again.sample(2).pixels, opened.sample(2).pixels)
    packed = pickle.dumps(opened)
    assert len(packed) < 1000, "the weights travel with the pickle"
    shutil.rmtree(opened.path)
    shutil.copytree(run.list_snapshots()[0], opened.path)
    with pytest.raises(Refused, match="holds other weights"):
        pickle.loads(packed)


def test_verbs_take_what_was_opened(model, store, tmp_path):
    images = [image for image, _ in ganatomy.sample(model, 2, seed=4)]
    assert np.array_equal(np.stack([image.pixels for image in images]), model.sample(2, seed=4).pixels)
    folder = ganatomy.sample(model, 2, seed=4, out=tmp_path / "png", to="png")
    assert isinstance(folder, ganatomy.Samples)
    assert ganatomy.export(folder, str(tmp_path / "npy"), to="npy") == 2
    with pytest.raises(Refused, match="no folder is given"):
        ganatomy.sample(model, 2, to="png")


def test_dicom_is_opened_but_not_read_back(model, tmp_path):
    folder = ganatomy.sample(model, 1, out=tmp_path / "dicom", to="dicom")
    assert len(folder) == 1
    with pytest.raises(Refused, match="is DICOM"):
        folder[0]


def test_the_affine_of_a_volume_is_that_of_its_file(hagan, tmp_path):
    volume = ganatomy.open(hagan.path).sample(1, seed=2)[0]
    folder = ganatomy.sample(hagan, 1, seed=2, out=tmp_path / "nifti")
    file = nib.load(Path(folder) / folder.rows[0]["file"])
    index = np.array([3, 5, 20])
    here = volume.affine @ [*index, 1]
    there = np.linalg.inv(file.affine) @ here
    i, j, k = np.rint(there[:3]).astype(int)
    assert np.allclose(there[:3], (i, j, k), atol=1e-4)
    assert np.asarray(file.dataobj)[i, j, k] == pytest.approx(volume.values[tuple(index)], abs=0.5)
    shape, spacing = (4, 6, 8), (3.0, 2.0, 1.0)
    voxels = np.arange(np.prod(shape)).reshape(shape)
    turned, affine = convert_to_ras(voxels, spacing)
    for place in ((0, 0, 0), (3, 2, 7), (1, 5, 0)):
        i, j, k = np.rint((np.linalg.inv(affine) @ compute_affine(shape, spacing) @ [*place, 1])[:3]).astype(int)
        assert turned[i, j, k] == voxels[place]
