"""`verify` reads pictures, NIfTI and NPY, too: what each claims, whether it is unchanged, and what its record says."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from cohorts import RECORD, mammograms
from drawings import draw
from odd_files import write_brain
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from ganatomy.checkpoint import open_snapshot
from ganatomy.cli import main
from ganatomy.exporting.export import export, write_samples
from ganatomy.exporting.findings import summarise_findings
from ganatomy.exporting.verify import verify
from ganatomy.imaging import marking, nifti
from ganatomy.imaging.derived import write_derived_image
from ganatomy.imaging.pictures import save_png
from ganatomy.sampling import sample

NOISE = np.random.default_rng(0).integers(0, 65536, (40, 30), dtype=np.uint16)


@pytest.fixture(scope="module")
def written(run, hagan, tmp_path_factory):
    """Four samples of each format, in a folder each."""
    folder = tmp_path_factory.mktemp("written")
    flat, deep = (open_snapshot(one.list_snapshots()[-1]) for one in (run, hagan))
    for to in ("png", "npy"):
        write_samples(sample(flat, 4, 5), 4, "mammogram", folder / to, to, "20260101")
    export(folder / "png", folder / "hanging", "hanging")
    for to in ("nifti", "npy"):
        write_samples(sample(deep, 2, 3), 2, "chest_ct", folder / f"ct-{to}", to, "20260101")
    return folder


def _resave(path, change):
    """Save a PNG again with the same text fields and other pixels."""
    with Pillow.open(path) as picture:
        fields, pixels = PngInfo(), np.asarray(picture).copy()
        for name, value in picture.text.items():
            fields.add_itxt(name, value)
    Pillow.fromarray(change(pixels)).save(path, pnginfo=fields)


def _brighten(pixels):
    pixels[10, 10] ^= 0x2000
    return pixels


def test_untouched_files_are_as_written_and_made_again_from_their_record(written, run, hagan):
    for name, form, made_by, geometry in (
        ("png", "PNG", run, "not tried"),
        ("npy", "NPY", run, "not tried"),
        ("ct-nifti", "NIfTI", hagan, "equal"),
        ("ct-npy", "NPY", hagan, "not tried"),
    ):
        findings = verify(written / name, made_by.path)
        assert {finding.index for finding in findings} == set(range(2 if name.startswith("ct") else 4))
        for finding in findings:
            assert finding.is_sound, finding
            assert (finding.format, finding.pixels, finding.again) == (form, "as written", "equal")
            assert (finding.geometry, finding.claims) == (geometry, "made by a trained model")
            assert finding.difference <= 1


def test_a_hanging_is_known_by_its_four_images(written, run):
    (finding,) = verify(written / "hanging", run.path)
    assert (finding.images, finding.index, finding.seed) == (4, None, 5)
    assert (finding.is_sound, finding.pixels, finding.again) == (True, "as written", "not tried")
    assert "4 images" in next(summarise_findings([finding]))


def test_a_changed_value_is_found_in_every_format(written, run, hagan, tmp_path):
    folder = shutil.copytree(written / "png", tmp_path / "png")
    _resave(sorted(folder.glob("*.png"))[0], _brighten)
    first, *others = verify(folder, run.path)
    assert (first.pixels, first.again, first.is_sound) == ("changed", "different", False)
    assert all(finding.is_sound for finding in others)

    folder = shutil.copytree(written / "npy", tmp_path / "npy")
    file = sorted(folder.glob("*.npy"))[0]
    values = np.load(file)
    values[10, 10] = 0.5 - values[10, 10]
    np.save(file, values)
    first, *others = verify(folder, run.path)
    assert (first.pixels, first.again, first.is_sound) == ("changed", "different", False)

    folder = shutil.copytree(written / "ct-nifti", tmp_path / "nifti")
    file = sorted(folder.glob("*.nii.gz"))[0]
    image = nib.load(file)
    voxels = np.asarray(image.dataobj).copy()
    voxels[5, 5, 5] += 200
    changed = nib.Nifti1Image(voxels, image.affine * np.array([2, 1, 1, 1]), image.header)
    nib.save(changed, file)
    first, *others = verify(folder, hagan.path)
    assert (first.pixels, first.again, first.geometry) == ("changed", "different", "different (spacing)")
    assert all(finding.is_sound for finding in others)


def test_a_false_record_is_found(written, run, tmp_path):
    folder = shutil.copytree(written / "npy", tmp_path / "npy")
    file = sorted(folder.glob("*.npy.json"))[0]
    file.write_text(file.read_text().replace('"seed": 5', '"seed": 6'))
    first, *_ = verify(folder, run.path)
    assert (first.seed, first.pixels, first.again, first.is_sound) == (6, "as written", "different", False)


def test_what_is_not_marked_is_told_of(tmp_path, capsys):
    draw(tmp_path / "a.png", 0)
    Pillow.fromarray((NOISE >> 8).astype(np.uint8)).save(tmp_path / "b.jpg")
    write_brain(tmp_path / "c.nii.gz")
    np.save(tmp_path / "d.npy", NOISE)
    np.save(tmp_path / "direction.npy", np.zeros(5))  # no image
    assert main(["verify", str(tmp_path), "--out", str(tmp_path / "told.jsonl")]) == 1
    assert "4 of 4 files are not marked" in capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    assert [(row["format"], row["marked"]) for row in rows] == [(f, False) for f in ("PNG", "JPEG", "NIfTI", "NPY")]
    assert "d.npy.json is missing" in rows[3]["faults"][0]


def test_pictures_that_show_others_as_well_are_not_taken_for_synthetic(tmp_path):
    save_png(NOISE, tmp_path / "a.png", marking.mark_side_by_side(RECORD, True))
    save_png(NOISE, tmp_path / "b.png", marking.mark_collected("Training images.", True))
    save_png(NOISE, tmp_path / "c.png", marking.mark_blinded(True))
    write_derived_image(tmp_path / "d", draw_volume(), {"row": 1}, True)
    findings = verify(tmp_path)
    assert [finding.claims for finding in findings[:2]] == ["images by a model beside others", "images of any origin"]
    assert "reader study" in findings[2].claims
    assert findings[3].claims == "derived by a model from another image"
    for finding, pixels in zip(findings, ("as written", "as written", "unknown", "as written"), strict=True):
        assert (finding.marked, finding.pixels, finding.faults) == (False, pixels, ())  # a hash would unblind a reader


def draw_volume():
    from ganatomy.imaging.image import Image

    return Image(np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32), (1.0, 1.0, 1.0))


def test_marks_that_contradict_each_other_are_told(written, tmp_path):
    shutil.copytree(written / "png", tmp_path / "png")
    a, b, c, _ = sorted((tmp_path / "png").glob("*.png"))
    for file, name, value in ((a, "Comment", "A photograph"), (b, "Provenance", '{"seed": 6}')):
        with Pillow.open(file) as picture:
            fields, pixels = PngInfo(), np.asarray(picture)
            for field, told in picture.text.items():
                fields.add_itxt(field, value if field == name else told)
        Pillow.fromarray(pixels).save(file, pnginfo=fields)
    save_png(NOISE, c, marking.mark_synthetic({}))
    faults = [finding.faults for finding in verify(tmp_path / "png")]
    assert "Comment" in faults[0][0]
    assert "Provenance" in faults[1][0]
    assert "record of how it was made is missing" in faults[2][0]
    assert faults[3] == ()
    nifti.write_nifti(tmp_path / "ct" / "a.nii", draw_volume().pixels, (1.0, 1.0, 1.0), marking.mark_derived({}, True))
    image = nib.load(tmp_path / "ct" / "a.nii")
    image.header["descrip"] = nifti.HEADER_DESCRIPTION.encode()
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header), tmp_path / "ct" / "a.nii")
    (finding,) = verify(tmp_path / "ct")
    assert "contradict" in finding.faults[0]


def test_broken_files_are_rows(tmp_path):
    mammograms(tmp_path / "png", 1)
    content = next((tmp_path / "png").glob("*.png")).read_bytes()
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "a.png").write_bytes(content[: len(content) // 2])
    (folder / "b.npy").write_bytes(b"\x93NUMPY\x01\x00half")
    (folder / "c.nii.gz").write_bytes(b"\x1f\x8bhalf")
    np.save(folder / "d.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (folder / "e.npy.json").write_text("{}")
    findings = verify(folder)
    assert [finding.file for finding in findings] == ["a.png", "b.npy", "c.nii.gz", "d.npy", "e.npy.json"]
    assert all(finding.faults and not finding.is_sound for finding in findings)


def test_the_command_passes_a_folder_of_samples(written, run, capsys):
    assert main(["verify", str(written / "npy"), "--snapshot", str(run.path)]) == 0
    assert "all 4 files are marked synthetic" in capsys.readouterr().out
