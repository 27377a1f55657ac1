"""`verify` tells what is marked, whose it is, and whether the pixels are what the record says."""

import json
import shutil

import numpy as np
import pytest
from pydicom import dcmread

from ganatomy.checkpoint import open_snapshot
from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.exporting.export import export, write_samples
from ganatomy.exporting.findings import summarise_findings
from ganatomy.exporting.verify import verify
from ganatomy.sampling import sample


@pytest.fixture(scope="module")
def snapshot(run):
    return open_snapshot(run.list_snapshots()[-1])


@pytest.fixture(scope="module")
def exported(snapshot, tmp_path_factory):
    """Eight mammograms: 16-bit PNG, then DICOM."""
    folder = tmp_path_factory.mktemp("exported")
    write_samples(sample(snapshot, 8, 5), 8, "mammogram", folder / "png")
    export(folder / "png", folder / "dicom", compress="jpeg-ls")
    return folder / "dicom"


@pytest.fixture
def altered(exported, tmp_path):
    """A copy of them, and a function that changes the first file."""
    folder = shutil.copytree(exported, tmp_path / "dicom")
    file = sorted(folder.rglob("*.dcm"))[0]

    def change(how):
        ds = dcmread(file)
        how(ds)
        ds.save_as(file)
        return folder

    return change


def test_untouched_files_are_as_written_and_made_again_from_their_seed(exported, run, snapshot):
    findings = verify(exported, run.path)
    assert len(findings) == 8
    assert {finding.index for finding in findings} == set(range(8))
    for finding in findings:
        assert finding.is_sound
        assert (finding.model, finding.seed, finding.snapshot) == ("pggan-mammogram", 5, snapshot.digest)
        assert (finding.pixels, finding.again) == ("as written", "equal")
        assert finding.difference <= 1


def test_volumes_are_made_once_for_all_their_slices(hagan, tmp_path, monkeypatch):
    from ganatomy.directions import MovedSamples

    snapshot = open_snapshot(hagan.list_snapshots()[-1])
    write_samples(sample(snapshot, 2, 3), 2, "chest_ct", tmp_path / "nifti")
    made = []
    again = MovedSamples.regenerate
    monkeypatch.setattr(MovedSamples, "regenerate", lambda *a: made.append(1) or again(*a))
    for options in ({}, {"enhanced": True}, {"secondary_capture": True, "compress": "rle"}):
        folder = tmp_path / f"dicom{len(made)}"
        export(tmp_path / "nifti", folder, **options)
        findings = verify(folder, snapshot.path)
        assert {(finding.pixels, finding.again) for finding in findings} == {("as written", "equal")}
        assert len(findings) == (2 if options.get("enhanced") else 64)
        assert len(list(summarise_findings(findings))) == 2
    assert len(made) == 6


def test_a_changed_pixel_is_found_with_and_without_the_snapshot(altered, run):
    def brighten(ds):
        ds.decompress()
        values = ds.pixel_array.copy()
        values[10, 10] += 100
        ds.PixelData = values.tobytes()

    folder = altered(brighten)
    first, *others = verify(folder)
    assert (first.pixels, first.is_sound) == ("changed", False)
    assert all(finding.is_sound for finding in others)
    first, *others = verify(folder, run.path)
    assert (first.pixels, first.again, first.difference) == ("changed", "different", pytest.approx(100, abs=1))
    assert all(finding.again == "equal" for finding in others)


def test_a_false_record_is_found(altered, run):
    def lie(ds):
        item = ds.ContributingEquipmentSequence[0]
        item.ContributionDescription = item.ContributionDescription.replace('"seed":5', '"seed":6')

    first, *_ = verify(altered(lie), run.path)
    assert (first.seed, first.pixels, first.again, first.is_sound) == (6, "changed", "different", False)


def test_pixels_that_cannot_be_decoded_are_a_fault(altered):
    first, *_ = verify(altered(lambda ds: setattr(ds, "PixelData", b"\xfe\xff\x00\xe0" + b"\0" * 4 + b"\1" * 64)))
    assert first.pixels == "changed"
    assert first.faults


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda ds: ds.__delattr__("SyntheticData"), "NOT MARKED SYNTHETIC"),
        (lambda ds: setattr(ds, "PatientOrientation", ["L", "F"]), "Patient Orientation"),
        (lambda ds: ds.__delattr__("ContributingEquipmentSequence"), "synthetic"),
    ],
)
def test_what_a_header_lacks_or_contradicts_is_told(altered, how, words):
    told = list(summarise_findings(verify(altered(how))))
    assert words in told[0]


def test_a_patients_file_is_told_of_without_its_header(cohort, tmp_path, capsys):
    ds = dcmread(sorted(cohort.rglob("*.dcm"))[0])
    del ds.SyntheticData, ds.ContributingEquipmentSequence
    ds.PatientName = ds.PatientID = ds.StudyDescription = "MARKER7351"
    ds.save_as(tmp_path / "a.dcm")
    (tmp_path / "notes.txt").write_text("not DICOM")
    assert main(["verify", str(tmp_path), "--out", str(tmp_path / "report.jsonl")]) == 1
    told = capsys.readouterr()
    assert "a.dcm: NOT MARKED SYNTHETIC" in told.out + told.err or told.out == ""
    assert "1 of 1 files are not marked synthetic" in told.err
    assert "MARKER7351" not in told.out + told.err + (tmp_path / "report.jsonl").read_text()
    assert json.loads((tmp_path / "report.jsonl").read_text())["marked"] is False


def test_phantoms_are_marked_and_as_written(cohort, run):
    findings = verify(cohort, run.path)
    assert {finding.pixels for finding in findings} == {"as written"}
    assert {finding.model for finding in findings} == {"digital breast phantom"}
    assert {finding.again for finding in findings} == {"The image was generated by another snapshot."}


def test_broken_files_are_told_of_and_a_folder_without_dicom_is_refused(exported, tmp_path):
    file = sorted(exported.rglob("*.dcm"))[0]
    (tmp_path / "half.dcm").write_bytes(file.read_bytes()[:900])
    (finding,) = verify(tmp_path)
    assert not finding.is_sound
    (tmp_path / "half.dcm").unlink()
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(Refused, match="holds no image file"):
        verify(tmp_path)
    with pytest.raises(Refused, match="is not a folder"):
        verify(tmp_path / "none")


def test_the_command_passes_what_is_good(exported, run, capsys):
    assert main(["verify", str(exported), "--snapshot", str(run.path)]) == 0
    told = capsys.readouterr().out
    assert told.count("made again: equal") == 8
    assert "all 8 files" in told
    assert main(["verify", str(exported), "--dry-run"]) == 0


def test_a_label_is_part_of_what_is_made_again(snapshot, hagan, tmp_path):
    wide = open_snapshot(hagan.list_snapshots()[-1])
    from ganatomy.modalities.chest_ct import ChestCT

    room = np.zeros((32, 32, 32), bool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChestCT, "segment_foreground", lambda self, image: room)  # at 32 cubed a thorax leaves none
        patch.setattr("ganatomy.exporting.label.LABEL_TEXT", "SYN")
        patch.setattr("ganatomy.exporting.export.LABEL_TEXT", "SYN")
        write_samples(sample(wide, 1, 3), 1, "chest_ct", tmp_path / "npy", "npy")
        export(tmp_path / "npy", tmp_path / "dicom", label=True)
        export(tmp_path / "npy", tmp_path / "plain")
        findings = verify(tmp_path / "dicom", wide.path)
    assert {(finding.pixels, finding.again) for finding in findings} == {("as written", "equal")}
    pairs = zip(sorted((tmp_path / "dicom").rglob("*.dcm")), sorted((tmp_path / "plain").rglob("*.dcm")), strict=True)
    labelled, plain = next((dcmread(a), dcmread(b)) for a, b in pairs)
    assert 10 < (labelled.pixel_array != plain.pixel_array).sum() < 200
    assert json.loads(labelled.ContributingEquipmentSequence[0].ContributionDescription)["label"] == "SYN"
    assert labelled.SOPInstanceUID != plain.SOPInstanceUID
