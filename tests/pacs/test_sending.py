"""Sending to archives on loopback: one association, what is refused, lost or done before, and credentials."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from cohorts import mammograms, volumes
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from servers import provider, service

from ganatomy.cli import main
from ganatomy.data.samples import read_samples
from ganatomy.dicom.instances import DicomForm
from ganatomy.errors import Refused
from ganatomy.exporting import send as sending
from ganatomy.exporting.send import JOURNAL_FILE, DeliveryError, send
from ganatomy.modalities import table as modalities


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch, tmp_path):
    monkeypatch.setattr(sending, "RETRY_DELAYS", (0.0,) * 4)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for name in ("GANATOMY_DICOMWEB_TOKEN", "GANATOMY_DICOMWEB_USER", "GANATOMY_DICOMWEB_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def views(tmp_path):
    """Eight mammograms: two studies."""
    return mammograms(tmp_path / "views", 8)


PLAIN = DicomForm()


def _expected(folder, form=PLAIN):
    """UID -> stored values of all instances of a folder of samples."""
    rows, images = read_samples(folder)
    modality = rows[0]["modality"]
    kind = modalities.get_modality(modality)()
    make = kind.dicom.make_instances(form, "20260102")
    return {str(ds.SOPInstanceUID): ds for image, record in images for _, ds in make(kind.denormalise(image), record)}


# ----------------------------------------------------------------------------------------------------------------------
# C-STORE.


def test_everything_goes_over_one_association_and_arrives_as_it_was_made(tmp_path):
    folder = volumes(tmp_path / "volumes", "chest_ct", 3)
    with provider() as archive:
        sent = send(folder, pacs=archive.address)
    expected = _expected(folder)
    assert (sent.accepted, sent.accepted_before, sent.refused) == (36, 0, ())
    assert archive.associations == 1
    assert set(archive.stored) == set(expected)
    for uid, (ds,) in archive.stored.items():
        assert ds == expected[uid]
        assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


@pytest.mark.parametrize("options", [{"compress": "rle"}, {"compress": "jpeg-ls"}, {"secondary_capture": True}])
def test_other_forms_are_sent_too(views, options):
    with provider() as archive:
        assert send(views, pacs=archive.address, **options).accepted == 8
    expected = _expected(views, DicomForm(**options))
    assert all(ds.PixelData == expected[uid].PixelData for uid, (ds,) in archive.stored.items())


def test_what_was_accepted_is_not_sent_again(views):
    with provider() as archive, provider() as another:
        assert send(views, pacs=archive.address).accepted == 8
        again = send(views, pacs=archive.address)
        assert (again.accepted, again.accepted_before, archive.requests) == (0, 8, 8)
        assert send(views, pacs=another.address).accepted == 8  # another archive has none of them


def test_a_torn_last_line_of_the_journal_is_left_out(views):
    with provider() as archive:
        send(views, pacs=archive.address)
        journal = views / JOURNAL_FILE
        journal.write_text(journal.read_text()[:-20])
        again = send(views, pacs=archive.address)
        assert (again.accepted, again.accepted_before) == (1, 7)
    assert len([json.loads(line) for line in journal.read_text().splitlines()]) == 8


def test_a_lost_connection_is_opened_again_and_nothing_is_stored_twice(views):
    with provider() as archive:
        archive.answer = lambda number, ds: "abort" if number in (3, 4) else 0
        sent = send(views, pacs=archive.address)
    assert (sent.accepted, archive.associations) == (8, 3)
    assert all(len(copies) == 1 for copies in archive.stored.values())
    assert len(archive.stored) == 8


def test_an_archive_short_of_room_is_asked_again_and_warnings_count_as_stored(views):
    with provider() as archive:
        archive.answer = lambda number, ds: {2: 0xA700, 5: 0xB000}.get(number, 0)
        assert send(views, pacs=archive.address).accepted == 8
        assert archive.requests == 9


def test_refusals_are_listed_and_the_rest_is_stored(views, capsys):
    with provider() as archive:
        archive.answer = lambda number, ds: 0xA900 if ds.ViewPosition == "MLO" else 0
        code = main(["export", str(views), "--to", "pacs", "--pacs", archive.address])
        told = capsys.readouterr()
        assert code == 1
        assert "4 instances accepted" in told.out
        assert "4 instances were refused" in told.err
        assert told.err.count("0xA900 data set does not match SOP class") == 4
        rows = [json.loads(line) for line in (views / JOURNAL_FILE).read_text().splitlines()]
        assert [row["accepted"] for row in rows] == [True, False] * 4
        archive.answer = lambda number, ds: 0
        assert main(["export", str(views), "--to", "pacs", "--pacs", archive.address]) == 0
        assert "4 instances accepted" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom forgets an unused socket
def test_nobody_there_is_said_and_the_same_call_goes_on(views):
    with provider() as archive:
        address = archive.address
    with pytest.raises(DeliveryError, match=r"nobody answers at 127.0.0.1.*after 5 tries.*Give the same command again"):
        send(views, pacs=address)


def test_an_archive_that_goes_away_leaves_what_it_took_in_the_journal(views):
    with provider() as archive:
        archive.answer = lambda number, ds: "abort" if number > 5 else 0
        with pytest.raises(DeliveryError):
            send(views, pacs=archive.address)
        archive.answer = lambda number, ds: 0
        sent = send(views, pacs=archive.address)
    assert (sent.accepted, sent.accepted_before) == (3, 5)


def test_a_wrong_title_is_refused_once_and_named(views):
    with provider() as archive:
        wrong = archive.address.replace("/SCP", "/OTHER")
        with pytest.raises(Refused, match=r"rejects the association.*Called AE title not recogni[sz]ed.*--calling-aet"):
            send(views, pacs=wrong)


def test_a_syntax_that_the_archive_does_not_take_is_named(views):
    with provider([ExplicitVRLittleEndian]) as archive:
        with pytest.raises(Refused, match=r"does not take Digital Mammography.*RLE Lossless.*without --compress"):
            send(views, pacs=archive.address, compress="rle")
        assert send(views, pacs=archive.address).accepted == 8


def test_an_archive_that_knows_the_default_syntax_only_gets_that(views):
    with provider([ImplicitVRLittleEndian]) as archive:
        assert send(views, pacs=archive.address).accepted == 8
    ((first,), *_) = archive.stored.values()
    assert first.SyntheticData == "YES"
    assert first.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


# ----------------------------------------------------------------------------------------------------------------------
# STOW-RS.


def test_stow_sends_many_in_one_request(views):
    with service() as archive:
        sent = send(views, url=archive.url)
        assert (sent.accepted, archive.bodies) == (8, 1)
        assert send(views, url=archive.url + "/").accepted_before == 8
    expected = _expected(views)
    assert all(archive.stored[uid] == ds for uid, ds in expected.items())


def test_stow_stops_a_batch_at_the_room_for_it(views, monkeypatch):
    from ganatomy.dicom.dicomweb import StowArchive

    monkeypatch.setattr(StowArchive, "batch_bytes", 25_000)  # bytes; a view has 10,240
    with service() as archive:
        assert send(views, url=archive.url).accepted == 8
        assert archive.bodies == 4


def test_stow_lists_what_was_refused(views):
    bad = sorted(_expected(views))[:3]
    with service() as archive:
        archive.answer = lambda number, sets: (200, bad)
        sent = send(views, url=archive.url)
    assert sorted(one.uid for one in sent.refused) == bad
    assert {one.status for one in sent.refused} == {"failure reason 0xA900 data set does not match SOP class"}
    assert sent.accepted == 5


def test_stow_finds_the_one_for_which_a_whole_request_fails(views):
    bad = sorted(_expected(views))[3]
    with service() as archive:
        archive.answer = lambda number, sets: (409 if bad in [ds.SOPInstanceUID for ds in sets] else 200, ())
        sent = send(views, url=archive.url)
    assert [(one.uid, one.status[:8]) for one in sent.refused] == [(bad, "HTTP 409")]
    assert sent.accepted == 7


def test_stow_tries_again_when_the_service_is_busy(views):
    with service() as archive:
        archive.answer = lambda number, sets: (503 if number < 3 else 200, ())
        assert send(views, url=archive.url).accepted == 8
        assert archive.bodies == 3
        archive.answer = lambda number, sets: (503, ())
        (views / JOURNAL_FILE).unlink()
        with pytest.raises(DeliveryError, match="HTTP 503"):
            send(views, url=archive.url)


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "wants credentials"), (403, "wants credentials"), (404, "takes no STOW-RS"), (307, "redirects elsewhere")],
)
def test_stow_says_what_will_never_work(views, status, words):
    with service() as archive:
        archive.answer = lambda number, sets: (status, ())
        with pytest.raises(Refused, match=words):
            send(views, url=archive.url)
        assert archive.bodies == 1


def test_credentials_come_from_the_environment_or_a_netrc_and_are_never_told(views, monkeypatch, tmp_path, capfd):
    import base64

    basic = "Basic " + base64.b64encode(b"reader:s3cret-word").decode()
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login reader password s3cret-word\n")
    with service() as archive:
        for setting, expected in (
            ({"NETRC": str(tmp_path / "netrc")}, basic),
            ({"GANATOMY_DICOMWEB_USER": "reader", "GANATOMY_DICOMWEB_PASSWORD": "s3cret-word"}, basic),
            ({"GANATOMY_DICOMWEB_TOKEN": "s3cret-word"}, "Bearer s3cret-word"),  # before all others
        ):
            for name, value in setting.items():
                monkeypatch.setenv(name, value)
            (views / JOURNAL_FILE).unlink(missing_ok=True)
            assert main(["export", str(views), "--to", "dicomweb", "--url", archive.url]) == 0
            assert archive.credentials[-1] == expected
        archive.answer = lambda number, sets: (401, ())
        (views / JOURNAL_FILE).rename(views / "first.jsonl")
        assert main(["export", str(views), "--to", "dicomweb", "--url", archive.url]) == 2
    told = "".join(capfd.readouterr()) + "".join(path.read_text(errors="replace") for path in views.glob("*.jsonl"))
    assert "s3cret" not in told
    assert basic not in told


def test_a_url_with_a_password_is_refused_without_repeating_it(views, capsys):
    assert main(["export", str(views), "--to", "dicomweb", "--url", "http://me:s3cret@127.0.0.1:1/dicom-web"]) == 2
    told = capsys.readouterr().err
    assert "holds credentials" in told
    assert "s3cret" not in told


# ----------------------------------------------------------------------------------------------------------------------
# Wishes, and the process killed.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--to pacs", "--to pacs and --pacs HOST:PORT/AET belong together"),
        ("--to dicomweb", "--to dicomweb and --url URL belong together"),
        ("--to dicom", "give --out, a new folder"),
        ("--to dicom --out {new} --pacs 127.0.0.1:1/A", "belong together"),
        ("--to pacs --pacs 127.0.0.1:1/A --out {new}", "so omit --out"),
        ("--to pacs --pacs 127.0.0.1/A", "give HOST:PORT/AET"),
        ("--to pacs --pacs 127.0.0.1:99999/A", "give HOST:PORT/AET"),
        ("--to pacs --pacs 127.0.0.1:1/A --calling-aet ABCDEFGHIJKLMNOPQ", "1 to 16 characters"),
        ("--to dicomweb --url ftp://127.0.0.1", "give the address of a DICOMweb service"),
        ("--to png --out {new} --compress rle", "apply to DICOM, not to png"),
        ("--to dicom --out {new} --compress zip", "choose one of rle, jpeg-ls, jpeg2000"),
        ("--to npy --out {new} --label", "cannot be combined with --to npy"),
    ],
)
def test_wishes_that_contradict_each_other_are_refused(views, tmp_path, options, words, capsys):
    assert main(["export", str(views), *options.format(new=tmp_path / "new").split()]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_without_the_packages_it_says_what_to_install(views, monkeypatch):
    monkeypatch.setitem(sys.modules, "ganatomy.dicom.association", None)
    monkeypatch.delitem(sys.modules, "pynetdicom", raising=False)
    with pytest.raises(Refused, match=r"pip install 'ganatomy\[pacs\]'"):
        send(views, pacs="127.0.0.1:1/A")


@pytest.mark.ci
def test_a_send_that_is_killed_goes_on_and_leaves_no_duplicate(tmp_path):
    """SIGKILL after the fifth instance has arrived; the second process finishes."""
    folder = volumes(tmp_path / "volumes", "chest_ct", 2)
    program = textwrap.dedent("""
        import sys
        from ganatomy.exporting.send import send
        print(send(sys.argv[1], pacs=sys.argv[2]))
    """)
    with provider() as archive:
        child = None

        def answer(number, ds):
            if number == 5 and child is not None and child.poll() is None:
                os.kill(child.pid, signal.SIGKILL)
            return 0

        archive.answer = answer
        command = [sys.executable, "-c", program, str(folder), archive.address]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        assert child.wait(60) == -signal.SIGKILL
        assert 4 <= len((folder / JOURNAL_FILE).read_text().splitlines()) <= 5
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "refused=()" in told
    assert len(archive.stored) == 24
    assert set(archive.stored) == set(_expected(folder))
    assert all(len(copies) == 1 or copies[0] == copies[1] for copies in archive.stored.values())
    assert archive.requests <= 25  # at most the one in hand was sent twice


def test_stored_values_come_back_as_hounsfield_units(tmp_path):
    folder = volumes(tmp_path / "volumes", "chest_ct")
    _, images = read_samples(folder)
    shown = modalities.get_modality("chest_ct")().denormalise(next(iter(images))[0])
    with provider() as archive:
        send(folder, pacs=archive.address)
    slices = sorted((ds for (ds,) in archive.stored.values()), key=lambda ds: ds.InstanceNumber)
    for ds, plane in zip(slices, modalities.get_modality("chest_ct")().dicom.quantise_sample(shown), strict=True):
        assert (ds.pixel_array == plane).all()
        assert ds.RescaleIntercept == -1024
