"""Signed files: DICOM by PS3.15 C.2, pictures by C2PA; later changes are found, and a bad key writes nothing."""

import shutil
import struct
import subprocess
import zlib
from contextlib import nullcontext

import numpy as np
import pytest
from cohorts import mammograms, volumes
from keys import make_key
from PIL import Image as Pillow
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian

from ganatomy.cli import main
from ganatomy.dicom import signature
from ganatomy.dicom.destination import Outcome
from ganatomy.errors import Refused
from ganatomy.exporting import send as sending
from ganatomy.exporting import verify_dicom, verify_files
from ganatomy.exporting.export import export
from ganatomy.exporting.findings import UNCHECKED
from ganatomy.exporting.verify import verify
from ganatomy.imaging.credentials import is_installed
from ganatomy.machine import signing_key
from ganatomy.machine.signing_key import PASSWORD_VARIABLE, read_signing_key, verify_rsa

pytest.importorskip("cryptography", reason="signatures need cryptography, of the extra sign")
needs_c2pa = pytest.mark.skipif(not is_installed(), reason="content credentials need c2pa-python, of the extra sign")
DICOM_FORMS = ({}, {"compress": "rle"}, {"compress": "jpeg-ls"}, {"secondary_capture": True})


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return make_key(tmp_path_factory.mktemp("key") / "key.pem")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    mammograms(folder / "png", 2)
    volumes(folder / "ct", "chest_ct")
    return folder


def _check(path):
    """The certificate of the one signature of a file."""
    (certificate,) = signature.check_signatures(dcmread(path), verify_rsa)
    return certificate


def _add_a_broken_one(ds):
    """A second signature, by another key, of which a byte is wrong."""
    for name in ("MACParametersSequence", "DigitalSignaturesSequence"):
        other = Dataset(ds[name].value[0])
        other.MACIDNumber = 2
        ds[name].value.append(other)
    other.Signature = bytes([other.Signature[0] ^ 1]) + other.Signature[1:]


@pytest.mark.parametrize("form", [*DICOM_FORMS, {"enhanced": True}], ids=str)
def test_a_signed_instance_is_valid_and_otherwise_the_same(form, samples, key, tmp_path):
    source = samples / ("ct" if "enhanced" in form else "png")
    export(source, tmp_path / "signed", sign_key=key, **form)
    export(source, tmp_path / "plain", **form)
    certificate = read_signing_key(key).certificate
    files = sorted((tmp_path / "signed").rglob("*.dcm"))
    assert files
    for file in files:
        assert _check(file)[: len(certificate)] == certificate
        signed, plain = dcmread(file), dcmread(tmp_path / "plain" / file.relative_to(tmp_path / "signed"))
        assert signed.MACParametersSequence[0].MACAlgorithm == "SHA256"
        del signed.MACParametersSequence, signed.DigitalSignaturesSequence
        assert signed == plain
    for finding in verify(tmp_path / "signed"):
        assert finding.is_sound
        assert finding.signature.startswith("valid, by Synthesis (")
    assert {finding.signature for finding in verify(tmp_path / "plain")} == {"none"}


def test_an_archive_may_change_the_transfer_syntax_of_uncompressed_pixels(samples, key, tmp_path):
    for number, source in enumerate(("png", "ct")):
        export(samples / source, tmp_path / f"{number}", sign_key=key)
        for file in sorted((tmp_path / f"{number}").rglob("*.dcm"))[:2]:
            ds = dcmread(file)
            ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            ds.save_as(tmp_path / "implicit.dcm")
            assert (tmp_path / "implicit.dcm").stat().st_size != file.stat().st_size
            assert _check(tmp_path / "implicit.dcm")


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: setattr(ds, "SyntheticData", "NO"),
        lambda ds: ds.__delattr__("SyntheticData"),
        lambda ds: setattr(ds, "PatientName", "Somebody"),
        lambda ds: setattr(ds.ContributingEquipmentSequence[0], "ContributionDescription", "{}"),
        lambda ds: setattr(ds, "PixelData", ds.PixelData[:-2] + bytes([ds.PixelData[-2] ^ 1, ds.PixelData[-1]])),
        lambda ds: setattr(ds.DigitalSignaturesSequence[0], "DigitalSignatureDateTime", "20200101000000"),
        lambda ds: setattr(ds.DigitalSignaturesSequence[0], "Signature", b"\1" * 256),
        lambda ds: setattr(ds.DigitalSignaturesSequence[0], "CertificateOfSigner", b"\1" * 64),
        lambda ds: setattr(ds.MACParametersSequence[0], "MACAlgorithm", "MD5"),
        lambda ds: ds.__delattr__("MACParametersSequence"),
        _add_a_broken_one,
        lambda ds: setattr(
            ds.MACParametersSequence[0], "DataElementsSigned", ds.MACParametersSequence[0].DataElementsSigned[:-1]
        ),
    ],
)
def test_what_is_changed_after_signing_is_found(change, samples, key, tmp_path):
    export(samples / "png", tmp_path / "dicom", sign_key=key)
    file = sorted((tmp_path / "dicom").rglob("*.dcm"))[0]
    ds = dcmread(file)
    change(ds)
    ds.save_as(file)
    first, second = verify(tmp_path / "dicom")
    assert first.signature.startswith("INVALID: ")
    assert not first.is_sound
    assert second.is_sound


def test_a_signature_of_another_program_is_valid_and_theirs_is_ours(samples, key, tmp_path):
    if (tool := shutil.which("dcmsign")) is None:
        pytest.skip("dcmsign of DCMTK is not installed")
    private, _, certificates = key.read_text().partition("-----BEGIN CERTIFICATE-----")
    (tmp_path / "key.pem").write_text(private)
    (tmp_path / "certificate.pem").write_text("-----BEGIN CERTIFICATE-----" + certificates)
    for number, form in enumerate(({}, {"compress": "rle"})):
        export(samples / "png", tmp_path / f"signed{number}", sign_key=key, **form)
        export(samples / "png", tmp_path / f"plain{number}", **form)
        for file in (tmp_path / f"signed{number}").rglob("*.dcm"):
            told = subprocess.run([tool, "--verify", file], capture_output=True, text=True, check=False)
            assert "is OK" in told.stdout + told.stderr or "Verification : OK" in told.stdout + told.stderr
        file = next((tmp_path / f"plain{number}").rglob("*.dcm"))
        line = ["+s", tmp_path / "key.pem", tmp_path / "certificate.pem", "+pc", "+m2", file, tmp_path / "theirs.dcm"]
        subprocess.run([tool, *line], check=True)
        assert _check(tmp_path / "theirs.dcm")
        file = next((tmp_path / f"signed{number}").rglob("*.dcm"))
        subprocess.run([tool, *line[:5], file, tmp_path / "both.dcm"], check=True)
        assert len(signature.check_signatures(dcmread(tmp_path / "both.dcm"), verify_rsa)) == 2


@needs_c2pa
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_signed_picture_has_a_manifest_and_the_same_pixels(kind, samples, tmp_path):
    import c2pa

    key = make_key(tmp_path / "key.pem", kind)
    export(samples / "png", tmp_path / "signed", "png", sign_key=key)
    for finding in verify(tmp_path / "signed"):
        assert finding.is_sound
        assert (finding.signature, finding.pixels) == ("valid, by Synthesis, Tests", "as written")
    for file in sorted((tmp_path / "signed").glob("*.png")):
        with Pillow.open(file) as one, Pillow.open(samples / "png" / file.name) as other:
            assert np.array_equal(np.asarray(one), np.asarray(other))
            assert one.text == other.text
        with c2pa.Reader(file) as reader:
            manifest = reader.get_active_manifest()
        (action,) = manifest["assertions"][0]["data"]["actions"]
        assert action["action"] == "c2pa.created"
        assert action["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    export(samples / "png", tmp_path / "hung", "hanging", sign_key=key)
    (finding,) = verify(tmp_path / "hung")
    assert finding.signature.startswith("valid")


@needs_c2pa
def test_a_picture_that_is_changed_after_signing_is_found(samples, key, tmp_path):
    export(samples / "png", tmp_path / "signed", "png", sign_key=key)
    file = sorted((tmp_path / "signed").glob("*.png"))[0]
    content = bytearray(file.read_bytes())
    start = content.index(b"iTXtComment")
    end = start + 4 + struct.unpack_from(">I", content, start - 4)[0]
    content[start:end] = content[start:end].replace(b"NOT FOR DIAGNOSTIC", b"NOW FOR DIAGNOSTIC")
    content[end : end + 4] = struct.pack(">I", zlib.crc32(content[start:end]))
    file.write_bytes(content)
    first, second = verify(tmp_path / "signed")
    assert first.signature.startswith("INVALID: assertion.dataHash.mismatch")
    assert not first.is_sound
    assert second.is_sound


def test_signatures_that_cannot_be_checked_here_are_said_so(samples, key, tmp_path, monkeypatch):
    export(samples / "png", tmp_path / "dicom", sign_key=key)
    monkeypatch.setattr(verify_dicom, "can_check_signatures", lambda: False)
    assert {finding.signature for finding in verify(tmp_path / "dicom")} == {UNCHECKED}
    monkeypatch.setattr(verify_files, "has_credentials", lambda content: True)
    monkeypatch.setattr(verify_files, "is_installed", lambda: False)
    assert {finding.signature for finding in verify(samples / "png")} == {UNCHECKED}


def test_a_key_that_cannot_be_used_is_one_sentence_and_writes_nothing(samples, key, tmp_path, capsys, monkeypatch):
    text = key.read_bytes()
    place = text.index(b"-----BEGIN CERT")
    bad = {
        "missing": (None, "cannot be read"),
        "empty": (b"", "no private key"),
        "text": (b"not a key", "no private key"),
        "certificate": (text[place:], "no private key"),
        "key": (text[:place], "without a certificate"),
        "short": (make_key(tmp_path / "b.pem", bits=1024).read_bytes(), "1024 bits"),
        "curve": (make_key(tmp_path / "c.pem", "ec").read_bytes(), "needs a key of RSA"),
        "locked": (make_key(tmp_path / "d.pem", password="word").read_bytes(), PASSWORD_VARIABLE),
    }
    bad["other"] = (text[:place] + bad["short"][0][bad["short"][0].index(b"-----BEGIN CERT") :], "another key")
    for name, (content, words) in bad.items():
        file = tmp_path / f"{name}.pem"
        if content is not None:
            file.write_bytes(content)
        line = ["export", str(samples / "png"), "--out", str(tmp_path / "out"), "--sign-key", str(file)]
        assert main(line) == 2, name
        assert words in capsys.readouterr().err, name
        assert not (tmp_path / "out").exists()
    monkeypatch.setenv(PASSWORD_VARIABLE, "word")
    assert export(samples / "png", tmp_path / "out", sign_key=tmp_path / "locked.pem") == 2
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    with pytest.raises(Refused, match="is not its password"):
        read_signing_key(tmp_path / "locked.pem")


class _Archive(nullcontext):
    """Keeps what it is sent, as files."""

    name, batch_bytes = "archive", 2**20

    def __init__(self, folder):
        super().__init__(self)
        self.folder = folder

    def send(self, datasets):
        for ds in datasets:
            ds.save_as(self.folder / f"{ds.SOPInstanceUID}.dcm", enforce_file_format=True)
        return [Outcome(ds.SOPInstanceUID, True, "stored") for ds in datasets]


def test_what_is_sent_is_signed_as_well(samples, key, tmp_path, monkeypatch):
    shutil.copytree(samples / "png", tmp_path / "png")
    (tmp_path / "archive").mkdir()
    monkeypatch.setattr(sending, "make_destination", lambda *_: _Archive(tmp_path / "archive"))
    assert sending.send(tmp_path / "png", url="http://localhost", sign_key=key).accepted == 2
    assert all(_check(file) for file in (tmp_path / "archive").iterdir())
    assert len(list((tmp_path / "archive").iterdir())) == 2
    with pytest.raises(Refused, match="cannot be read"):
        sending.send(tmp_path / "png", url="http://localhost", sign_key=tmp_path / "none.pem")


def test_formats_without_a_signature_refuse_a_key(samples, key, tmp_path):
    for source, to in (("png", "npy"), ("ct", "nifti")):
        with pytest.raises(Refused, match="no signature for"):
            export(samples / source, tmp_path / "out", to, sign_key=key)
    assert not (tmp_path / "out").exists()


def test_the_key_never_reaches_a_file(samples, key, tmp_path):
    export(samples / "png", tmp_path / "out", sign_key=key)
    secret = b"".join(key.read_bytes().split(b"-----")[2].split())[40:200]
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file() and secret in file.read_bytes()]
    assert signing_key.describe_certificate(read_signing_key(key).certificate).startswith("Synthesis (")
