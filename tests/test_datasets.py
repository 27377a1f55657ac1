"""Datasets for other programs: the same image from every process, in the forms of PyTorch, MONAI and TorchIO."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import ganatomy
from ganatomy.data.store import dequantise_pixels
from ganatomy.errors import Refused


@pytest.fixture(scope="module")
def synthetic(run):
    return ganatomy.SyntheticDataset(run.path, seed=5, n=12, view_position="CC")


@pytest.fixture(scope="module")
def real(store):
    return ganatomy.StoreDataset(str(store.path), shape=(20, 16))


def test_images_of_a_store(store, real):
    assert len(real) == len(store.split("train"))
    case = store.split("train")[3]
    item = real[3]
    assert np.array_equal(item["image"][0], dequantise_pixels(store.read([case["row"]], (20, 16))[0]))
    assert item["facts"] == case["facts"]
    assert (item["synthetic"], item["number"], item["patient"]) == (False, case["row"], case["patient"])
    full = ganatomy.StoreDataset(store, split=None)
    assert len(full) == len(store.cases)
    assert full[0]["image"].shape == (1, 80, 64)
    assert full[0]["spacing"] * 4 == pytest.approx(ganatomy.StoreDataset(store, None, (20, 16))[0]["spacing"])
    with pytest.raises(IndexError):
        real[len(real)]
    assert torch.equal(real[-1]["image"], real[len(real) - 1]["image"])
    assert len(list(real)) == len(real)


def test_images_of_a_model(run, synthetic):
    images = ganatomy.open(run.path).sample(12, seed=5, view_position="CC")
    for i in (7, 0, 11):  # in any order
        assert np.array_equal(synthetic[i]["image"][0], images[i].pixels)
        assert synthetic[i]["facts"] == dict(images[i].facts)
        assert synthetic[i]["synthetic"]
    later = ganatomy.SyntheticDataset(run, 5, 2, first=9, view_position="CC")
    assert torch.equal(later[1]["image"], synthetic[10]["image"])
    wanted = [{"view_position": view} for view in ("CC", "MLO", "CC")]
    assert [item["facts"]["view_position"] for item in ganatomy.SyntheticDataset(run, n=3, condition=wanted)] == [
        "CC",
        "MLO",
        "CC",
    ]


def test_mistakes_are_refused_when_the_dataset_is_made(store, run, volumes, real, synthetic):
    for match, make in (
        ("holds 40x32, 80x64|holds .*, not 21x16", lambda: ganatomy.StoreDataset(store, shape=(21, 16))),
        ("give train, validation, test", lambda: ganatomy.StoreDataset(store, split="dev")),
        ("view_position cannot be", lambda: ganatomy.SyntheticDataset(run, n=2, view_position="ML")),
        ("Facts of 1 images are given for 2", lambda: ganatomy.SyntheticDataset(run, n=2, condition=[{}])),
        ("show mammogram and the synthetic ones", lambda: ganatomy.MixedDataset(ganatomy.StoreDataset(volumes), real)),
        ("have 80x64 and the synthetic ones 20x16", lambda: ganatomy.MixedDataset(ganatomy.StoreDataset(store), real)),
        ("and there are 12; give a SyntheticDataset", lambda: ganatomy.MixedDataset(real, synthetic, share=0.5)),
        ("give a share from 0 to 1", lambda: ganatomy.MixedDataset(real, synthetic, share=50)),
    ):
        with pytest.raises(Refused, match=match.replace("show mammogram", "show chest_ct")):
            make()


def test_a_mixture_has_its_share_and_every_real_image_once(real, synthetic):
    mixed = ganatomy.MixedDataset(real, synthetic, share=0.2, seed=1)
    made = [item["synthetic"] for item in mixed]
    assert sum(made) / len(mixed) == pytest.approx(0.2, abs=0.02)
    assert sorted(item["number"] for item in mixed if not item["synthetic"]) == sorted(item["number"] for item in real)
    numbers = [item["number"] for item in mixed if item["synthetic"]]
    assert numbers == list(range(len(numbers)))
    same, other = (ganatomy.MixedDataset(real, synthetic, share=0.2, seed=seed) for seed in (1, 2))
    assert made == [item["synthetic"] for item in same]
    assert made != [item["synthetic"] for item in other]
    for share, synthetic_images in ((0, 0), (1, 12)):
        assert sum(item["synthetic"] for item in ganatomy.MixedDataset(real, synthetic, share)) == synthetic_images
    many = ganatomy.MixedDataset(real, synthetic, share=0, n=2 * len(real))
    assert all(np.bincount([item["number"] for item in many])[[item["number"] for item in real]] == 2)


def test_every_process_gives_the_same_images(real, synthetic):
    """The workers of both ways to start them: copies of this process, which has read the store, and fresh ones."""
    mixed = ganatomy.MixedDataset(real, synthetic, share=0.2)
    here = torch.stack([item["image"] for item in mixed])
    for method in ("fork", "spawn"):
        loader = DataLoader(mixed, batch_size=8, num_workers=1, multiprocessing_context=method, timeout=120)
        batches = list(loader)
        assert torch.equal(torch.cat([batch["image"] for batch in batches]), here), method
        assert batches[0]["facts"].keys() == {"view_position", "laterality"}
        assert batches[0]["spacing"].shape == (8, 2)


def test_a_pickled_dataset_is_small_and_refuses_another_store(real, synthetic, volumes):
    for dataset in (real, synthetic):
        again = pickle.loads(pickle.dumps(dataset))
        assert torch.equal(again[2]["image"], dataset[2]["image"])
    state = real.__getstate__()
    assert len(pickle.dumps(synthetic)) < 2000
    with pytest.raises(Refused, match="is another store"):
        ganatomy.StoreDataset.__new__(ganatomy.StoreDataset).__setstate__(
            state | {"store": (volumes.path, state["store"][1])}
        )


def test_a_transform_gets_the_dictionary(store):
    dataset = ganatomy.StoreDataset(store, transform=lambda item: item["facts"]["laterality"])
    assert set(dataset) == {"L", "R"}


def test_dictionaries_of_monai(real, volumes):
    transforms = pytest.importorskip("monai.transforms")
    item = real.as_monai()[0]
    assert item["image"].shape == (1, 20, 16)
    assert item["image"].pixdim[:2].tolist() == pytest.approx(real[0]["spacing"].tolist())
    change = transforms.Compose([transforms.Orientationd("image", "RAS", labels=None), transforms.Flipd("image", 0)])
    volume = ganatomy.StoreDataset(volumes).as_monai(change)[0]["image"]
    plain = ganatomy.StoreDataset(volumes)[0]["image"]
    upright = plain[0].permute(2, 1, 0).flip(0, 1)  # S, P, L to R, A, S
    assert torch.equal(volume.as_tensor()[0], upright.flip(0))


def test_subjects_of_torchio(real, volumes):
    pytest.importorskip("torchio", reason="TorchIO is not installed: pip install torchio")
    subject = ganatomy.StoreDataset(volumes).as_torchio()[0]
    assert subject.image.shape == (1, 32, 32, 32)
    assert subject.image.orientation == ("S", "P", "L")
    assert real.as_torchio()[0].image.shape == (1, 20, 16, 1)
    assert subject["facts"]["emphysema"]


def test_a_library_that_is_missing_is_named(real, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchio", None)
    with pytest.raises(Refused, match="TorchIO is not installed; install it with: pip install torchio"):
        real.as_torchio()
