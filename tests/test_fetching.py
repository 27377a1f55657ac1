"""Public collections: planned from the real index offline, fetched from a stand-in bucket, counted, resumed."""

import json
import shutil
import socket
import sys

import pytest
from bucket import bucket

from ganatomy.cli import main
from ganatomy.errors import Refused
from ganatomy.fetching import download
from ganatomy.fetching.fetch import IncompleteFetchError, fetch_collection
from ganatomy.fetching.index import select_series


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*words, **more):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def two():
    """Two women of the mammograms, two images each."""
    return select_series("cmmd", patients=2)


@pytest.fixture
def server(two):
    with bucket() as serving:
        for number, series in enumerate(two.series):
            for file in range(series.files):
                key = f"{series.bucket}/{series.folder}/{file}.dcm"
                serving.objects[key] = bytes([number, file]) * (60_000 + file)
        yield serving


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    from datetime import timedelta

    monkeypatch.setattr(download, "RETRY_TIMEOUT", timedelta(seconds=3))


def _files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.dcm")}


def test_a_plan_needs_no_network_and_tells_size_licence_and_citation(no_network, capsys):
    assert main(["fetch", "--collection", "cmmd", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "cmmd: 1775 patients, 1775 series, 5202 images, 22.86 GB" in told
    assert "licence CC BY 4.0 (1775 series): https://creativecommons.org/licenses/by/4.0/" in told
    assert "cite: Cui, C., Li, L., Cai, H." in told
    assert "10.7937/TCIA.EQDE-4B16" in told


def test_what_may_not_be_used_by_all_is_left_out_and_named():
    found = select_series("nsclc_radiomics", modality="SEG")
    assert set(found.licences) == {"CC BY 4.0"}
    assert "left out" in select_series("nsclc_radiomics").describe()
    with pytest.raises(
        Refused, match=r"under CC BY-NC 3.0; if its terms permit your use, give --licence 'CC BY-NC 3.0'"
    ):
        select_series("nsclc_radiomics", modality="CT")
    assert set(select_series("nsclc_radiomics", "CT", 1, licences=("CC BY-NC 3.0",)).licences) == {"CC BY-NC 3.0"}


def test_what_is_not_in_the_index_is_refused(monkeypatch):
    with pytest.raises(Refused, match=r"no collection 'cmmdd'; there are \d+, such as cmmd"):
        select_series("cmmdd")
    with pytest.raises(Refused, match="cmmd has no series with Modality = CT"):
        select_series("cmmd", "CT")
    with pytest.raises(Refused, match="--match Series: the index has the columns collection_id"):
        select_series("cmmd", match={"Series": "x"})
    full = select_series("cbis_ddsm", match={"SeriesDescription": "full mammogram images"})
    assert len(full.series) == 2857
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(Refused, match=r"pip install 'ganatomy\[idc\]'"):
        select_series("cmmd")


def test_what_was_fetched_is_counted_and_its_licence_and_provenance_lie_beside(two, server, tmp_path):
    assert fetch_collection(two, tmp_path, endpoint=server.endpoint) == 4
    files = _files(tmp_path)
    assert sorted(files.values()) == sorted(server.objects.values())
    assert all(name.startswith("cmmd/D1-000") and "/MG_1.3.6." in name for name in files)
    said = json.loads((tmp_path / "cmmd" / "provenance.json").read_text())
    assert (said["complete"], said["files"], said["bytes"]) == (True, 4, sum(map(len, files.values())))
    assert {row["doi"] for row in said["series"]} == {"10.7937/tcia.eqde-4b16"}
    assert {row["licence"] for row in said["series"]} == {"CC BY 4.0"}
    licence = (tmp_path / "cmmd" / "LICENCE.txt").read_text()
    assert "https://creativecommons.org/licenses/by/4.0/" in licence
    assert "Cui, C., Li, L." in licence
    server.asked.clear()
    assert fetch_collection(two, tmp_path, endpoint=server.endpoint) == 4
    assert not server.asked


def test_the_command_fetches(server, tmp_path, capsys):
    words = ["fetch", "--collection", "cmmd", "--patients", "2", "--out", str(tmp_path), "--endpoint", server.endpoint]
    assert main(words) == 0
    assert "4 files, all that the index lists" in capsys.readouterr().out


@pytest.mark.parametrize("fault", ["hidden", "cut", "changed"])
def test_a_shortfall_is_loud_and_the_same_command_mends_it(two, server, tmp_path, fault, capsys):
    key = next(iter(server.objects))
    getattr(server, fault).add(key)
    words = ["fetch", "--collection", "cmmd", "--patients", "2", "--out", str(tmp_path), "--endpoint", server.endpoint]
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "1 of 2 series are incomplete" in told
    assert not json.loads((tmp_path / "cmmd" / "provenance.json").read_text())["complete"]
    before = _files(tmp_path)
    assert len(before) < 4
    assert set(before.values()) <= set(server.objects.values())  # nothing half or changed stays
    getattr(server, fault).clear()
    assert fetch_collection(two, tmp_path, endpoint=server.endpoint) == 4
    assert not list(tmp_path.rglob("*.part"))


def test_a_server_that_is_busy_is_asked_again(two, server, tmp_path):
    server.busy[next(iter(server.objects))] = 2
    assert fetch_collection(two, tmp_path, endpoint=server.endpoint) == 4


def test_a_server_that_is_not_there_is_a_shortfall(two, tmp_path):
    with pytest.raises(IncompleteFetchError, match="2 of 2 series are incomplete"):
        fetch_collection(two, tmp_path, endpoint="http://127.0.0.1:9")


def test_names_stay_within_their_folder(two, tmp_path, server):
    assert download._safe_name("../../etc/passwd") == "_.._etc_passwd"
    assert download._safe_name("..") == "_"
    assert download._safe_name("D1-0001") == "D1-0001"


def test_a_disk_without_room_is_told_before(two, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 1000))
    with pytest.raises(Refused, match=r"cmmd needs 0.0 GB and .* has 0.0 GB free"):
        fetch_collection(two, tmp_path)
