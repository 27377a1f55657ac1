"""What an archive says of instances (PS3.18 10.5.3): only what it names is stored, whatever else it answers."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cohorts import mammograms
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import serving

from ganatomy.dicom.store_response import StoreResponse, describe_reason, read_store_response
from ganatomy.errors import Refused
from ganatomy.exporting import send as sending
from ganatomy.exporting.send import JOURNAL_FILE, send

UIDS = ("1.2.1", "1.2.2", "1.2.3")
JSON, XML = "application/dicom+json", "application/dicom+xml"


def item(uid, **values):
    made = {"00081155": {"vr": "UI", "Value": [uid]}}
    return made | {tag[1:]: {"vr": "US", "Value": [value]} for tag, value in values.items()}


def answer(stored=(), failed=(), other=()):
    """A Store Instances Response as JSON."""
    sequences = {
        "00081199": [item(uid) for uid in stored],
        "00081198": [item(uid, _00081197=reason) for uid, reason in failed],
        "0008119A": [{"00081197": {"vr": "US", "Value": [reason]}} for reason in other],
    }
    return {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}


def xml_answer(stored=(), failed=(), namespace=""):
    def attribute(tag, text):
        return f'<DicomAttribute tag="{tag}" vr="UI"><Value number="1">{text}</Value></DicomAttribute>'

    def sequence(tag, items):
        told = "".join(f'<Item number="{n}">{one}</Item>' for n, one in enumerate(items, 1))
        return f'<DicomAttribute tag="{tag}" vr="SQ">{told}</DicomAttribute>'

    parts = sequence("00081199", [attribute("00081155", uid) for uid in stored])
    parts += sequence("00081198", [attribute("00081155", uid) + attribute("00081197", n) for uid, n in failed])
    return f'<?xml version="1.0"?><NativeDicomModel{namespace}>{parts}</NativeDicomModel>'.encode()


# ----------------------------------------------------------------------------------------------------------------------
# The answer alone.


@pytest.mark.parametrize(
    "kind", [JSON, f"{JSON}; charset=utf-8", "application/json;charset=UTF-8", "", "Application/DICOM+JSON"]
)
@pytest.mark.parametrize("as_list", [False, True])
def test_json_is_read_with_any_parameter_as_object_or_list(kind, as_list):
    plain = answer(UIDS[:2], [(UIDS[2], 272)], [0xA700])
    read = read_store_response(json.dumps([plain] if as_list else plain).encode(), kind)
    assert read == StoreResponse({UIDS[0]: 0, UIDS[1]: 0}, {UIDS[2]: 0x0110}, (0xA700,))


def test_a_list_of_several_data_sets_is_one_answer():
    sets = [answer(UIDS[:1]), answer(UIDS[1:2]), answer((), [(UIDS[2], 0xA900)])]
    read = read_store_response(json.dumps(sets).encode(), JSON)
    assert (set(read.stored), dict(read.failed)) == (set(UIDS[:2]), {UIDS[2]: 0xA900})


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"'])
@pytest.mark.parametrize("kind", [XML, "text/xml; charset=utf-8", ""])
def test_xml_is_read_in_a_namespace_or_in_none(kind, namespace):
    read = read_store_response(xml_answer(UIDS[:2], [(UIDS[2], 272)], namespace), kind)
    assert read == StoreResponse({UIDS[0]: 0, UIDS[1]: 0}, {UIDS[2]: 272})


def test_warnings_are_kept_and_who_is_in_both_lists_is_not_stored():
    told = answer(UIDS[:1], [(UIDS[0], 0xC000)])
    told["00081199"]["Value"].append(item(UIDS[1] + "\0", _00081196=0xB000))
    read = read_store_response(json.dumps(told).encode(), JSON)
    assert (dict(read.stored), dict(read.failed)) == ({UIDS[1]: 0xB000}, {UIDS[0]: 0xC000})
    assert describe_reason(0xB000) == "0xB000 elements coerced"
    assert describe_reason(0xA7FF) == "0xA7FF out of resources"


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"", JSON, "the answer is empty"),
        (b" \r\n", "", "the answer is empty"),
        (b"<html>Please log in</html>", "text/html", "text/html, not DICOM JSON or XML"),
        (b"<html>Please log in</html>", "", "its root is html"),
        (b"stored", "", "of no known type"),
        (json.dumps(answer(UIDS)).encode()[:-9], JSON, "cannot be read"),
        (xml_answer(UIDS)[:-30], XML, "cannot be read"),
        (b"[1, 2]", JSON, "cannot be read (not a data set)"),
        (b"[" * 100_000, JSON, "cannot be read"),
        (b'{"00081199": {"vr": "SQ"}}', JSON, "names no instance"),
        (b'{"00081199": {"vr": "SQ", "Value": [null, {"00081155": {"vr": "UI", "Value": [null]}}]}}', JSON, "names no"),
        (b'<?xml version="1.0" encoding="nonsense"?><NativeDicomModel/>', XML, "cannot be read"),
        (b"\xff\xfe{}", JSON, "cannot be read"),
    ],
)
def test_what_is_no_answer_names_nothing_and_says_why(content, kind, words):
    read = read_store_response(content, kind)
    assert not read.stored
    assert not read.failed
    assert words in read.told


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["00081199", "00081198", "0008119a", "00081155", "00081197", "vr", "Value"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=24,
)


@settings(max_examples=300, deadline=None)
@given(VALUES | st.binary(max_size=60), st.sampled_from([JSON, XML, "", "text/html", ";;"]), st.integers(0, 400))
def test_fuzz_of_answers(value, kind, cut):
    """Whatever comes back, nothing but what stands in the Referenced SOP Sequence is stored, and nothing is raised."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()[: cut or None]
    read = read_store_response(content, kind)
    assert all(isinstance(uid, str) and uid for uid in [*read.stored, *read.failed])
    assert not set(read.stored) & set(read.failed)
    if b"00081199" not in content:
        assert not read.stored
    assert read.told or read.stored or read.failed


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_fuzz_of_answers_that_were_cut_or_changed(data):
    """A whole answer of which a piece is missing or a byte is wrong never stores an instance that it did not name."""
    whole = data.draw(st.sampled_from([json.dumps(answer(UIDS[:2], [(UIDS[2], 272)])).encode(), xml_answer(UIDS[:2])]))
    kind = JSON if whole.startswith(b"{") else XML
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = data.draw(st.sampled_from([whole[:place], whole[place:], whole[:place] + b"\0" + whole[place + 1 :]]))
    read = read_store_response(changed, kind)
    assert UIDS[2] not in read.stored


# ----------------------------------------------------------------------------------------------------------------------
# The whole way.


@pytest.fixture
def views(tmp_path, monkeypatch):
    monkeypatch.setattr(sending, "RETRY_DELAYS", (0.0, 0.0))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    return mammograms(tmp_path / "views", 3)


def uids_in(body):
    """SOP Instance UIDs of the data sets in a request: (0008,0018) in explicit little endian."""
    found = []
    for part in body.split(b"\x08\x00\x18\x00UI")[1:]:
        size = int.from_bytes(part[:2], "little")
        found.append(part[2 : 2 + size].rstrip(b"\0").decode())
    return found


def deliver(views, reply):
    """Send to a service that answers (status, content type or None, body) to the UIDs of each request."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            uids = uids_in(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append(uids)
            status, kind, body = reply(len(requests), uids)
            self.send_response(status)
            if kind is not None:
                self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        return send(views, url=f"http://127.0.0.1:{server.server_address[1]}/dicom-web"), requests


def test_an_instance_that_the_answer_does_not_name_is_sent_again(views):
    sent, requests = deliver(
        views, lambda n, uids: (200, JSON, json.dumps(answer(uids[:2] if n == 1 else uids)).encode())
    )
    assert [len(uids) for uids in requests] == [3, 1]
    assert (sent.accepted, sent.refused) == (3, ())


@pytest.mark.parametrize(
    ("kind", "body"), [("text/html", b"<html>Please log in</html>"), (None, b""), (JSON, b"{"), (XML, b"<NativeDicomM")]
)
def test_an_answer_that_says_nothing_stores_nothing_and_all_is_sent_again(views, kind, body):
    sent, requests = deliver(views, lambda n, uids: (200, kind, body))
    assert sent.accepted == 0
    assert len(requests) == 3
    assert {one.status[:32] for one in sent.refused} == {"cannot tell whether it is stored"}
    rows = [json.loads(line) for line in (views / JOURNAL_FILE).read_text().splitlines()]
    assert [row["accepted"] for row in rows] == [False] * 3
    sent, requests = deliver(views, lambda n, uids: (200, JSON, json.dumps(answer(uids)).encode()))
    assert (sent.accepted, sent.accepted_before, len(requests)) == (3, 0, 1)


@pytest.mark.parametrize("kind", [f"{JSON}; charset=utf-8", JSON])
def test_a_failure_among_stored_ones_is_told_with_its_reason(views, kind):
    def reply(n, uids):
        return 202, kind, json.dumps(answer(uids[:2], [(uid, 272) for uid in uids[2:]])).encode()

    sent, _ = deliver(views, reply)
    assert sent.accepted == 2
    assert [one.status for one in sent.refused] == ["failure reason 0x0110 processing failure"]


def test_a_failed_request_tells_the_reason_of_its_instance(views):
    sent, _ = deliver(
        views, lambda n, uids: (409, JSON, json.dumps(answer((), [(uid, 0xC122) for uid in uids])).encode())
    )
    assert sent.accepted == 0
    assert {one.status for one in sent.refused} == {
        "HTTP 409 Conflict, failure reason 0xC122 transfer syntax not supported"
    }


def test_failures_without_a_name_are_told(views):
    sent, _ = deliver(
        views, lambda n, uids: (202, JSON, json.dumps(answer(uids[:2] if n == 1 else (), (), [0xA900])).encode())
    )
    assert sent.accepted == 2
    assert "other failures 0xA900 data set does not match SOP class" in sent.refused[0].status


def test_a_journal_with_broken_lines_is_read_as_far_as_it_goes(views):
    good = lambda n, uids: (200, JSON, json.dumps(answer(uids)).encode())  # noqa: E731
    deliver(views, good)
    journal = views / JOURNAL_FILE
    lines = journal.read_text().splitlines()
    journal.write_bytes("\n".join(["nonsense", "[1]", '{"uid": 1}', *lines[:1], ""]).encode() + b"\xff\xfe\n")
    sent, _ = deliver(views, good)
    assert sent.accepted + sent.accepted_before == 3


@pytest.mark.parametrize("url", ["http://[::1/dicom-web", "http://host:99999/x", "http://host:no/x"])
def test_an_address_that_is_none_is_one_sentence(views, url):
    with pytest.raises(Refused, match="give the address of a DICOMweb service"):
        send(views, url=url)
