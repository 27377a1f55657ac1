"""Image i of a seed is the same whatever else is asked; every output says how it was made."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pydicom import dcmread
from pydicom.sequence import Sequence

from ganatomy.checkpoint import find_snapshot, open_snapshot
from ganatomy.cli import main
from ganatomy.data.prepare import prepare
from ganatomy.data.samples import read_samples
from ganatomy.dicom import write
from ganatomy.dicom.mammogram import read_mammogram
from ganatomy.errors import Refused
from ganatomy.exporting.export import export, write_samples
from ganatomy.modalities.mammogram import Mammogram
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.sampling import regenerate_image, sample
from ganatomy.steps.truncation import truncate_codes
from ganatomy.training.train import train


@pytest.fixture(scope="module")
def snapshot(run):
    return open_snapshot(run.list_snapshots()[-1])


def test_image_i_of_a_seed_is_always_the_same(snapshot):
    whole = [image.pixels for image, _ in sample(snapshot, 6, seed=3, batch_size=6)]
    single = [next(iter(sample(snapshot, 1, seed=3, first=i, batch_size=1)))[0].pixels for i in range(6)]
    assert all(np.array_equal(a, b) for a, b in zip(whole, single, strict=True))
    assert not np.array_equal(whole[0], next(iter(sample(snapshot, 1, seed=4)))[0].pixels)


def test_conditions_are_taken_in_turn_or_as_wanted(snapshot):
    facts = [tuple(image.facts.values()) for image, _ in sample(snapshot, 4)]
    assert facts == [("CC", "R"), ("MLO", "R"), ("CC", "L"), ("MLO", "L")]
    wanted = [image.facts for image, _ in sample(snapshot, 3, condition={"view_position": "MLO", "laterality": "L"})]
    assert wanted == [{"view_position": "MLO", "laterality": "L"}] * 3


@pytest.mark.parametrize(
    ("condition", "words"),
    [({"view_position": "ML"}, "the model accepts CC, MLO"), ({"age": "50"}, "not conditioned on 'age'")],
)
def test_unknown_conditions_are_refused(snapshot, condition, words):
    with pytest.raises(Refused, match=words):
        next(iter(sample(snapshot, 1, condition=condition)))


def test_truncation_bounds_the_latent_codes_and_keeps_their_order():
    free = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    bound = truncate_codes(free, 0.7)
    assert bound.abs().max() <= 0.7
    assert free.abs().max() > 2
    order = free.flatten().argsort()
    assert (bound.flatten()[order].diff() >= 0).all()


@pytest.mark.parametrize("made_by", ["run", "hagan"])
def test_truncation_is_refused_where_it_would_do_nothing(made_by, request):
    made = request.getfixturevalue(made_by)
    snapshot = open_snapshot(made.list_snapshots()[-1])
    with pytest.raises(Refused, match="has no place where truncation would make images more usual; omit"):
        sample(snapshot, 1, truncation=0.7)


TRUNCATED = [name for name, make in RECIPES.items() if make().networks["generator"].truncation_place == "code"]


def test_recipes_with_codes_that_can_be_truncated_are_known():
    assert TRUNCATED == ["wgan", "wgan-gp"]


@pytest.mark.parametrize("name", TRUNCATED)
def test_truncation_makes_images_more_alike(name):
    recipe = get_recipe(name).make_tiny()
    torch.manual_seed(0)
    generator = recipe.build_generator().eval()
    z = torch.randn(8, recipe.latent)
    condition = recipe.condition_space.make_blank(8)
    with torch.no_grad():
        spread = [
            generator(codes, condition, recipe.get_final_scope())[0].std(0).mean()
            for codes in (z, truncate_codes(z, 1.0), truncate_codes(z, 0.3))
        ]
    assert spread[0] > 1.2 * spread[1] > 1.2 * 1.2 * spread[2]


@pytest.mark.parametrize("name", ["pggan-mammogram", "hagan", "vae-gan"])
def test_shorter_codes_give_images_as_varied_where_truncation_is_refused(name):
    recipe = get_recipe(name).make_tiny().replace(conditions={}, latent=512)
    torch.manual_seed(0)
    generator = recipe.build_generator().eval()
    z = torch.randn(8, recipe.latent)
    condition = recipe.condition_space.make_blank(8)
    with torch.no_grad():
        long, short = (generator(codes, condition, recipe.get_final_scope())[0] for codes in (z, z / 2))
    assert short.std(0).mean().item() == pytest.approx(long.std(0).mean().item(), rel=0.01)


def test_an_image_that_an_earlier_version_truncated_can_be_made_again(snapshot):
    record = next(iter(sample(snapshot, 1, seed=2)))[1]
    whole, truncated = (regenerate_image(snapshot, record | {"truncation": t}) for t in (None, 0.7))
    assert not np.array_equal(whole.pixels, truncated.pixels)


def test_every_output_carries_its_provenance(snapshot, tmp_path):
    for to in ("png", "npy", "dicom"):
        assert write_samples(sample(snapshot, 8, 5), 8, "mammogram", tmp_path / to, to) == 8
    rows, images = read_samples(tmp_path / "png")
    record = rows[2]["record"]
    assert record["snapshot_sha256"] == snapshot.digest
    assert (record["seed"], record["index"], record["view_position"], record["laterality"]) == (5, 2, "CC", "L")
    with Pillow.open(tmp_path / "png" / rows[2]["file"]) as picture:
        assert picture.mode == "I;16"
        assert json.loads(picture.text["Provenance"]) == record
        assert "SYNTHETIC" in picture.text["Comment"]
    drawn = [image.pixels for image, _ in sample(snapshot, 8, 5)]
    for (image, _), pixels in zip(images, drawn, strict=True):
        np.testing.assert_allclose(image.pixels, pixels, atol=2e-5)
    for (image, _), pixels in zip(read_samples(tmp_path / "npy")[1], drawn, strict=True):
        assert np.array_equal(image.pixels, pixels)
    files = sorted((tmp_path / "dicom").rglob("*.dcm"))
    assert [f.name for f in files[:4]] == [f"{name}.dcm" for name in ("LCC", "LMLO", "RCC", "RMLO")]
    assert re.fullmatch("SYN-[0-9a-f]{8}-000001", files[0].parent.name)
    assert len(files) == 8
    ds = dcmread(files[0])
    assert json.loads(ds.ContributingEquipmentSequence[0].ContributionDescription)["index"] == 2
    image, _ = read_mammogram(files[0])
    np.testing.assert_allclose(image.pixels * 2 - 1, drawn[2], atol=1e-3)


def test_exporting_again_gives_the_same_instances(snapshot, tmp_path):
    write_samples(sample(snapshot, 4, 5), 4, "mammogram", tmp_path / "png", "png")
    for name in ("a", "b"):
        assert export(tmp_path / "png", tmp_path / name, "dicom", date="20260101") == 4
    for file in (tmp_path / "a").rglob("*.dcm"):
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


def test_an_interrupted_export_is_finished_by_the_same_command(snapshot, tmp_path):
    def broken():
        for i, one in enumerate(sample(snapshot, 6, 5)):
            if i == 3:
                raise KeyboardInterrupt
            yield one

    with pytest.raises(KeyboardInterrupt):
        write_samples(broken(), 6, "mammogram", tmp_path / "out", "dicom", "20260101")
    assert write_samples(sample(snapshot, 6, 5), 6, "mammogram", tmp_path / "out", "dicom", "20260101") == 6
    assert [p.name[-6:] for p in sorted((tmp_path / "out").iterdir())] == ["000001", "000002", ".jsonl"]
    uids = [dcmread(file).SOPInstanceUID for file in (tmp_path / "out").rglob("*.dcm")]
    assert len(uids) == len(set(uids)) == 6
    with pytest.raises(Refused, match="is not empty"):
        write_samples(sample(snapshot, 6, 5), 6, "mammogram", tmp_path / "out", "dicom")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda s, out: write_samples(sample(s, 1), 1, "mammogram", out, "gif"),
            "is not written in this format; choose one of png, npy, dicom, hanging",
        ),
        (lambda s, out: export(out, out / "x"), "holds no samples.jsonl"),
        (lambda s, out: list(sample(s, 0)), "above zero"),
        (lambda s, out: find_snapshot(out), "neither a snapshot nor a run"),
        (lambda s, out: open_snapshot(out), "is not a snapshot"),
    ],
)
def test_impossible_wishes_are_refused(snapshot, tmp_path, make, words):
    with pytest.raises(Refused, match=words):
        make(snapshot, tmp_path)


def test_dicom_without_a_spacing_is_refused_and_leaves_nothing(snapshot, tmp_path):
    unknown = ((image.copy_with(spacing=None), record) for image, record in sample(snapshot, 2))
    with pytest.raises(Refused, match="DICOM needs the spacing"):
        write_samples(unknown, 2, "mammogram", tmp_path / "out", "dicom")
    assert not (tmp_path / "out").exists()


def test_a_damaged_snapshot_is_refused(run, tmp_path):
    import shutil

    folder = shutil.copytree(run.list_snapshots()[-1], tmp_path / "snapshot")
    content = bytearray((folder / "generator.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "generator.safetensors").write_bytes(content)
    with pytest.raises(Refused, match="SHA-256 differs"):
        open_snapshot(folder)


def test_no_header_of_a_training_image_reaches_an_output(cohort, tmp_path):
    """Every text of every training header holds a marker; no file that we write may hold it."""
    marker = "MARKER7351"
    raw = tmp_path / "raw"
    raw.mkdir()
    names = (
        "PatientName",
        "PatientID",
        "PatientComments",
        "StudyDescription",
        "SeriesDescription",
        "Manufacturer",
        "ManufacturerModelName",
        "ImageComments",
        "AccessionNumber",
        "StudyID",
        "IssuerOfPatientID",
        "DerivationDescription",
        "InstitutionName",
        "OperatorsName",
        "ReferringPhysicianName",
    )
    for i, file in enumerate(sorted(cohort.rglob("*.dcm"))[:16]):
        ds = dcmread(file)
        for name in names:
            setattr(ds, name, f"{marker}{i // 4}")
        ds.StudyInstanceUID = f"1.2.7351{i // 4}"
        ds.RequestAttributesSequence = Sequence([write.make_code_item(marker, "99X", marker)])
        ds.save_as(raw / f"{i}.dcm", enforce_file_format=True)
    store = prepare(raw, Mammogram(shape=(40, 32)), tmp_path / "store", workers=0)
    assert store.manifest.patients == 4
    recipe = get_recipe("pggan-mammogram").make_tiny().replace(total_kimg=0.4)
    run = train(recipe, store, tmp_path / "runs")
    snapshot = open_snapshot(run.list_snapshots()[-1])
    for to in ("png", "npy", "dicom"):
        write_samples(sample(snapshot, 4), 4, "mammogram", tmp_path / to, to)
    export(tmp_path / "png", tmp_path / "pictures", secondary_capture=True, compress="rle")
    export(tmp_path / "png", tmp_path / "hanging", "hanging")
    parts = ("store", "runs", "png", "npy", "dicom", "pictures", "hanging")
    written = [p for part in parts for p in (tmp_path / part).rglob("*") if p.is_file()]
    assert len(written) > 35
    assert not [p for p in written if marker.encode() in p.read_bytes() or b"1.2.7351" in p.read_bytes()]
    assert torch.is_tensor(snapshot.weights["generator"]["to_image.0.weight"])


def test_a_hanging_has_four_views_with_their_chest_walls_together(snapshot, tmp_path):
    write_samples(sample(snapshot, 6, 5), 6, "mammogram", tmp_path / "png", "png")
    assert export(tmp_path / "png", tmp_path / "hung", "hanging") == 6
    names = sorted(p.name for p in (tmp_path / "hung").glob("*.png"))
    assert names == ["study-000001.png", "study-000002.png"]
    with Pillow.open(tmp_path / "hung" / names[0]) as picture:
        whole = np.asarray(picture)
        assert "not one woman's" in picture.text["Comment"]
        records = json.loads(picture.text["Provenance"])
    assert [(r["laterality"], r["view_position"]) for r in records] == [
        ("R", "CC"),
        ("R", "MLO"),
        ("L", "CC"),
        ("L", "MLO"),
    ]
    height, width = (n // 2 for n in whole.shape)
    shown = [image for image, _ in sample(snapshot, 6, 5)]
    panes = {("R", "CC"): (0, 0), ("L", "CC"): (0, 1), ("R", "MLO"): (1, 0), ("L", "MLO"): (1, 1)}
    for i, record in enumerate(records):
        row, column = panes[record["laterality"], record["view_position"]]
        pane = whole[row * height : (row + 1) * height, column * width : (column + 1) * width]
        drawn = (shown[i].pixels + 1) / 2 * 255
        hung = drawn[:, ::-1] if record["laterality"] == "R" else drawn
        times = height // hung.shape[0]
        inner = pane[height // 4 :, :][::times, ::times].astype(float)  # below the label
        assert abs(inner.mean() - hung[hung.shape[0] // 4 :].mean()) < 4
        wall = pane[:, -1] if record["laterality"] == "R" else pane[:, 0]
        assert abs(wall[height // 4 :].mean() - drawn[drawn.shape[0] // 4 :, 0].mean()) < 8
    with Pillow.open(tmp_path / "hung" / names[1]) as picture:  # two views only: the others stay dark
        half = np.asarray(picture)
    assert half[:, width:][height // 4 : height].max() == 0
    assert half[height // 4 : height, :width].max() > 0


def test_a_nifti_carries_the_same_record_as_the_other_formats(hagan, tmp_path):
    import nibabel as nib

    snapshot = open_snapshot(hagan.list_snapshots()[-1])
    write_samples(sample(snapshot, 1, 5), 1, "chest_ct", tmp_path / "nifti")
    export(tmp_path / "nifti", tmp_path / "dicom")
    row = read_samples(tmp_path / "nifti")[0][0]
    header = nib.load(tmp_path / "nifti" / row["file"]).header
    assert json.loads(header.extensions[0].get_content())["record"] == row["record"]
    assert b"SYNTHETIC" in header["descrip"].item()
    ds = dcmread(next((tmp_path / "dicom").rglob("*.dcm")))
    assert json.loads(ds.ContributingEquipmentSequence[0].ContributionDescription) == row["record"]


def test_studies_carry_the_day_on_which_the_samples_were_drawn(snapshot, tmp_path):
    write_samples(sample(snapshot, 1), 1, "mammogram", tmp_path / "png", "png", "20250607")
    for date, expected in ((None, "20250607"), ("20260708", "20260708")):
        export(tmp_path / "png", tmp_path / expected, date=date)
        assert dcmread(next((tmp_path / expected).rglob("*.dcm"))).StudyDate == expected


def test_a_precision_is_told_and_computed_again(hagan, tmp_path, capsys):
    snapshot = open_snapshot(hagan.list_snapshots()[-1])
    exact, _ = next(sample(snapshot, 1, seed=3))
    image, record = next(sample(snapshot, 1, seed=3, precision="bfloat16"))
    assert record["precision"] == "bfloat16"
    assert 0 < np.abs(image.pixels - exact.pixels).max() < 0.2
    assert (regenerate_image(snapshot, record).pixels == image.pixels).all()
    slab, _ = next(sample(snapshot, 1, seed=3, precision="bfloat16", planes=16))
    np.testing.assert_allclose(slab.pixels, image.pixels, atol=0.02)
    with pytest.raises(Refused, match="tf32 is for NVIDIA GPUs"):
        sample(snapshot, 1, precision="tf32")
    with pytest.raises(Refused, match="there is no such precision"):
        sample(snapshot, 1, precision="half")
    out = str(tmp_path / "made")
    assert main(["sample", str(hagan.path), "--n", "2", "--precision", "bfloat16", "--out", out]) == 0
    assert main(["verify", out, "--snapshot", str(hagan.path)]) == 0
    assert "precision" not in next(sample(snapshot, 1, seed=3))[1]
