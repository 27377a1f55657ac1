"""The uses of encoders: strange images are found, images are transferred and measured, wrong input is named."""

import json

import nibabel
import numpy as np
import pyarrow.csv
import pytest

from ganatomy.checkpoint import open_snapshot
from ganatomy.cli import main
from ganatomy.encoding import read_original
from ganatomy.errors import Refused
from ganatomy.recipes import get_recipe
from ganatomy.recipes.changes import change_recipe
from ganatomy.studies import anomalies, outliers
from ganatomy.studies import transfer as transferring
from ganatomy.training.train import train


@pytest.fixture(scope="module")
def run(volumes, tmp_path_factory):
    """A short training of a small `alpha-gan` that knows the emphysema of its images."""
    values = sorted(volumes.manifest.facts["emphysema"])
    changes = {"conditions": {"emphysema": values}, "total_kimg": 0.016, "ema_half_life_kimg": 0}  # few steps count
    recipe = change_recipe(get_recipe("alpha-gan").make_tiny(), changes)
    return train(recipe.resize((32, 32, 32)), volumes, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def snapshot(run):
    return open_snapshot(run.list_snapshots()[-1], None)


@pytest.mark.parametrize("name", anomalies.ANOMALIES)
def test_an_anomaly_changes_some_of_the_image(name, volumes):
    image = read_original(volumes, volumes.cases[0], type("S", (), {"recipe": get_recipe("wgan").resize((32, 32, 32))}))
    before = image.copy()
    spoilt = anomalies.ANOMALIES[name](image, np.random.default_rng(0))
    assert (image == before).all()
    assert spoilt.shape == image.shape
    assert spoilt.dtype == np.float32
    assert -1 <= spoilt.min() <= spoilt.max() <= 1
    share = (spoilt != image).mean()
    assert share > 0.001
    if "ball" in name:
        assert share < 0.03
        where = spoilt != image
        assert set(spoilt[where]) == {image.max() if name == "bright ball" else image.min()}
    again = anomalies.ANOMALIES[name](image, np.random.default_rng(0))
    assert (spoilt == again).all()


class Exact:
    """An encoder that knows the first 40 numbers of an image, and a generator that gives nothing else."""

    def __init__(self, snapshot, device=None):
        pass

    def encode(self, pixels, facts):
        return pixels

    def decode(self, z, facts):
        return np.where(z > 0.6, 0.6, z)  # nothing as bright as metal


def test_what_a_model_cannot_make_is_strange(snapshot, volumes, monkeypatch, tmp_path):
    monkeypatch.setattr(outliers, "Autoencoder", Exact)
    monkeypatch.setattr(outliers, "MIN_VALIDATION_IMAGES", 1)
    told = outliers.score_outliers(snapshot, volumes, tmp_path / "out", split="train", planted=True)
    assert told["parts"] == ["reconstruction", "discriminator"]
    assert told["found"]["bright ball"]["reconstruction"]["auc"] > 0.9
    assert told["found"]["bright ball"]["score"]["auc"] > 0.7
    assert told["found"]["mirrored"]["reconstruction"]["auc"] == 0.5  # the same values elsewhere
    ball = told["found"]["bright ball"]["reconstruction"]
    assert ball["low"] < ball["auc"] <= ball["high"]
    rows = pyarrow.csv.read_csv(tmp_path / "out" / "scores.csv").to_pylist()
    assert len(rows) == 7 * len(volumes.split("train"))
    assert told == json.loads((tmp_path / "out" / "outliers.json").read_text())


def test_a_score_is_the_mean_of_its_parts_in_units_of_validation_images(snapshot, volumes, monkeypatch):
    monkeypatch.setattr(outliers, "MIN_VALIDATION_IMAGES", 1)
    judge = outliers.AnomalyScore(snapshot, volumes)
    case = volumes.split("validation")[0]
    image = read_original(volumes, case, snapshot)
    found = judge(image, case["facts"])
    assert found["score"] == pytest.approx((found["reconstruction"] + found["discriminator"]) / 2)
    many = [
        judge(read_original(volumes, c, snapshot), c["facts"])["reconstruction"] for c in volumes.split("validation")
    ]
    assert np.median(many) == pytest.approx(0, abs=1e-6)
    other = judge(np.clip(image + 0.5, -1, 1), case["facts"])
    assert other["nearest training image"] > found["nearest training image"]


def test_the_features_are_what_enters_the_last_layer(snapshot, volumes):
    features = outliers.open_discriminator_features(snapshot, "cpu")
    case = volumes.cases[0]
    found = features(read_original(volumes, case, snapshot), case["facts"])
    head = features._network.tower.head
    assert found.shape == (head.in_features,)


def test_the_command_scores_a_split_and_strangers(run, volumes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(outliers, "MIN_VALIDATION_IMAGES", 1)
    line = ["outliers", str(run.path), str(volumes.path), "--others", str(volumes.path), "--out", str(tmp_path / "o")]
    assert main(line) == 0
    assert "others: AUC of score 0." in capsys.readouterr().out


def test_a_transfer_is_measured(run, snapshot, volumes, tmp_path, capsys):
    value = snapshot.recipe.conditions["emphysema"][0]
    line = ["transfer", str(run.path), str(volumes.path), "--to", f"emphysema={value}", "--split", "train", "--n", "4"]
    assert main([*line, "--out", str(tmp_path / "out")]) == 0
    assert f"classified as emphysema={value}: original" in capsys.readouterr().out
    told = json.loads((tmp_path / "out" / "transfer.json").read_text())
    assert told["images"] == 4
    assert -1 <= told["kept"]["reconstructed"]["ssim"] <= 1  # after sixteen images it may be of either sign
    assert set(told["kept"]["transferred"]) > {"ssim"}
    assert set(told["told_to_be_the_target"]["emphysema"]) == {"original", "reconstructed", "transferred"}
    rows = pyarrow.csv.read_csv(tmp_path / "out" / "measures.csv").to_pylist()
    assert not {row["patient"] for row in rows} & {
        case["patient"] for case in volumes.cases if case["facts"]["emphysema"] == value
    }
    volume = nibabel.load(tmp_path / "out" / "000000.nii.gz")
    assert volume.shape == (32, 32, 32)
    assert json.loads(volume.header.extensions[0].get_content())["shows_patients"] is False
    assert (tmp_path / "out" / "transfer.png").stat().st_size > 1000


def test_the_condition_changes_the_transferred_image_and_not_the_reconstruction(snapshot, volumes):
    case = volumes.split("train")[0]
    values = [v for v in snapshot.recipe.conditions["emphysema"] if v != case["facts"]["emphysema"]]
    coder = transferring.Autoencoder(snapshot)
    a, b = (transferring._make_forms(snapshot, volumes, case, {"emphysema": value}, coder) for value in values[:2])
    assert (a["reconstructed"] == b["reconstructed"]).all()
    assert (a["transferred"] != a["reconstructed"]).any()
    assert (a["transferred"] != b["transferred"]).any()


def test_what_was_kept_by_hand():
    pairs = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    assert transferring._compare_pairs(pairs, 4) == {
        "correlation": 1,
        "mean_before": 2,
        "mean_after": 4,
        "images_that_show_it": 3,
        "of": 4,
    }
    assert transferring._compare_pairs(pairs[:0], 4)["mean_before"] is None


@pytest.mark.parametrize(
    ("to", "options", "words"),
    [
        ({"kernel": "sharp"}, {}, "is not conditioned on kernel; its conditions are emphysema"),
        ({"emphysema": "none at all"}, {}, "the model accepts"),
    ],
)
def test_wrong_transfers_are_refused(snapshot, volumes, to, options, words, tmp_path):
    with pytest.raises(Refused, match=words):
        transferring.transfer_images(snapshot, volumes, to, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_models_without_an_encoder_and_small_stores_are_refused(hagan, run, volumes, tmp_path, capsys):
    assert main(["outliers", str(hagan.path), str(volumes.path), "--out", str(tmp_path / "o")]) == 2
    assert "has no encoder" in capsys.readouterr().err
    assert main(["transfer", str(run.path), str(volumes.path), "--out", str(tmp_path / "o")]) == 2
    assert "--to NAME=VALUE" in capsys.readouterr().err
    assert main(["outliers", str(run.path), str(volumes.path), "--out", str(tmp_path / "o")]) == 2
    assert "2 validation images; 4 are needed" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
