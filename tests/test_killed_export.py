"""SIGKILL in the middle of an export: the same command finishes, with no half file and no second instance."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from cohorts import mammograms, volumes
from pydicom import dcmread

from ganatomy.data.samples import INDEX_FILE
from ganatomy.errors import Refused
from ganatomy.exporting.export import UNFINISHED_FILE, export

PROGRAM = (
    "import sys; from ganatomy.exporting.export import export; export(sys.argv[1], sys.argv[2], compress='jpeg-ls')"
)


def _files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.ci
@pytest.mark.parametrize(("modality", "after"), [("mammogram", 3), ("chest_ct", 20)])
def test_an_export_that_is_killed_is_finished_by_the_same_command(modality, after, tmp_path):
    samples = tmp_path / "samples"
    mammograms(samples, 200) if modality == "mammogram" else volumes(samples, modality, 20)
    export(samples, tmp_path / "whole", compress="jpeg-ls")
    whole, out = _files(tmp_path / "whole"), tmp_path / "out"
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, samples, out], stdout=subprocess.DEVNULL)
    while len(list(out.rglob("*.dcm"))) < after:
        assert child.poll() is None, "killed too late: it had finished"
        time.sleep(0.001)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL
    assert (out / UNFINISHED_FILE).exists()
    assert not (out / INDEX_FILE).exists()
    for path in out.rglob("*.dcm"):
        dcmread(path)  # what has its name is whole
    (out / f".{INDEX_FILE}.123.part").write_text("half")  # as a write that was killed leaves it
    (next(out.glob("SYN-*")) / ".x.dcm.123.part").write_text("half")
    export(samples, out, compress="jpeg-ls")
    assert _files(out) == whole
    uids = [dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in out.rglob("*.dcm")]
    assert len(uids) == len(set(uids)) == (200 if modality == "mammogram" else 240)


def test_files_of_an_interrupted_command_of_another_seed_do_not_stay(tmp_path):
    samples, out = mammograms(tmp_path / "samples", 4), tmp_path / "out"
    export(samples, out, date="20260303")
    before = _files(out)
    (out / "SYN-other-000009").mkdir()
    (out / "SYN-other-000009" / "RCC.dcm").write_bytes(b"of another seed")
    (out / "notes.txt").write_text("mine")
    (out / INDEX_FILE).unlink()
    wish = {
        "modality": "mammogram",
        "to": "dicom",
        "label": False,
        "enhanced": False,
        "secondary_capture": False,
        "compress": None,
    }
    (out / UNFINISHED_FILE).write_text(json.dumps({"date": "20260303", "wish": wish}))
    export(samples, out, date="20260303")
    assert _files(out) == before | {"notes.txt": b"mine"}


def test_an_interrupted_export_goes_on_with_its_own_options_only(tmp_path):
    samples = mammograms(tmp_path / "samples", 4)
    out = tmp_path / "out"
    export(samples, out, date="20260303")
    (out / INDEX_FILE).unlink()
    (out / UNFINISHED_FILE).write_text(
        '{"date": "20260303", "wish": {"modality": "mammogram", "to": "dicom", "label": false, "enhanced": false,'
        ' "secondary_capture": false, "compress": null}}'
    )
    for other in ({"compress": "rle"}, {"secondary_capture": True}, {"to": "png"}, {"date": "20260304"}):
        with pytest.raises(Refused, match=r"was begun with .*date 20260303; give that again, or a new folder"):
            export(samples, out, **other)
    export(samples, out, date="20260303")
    assert (out / INDEX_FILE).exists()
