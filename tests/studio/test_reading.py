"""The page of a reader study: blinded, shown to this machine only, and nothing of a reader is lost."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from ganatomy.errors import Refused
from ganatomy.studies.reader_study import make_study
from ganatomy.studio.serve import open_studio, open_study
from ganatomy.studio.subject import open_subject


@pytest.fixture(scope="module")
def study(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "study"
    assert make_study(run.path, out) == 8
    return out


@pytest.fixture
def reader(study):
    """A client of the page for readers, without answers of other tests."""
    for file in [*(study / "answers").glob("*.json"), *(study / "progress").glob("*.json")]:
        file.unlink()
    opened = open_study(study)
    yield TestClient(opened.guard, base_url=opened.address, follow_redirects=False)
    opened.listener.close()


def _answer(study, rate, reader="A", **changes):
    key = json.loads((study / "key.json").read_text())
    ratings = {name: rate(synthetic, i) for i, (name, synthetic) in enumerate(key["synthetic"].items())}
    return {"study": key["study"], "reader": reader, "ratings": ratings} | changes


def test_the_server_knows_the_page_and_no_key(study, reader):
    assert "Real or synthetic" in reader.get("").text
    told = reader.get("study").json()
    assert told["files"] == list(json.loads((study / "key.json").read_text())["synthetic"])
    assert set(told) == {"study", "files", "ratings"}
    assert reader.get("images/0001.png").content == (study / "images" / "0001.png").read_bytes()
    for path in (
        "key.json",
        "images/..%2Fkey.json",
        "images/%2e%2e/key.json",
        "answers",
        "api/readers",
        "api/judge",
        "judge",
    ):
        answer = reader.get(path)
        assert answer.status_code in (400, 404, 405), path
        assert "synthetic" not in answer.text
    with pytest.raises(Refused, match="port"):
        open_study(study, 99999)
    with pytest.raises(Refused, match="not a reader study"):
        open_study(study / "images")


def test_an_answer_is_kept_beside_others_of_the_same_name(study, reader):
    for _ in range(2):
        assert reader.post("answers", json=_answer(study, lambda s, i: 2, "../../B b")).status_code == 200
    assert sorted(path.name for path in (study / "answers").iterdir()) == ["Bb-2.json", "Bb.json"]


def test_answers_come_from_the_page_itself(study, reader):
    root, answer = str(reader.base_url).rsplit("/", 2)[0], _answer(study, lambda s, i: 2)
    for origin in ("http://evil.example", root + "1", "null", root.replace("http", "https")):
        assert reader.post("answers", json=answer, headers={"Origin": origin}).status_code == 403
    assert not list((study / "answers").iterdir())
    assert reader.post("answers", json=answer, headers={"Origin": root}).status_code == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"study": "other"}, "answers the study other"),
        ({"ratings": {}}, "rates 0 of 8 images"),
        ({"ratings": []}, "rates 0 of 8 images"),
        ({"ratings": {f"{i:04d}.png": [1] for i in range(1, 9)}}, "rates 0 of 8 images"),
        ({"ratings": 7}, "not an answer"),
        ({"reader": ""}, "not what the page sends"),
    ],
)
def test_an_answer_that_is_not_complete_is_not_kept(study, reader, change, words):
    answer = reader.post("answers", json=_answer(study, lambda s, i: 2) | change)
    assert answer.status_code == 400
    assert words in answer.json()["problem"]
    assert reader.post("answers", content=b"[" * 100_000).status_code == 400
    assert "more than 1048576 bytes" in reader.post("answers", content=b" " * (2**20 + 1)).json()["problem"]
    assert not list((study / "answers").iterdir())


def test_forty_answers_at_once_are_all_kept(study, reader):
    answers = [_answer(study, lambda s, i, k=k: 1 + k % 6, "the same reader") for k in range(40)]
    with ThreadPoolExecutor(8) as readers:
        told = list(readers.map(lambda one: reader.post("answers", json=one), answers))
    assert {one.status_code for one in told} == {200}
    kept = [json.loads(file.read_text()) for file in (study / "answers").iterdir()]
    assert sorted(map(_sort, kept)) == sorted(map(_sort, answers))


def _sort(answer):
    return json.dumps(answer, sort_keys=True)


def test_ratings_are_kept_one_by_one_and_found_again(study, reader):
    assert reader.post("begin", json={"reader": "A"}).json() == {"ratings": {}}
    reader.post("rate", json={"reader": "A", "ratings": {"0001.png": 3, "key.json": 3, "0002.png": 9}})
    reader.post("rate", json={"reader": "A", "ratings": {"0003.png": 6}})
    reader.post("rate", json={"reader": "B", "ratings": {"0001.png": 1}})
    opened = open_study(study)  # the server was stopped meanwhile
    again = TestClient(opened.guard, base_url=opened.address)
    assert again.post("begin", json={"reader": "A"}).json() == {"ratings": {"0001.png": 3, "0003.png": 6}}
    opened.listener.close()


def test_the_organiser_sees_how_far_readers_are_and_the_results_of_those_who_finished(study, reader, tmp_path):
    reader.post("rate", json={"reader": "slow", "ratings": {"0001.png": 3}})
    reader.post("answers", json=_answer(study, lambda synthetic, i: 1 if synthetic else 6, "expert"))
    opened = open_studio(open_subject([study], tmp_path))
    organiser = TestClient(opened.guard, base_url=opened.address)
    told = organiser.get("api/readers").json()
    assert told["progress"] == {"slow": 1}
    assert [(one["reader"], one["auc"], one["can_tell"]) for one in told["results"]] == [("expert", 1.0, True)]
    page = TestClient(opened.guard, base_url=told["address"])
    assert "Real or synthetic" in page.get("").text
    assert page.get("api/readers").status_code == 404  # the address of the readers leads to nothing else
    opened.listener.close()
