"""What a real archive makes of our objects. `test_orthanc.py` runs this file in a private network namespace.

Orthanc of Debian 12 listens on all interfaces whatever its configuration says; in a namespace of its own there is none
but loopback.
"""

import json
import shutil
import socket
import subprocess
import time

import numpy as np
import pytest
import requests
from cohorts import SPACING, mammograms, volumes
from dicomweb_client import DICOMwebClient
from pydicom import dcmread
from pynetdicom import AE

from ganatomy.cli import main
from ganatomy.data.samples import read_samples
from ganatomy.dicom import series
from ganatomy.dicom.mammogram import read_mammogram
from ganatomy.exporting.export import export
from ganatomy.exporting.send import send
from ganatomy.modalities import table as modalities

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
HTTP, DICOM = 18042, 14242
PACS, URL = f"127.0.0.1:{DICOM}/ORTHANC", f"http://127.0.0.1:{HTTP}/dicom-web"
SECONDS = 30


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """A running archive with DICOMweb, which knows the title GANATOMY only."""
    folder = tmp_path_factory.mktemp("orthanc")
    rights = {"AET": "GANATOMY", "Host": "127.0.0.1", "Port": 11199, "AllowEcho": True, "AllowStore": True}
    configuration = {
        "Name": "test",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "Plugins": [PLUGIN],
        "HttpPort": HTTP,
        "DicomPort": DICOM,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomCheckCalledAet": True,
        "DicomCheckModalityHost": True,
        "DicomAlwaysAllowEcho": False,
        "DicomAlwaysAllowStore": False,
        "DicomModalities": {"ganatomy": rights},
        "OverwriteInstances": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
        "Dictionary": {"0008,001c": ["CS", "SyntheticData", 1, 1, ""]},
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "log").open("w") as log:
        child = subprocess.Popen([shutil.which("Orthanc"), folder / "orthanc.json"], stdout=log, stderr=log)
    try:
        end = time.monotonic() + SECONDS
        while True:
            try:
                requests.get(f"http://127.0.0.1:{HTTP}/system", timeout=2).raise_for_status()
                break
            except requests.ConnectionError:
                assert child.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.1)
        yield DICOMwebClient(URL)
    finally:
        child.terminate()
        child.wait(SECONDS)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    return {
        "mammogram": mammograms(folder / "mammogram", 8),
        "chest_ct": volumes(folder / "chest_ct", "chest_ct", 2),
        "brain_mri": volumes(folder / "brain_mri", "brain_mri", 1),
    }


def _same(client, folder):
    """Every exported file comes back from the archive as the same data set."""
    files = sorted(folder.rglob("*.dcm"))
    assert files
    for file in files:
        ds = dcmread(file)
        found = client.retrieve_instance(
            ds.StudyInstanceUID,
            ds.SeriesInstanceUID,
            ds.SOPInstanceUID,
            media_types=(("application/dicom", str(ds.file_meta.TransferSyntaxUID)),),
        )
        assert found.file_meta.TransferSyntaxUID == ds.file_meta.TransferSyntaxUID
        assert found == ds, file
        assert np.array_equal(found.pixel_array, ds.pixel_array)
    return [dcmread(file) for file in files]


def test_a_wrong_title_is_turned_away(orthanc, samples, capsys):
    line = ["export", str(samples["mammogram"]), "--to", "pacs", "--pacs", PACS.replace("ORTHANC", "OTHER")]
    assert main(line) == 2
    assert "rejects the association" in capsys.readouterr().err


@pytest.mark.parametrize("modality", ["mammogram", "chest_ct", "brain_mri"])
def test_c_store_then_wado_gives_the_same_data_sets(orthanc, samples, modality, tmp_path):
    sent = send(samples[modality], pacs=PACS)
    assert sent.refused == ()
    export(samples[modality], tmp_path / "dicom")
    assert sent.accepted == len(_same(orthanc, tmp_path / "dicom"))


@pytest.mark.parametrize("compress", ["rle", "jpeg-ls", "jpeg2000"])
@pytest.mark.parametrize(
    ("modality", "options"),
    [
        ("mammogram", {}),
        ("mammogram", {"secondary_capture": True}),
        ("chest_ct", {"enhanced": True}),
        ("brain_mri", {"enhanced": True}),
        ("chest_ct", {"secondary_capture": True}),
    ],
)
def test_stow_then_wado_gives_the_same_data_sets(orthanc, samples, modality, options, compress, tmp_path):
    for instance in requests.get(f"http://127.0.0.1:{HTTP}/instances", timeout=SECONDS).json():
        requests.delete(f"http://127.0.0.1:{HTTP}/instances/{instance}", timeout=SECONDS).raise_for_status()
    (samples[modality] / "sent.jsonl").unlink(missing_ok=True)
    sent = send(samples[modality], url=URL, compress=compress, **options)
    assert sent.refused == ()
    export(samples[modality], tmp_path / "dicom", compress=compress, **options)
    assert sent.accepted == len(_same(orthanc, tmp_path / "dicom"))


def test_sending_again_makes_no_duplicate(orthanc, samples):
    (samples["mammogram"] / "sent.jsonl").unlink(missing_ok=True)
    assert send(samples["mammogram"], pacs=PACS).accepted == 8
    before = requests.get(f"http://127.0.0.1:{HTTP}/statistics", timeout=SECONDS).json()["CountInstances"]
    (samples["mammogram"] / "sent.jsonl").unlink()
    assert send(samples["mammogram"], pacs=PACS).accepted == 8
    assert send(samples["mammogram"], url=URL).accepted == 8
    after = requests.get(f"http://127.0.0.1:{HTTP}/statistics", timeout=SECONDS).json()["CountInstances"]
    assert before == after


def test_ct_comes_back_to_the_same_hounsfield_units(orthanc, samples, tmp_path):
    (samples["chest_ct"] / "sent.jsonl").unlink(missing_ok=True)
    assert send(samples["chest_ct"], pacs=PACS).refused == ()
    rows, images = read_samples(samples["chest_ct"])
    for number, (image, _) in enumerate(images):
        export(samples["chest_ct"], tmp_path / f"{number}")
        file = sorted((tmp_path / f"{number}").rglob(f"*-{number + 1:06d}/0001.dcm"))[0]
        ds = dcmread(file)
        found = orthanc.retrieve_series(ds.StudyInstanceUID, ds.SeriesInstanceUID)
        folder = tmp_path / f"back{number}"
        folder.mkdir()
        for one in found:
            one.save_as(folder / f"{one.InstanceNumber:04d}.dcm", enforce_file_format=True)
        (voxels, spacing, *_), *_ = series.read_volume(tuple(sorted(folder.iterdir())), "CT")
        shown = modalities.get_modality("chest_ct")().denormalise(image)
        assert np.array_equal(voxels, np.rint(shown.pixels))
        assert spacing == SPACING
    assert len(rows) == 2


def test_mammograms_come_back_as_hung(orthanc, samples, tmp_path):
    (samples["mammogram"] / "sent.jsonl").unlink(missing_ok=True)
    assert send(samples["mammogram"], pacs=PACS).refused == ()
    export(samples["mammogram"], tmp_path / "dicom")
    hung = {("R", "CC"): ["P", "L"], ("L", "CC"): ["A", "R"], ("R", "MLO"): ["P", "FL"], ("L", "MLO"): ["A", "FR"]}
    study = dcmread(next((tmp_path / "dicom").rglob("RCC.dcm"))).StudyInstanceUID
    found = [
        orthanc.retrieve_instance(study, one["0020000E"]["Value"][0], one["00080018"]["Value"][0])
        for one in orthanc.search_for_instances(study)
    ]
    assert len(found) == 4
    assert len({ds.SeriesInstanceUID for ds in found}) == 4
    for ds in found:
        assert ds.PatientOrientation == hung[ds.ImageLaterality, ds.ViewPosition]
        ds.save_as(tmp_path / "one.dcm", enforce_file_format=True)
        image, _ = read_mammogram(tmp_path / "one.dcm")
        assert image.facts == {"view_position": ds.ViewPosition, "laterality": ds.ImageLaterality}
        bright = image.pixels > 0
        assert bright[:, 0].sum() > bright[:, -1].sum()  # chest wall left, whatever the side


def test_the_archive_finds_what_is_synthetic(orthanc, samples):
    (samples["mammogram"] / "sent.jsonl").unlink(missing_ok=True)
    send(samples["mammogram"], pacs=PACS)
    found = requests.get(f"{URL}/studies?PatientName=SYNTHETIC*", timeout=SECONDS).json()
    assert found
    assert {one["00100010"]["Value"][0]["Alphabetic"].split("^")[0] for one in found} == {"SYNTHETIC"}
    study = found[0]["0020000D"]["Value"][0]
    headers = orthanc.retrieve_study_metadata(study)
    assert {header["0008001C"]["Value"][0] for header in headers} == {"YES"}
    picture = requests.get(
        f"{URL}/studies/{study}/series/{headers[0]['0020000E']['Value'][0]}/instances/"
        f"{headers[0]['00080018']['Value'][0]}/rendered",
        headers={"Accept": "image/png"},
        timeout=SECONDS,
    )
    assert picture.content.startswith(b"\x89PNG")


def test_an_echo_from_a_stranger_is_turned_away(orthanc):
    """The archive is set up as strictly as one in a hospital, so that what passed above was really allowed."""
    entity = AE(ae_title="STRANGER")
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", DICOM, ae_title="ORTHANC")
    status = association.send_c_echo() if association.is_established else None
    assert not status or status.get("Status") != 0
    if association.is_established:
        association.release()


def test_nothing_but_loopback_is_here():
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
