"""Archives on loopback, in this process: a C-STORE provider, and a STOW-RS service that misbehaves when told."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from socketserver import StreamRequestHandler

from pydicom import Dataset, dcmread
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt


class Provider:
    """What arrived, over how many associations, and what it answers."""

    def __init__(self):
        self.stored, self.associations, self.requests, self.port = {}, 0, 0, 0
        self.answer = lambda number, ds: 0x0000  # status of the number-th request, or "abort"

    def store(self, event):
        self.requests += 1
        ds = event.dataset
        ds.file_meta = event.file_meta
        status = self.answer(self.requests, ds)
        if status == "abort":
            event.assoc.abort()
            return 0x0110
        if status < 0xA000 or status >= 0xB000:
            self.stored.setdefault(str(ds.SOPInstanceUID), []).append(ds) if status in (0, 0xB000) else None
        return status

    def accepted(self, event):
        self.associations += 1

    @property
    def address(self):
        return f"127.0.0.1:{self.port}/SCP"


@contextmanager
def provider(syntaxes=ALL_TRANSFER_SYNTAXES, called="SCP"):
    """A C-STORE provider on a free port."""
    here = Provider()
    entity = AE(ae_title=called)
    entity.require_called_aet = True
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, list(syntaxes))
    handlers = [(evt.EVT_C_STORE, here.store), (evt.EVT_ACCEPTED, here.accepted)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    here.port = server.server_address[1]
    try:
        yield here
    finally:
        server.shutdown()


class Service:
    """A STOW-RS service: what arrived and with which credentials."""

    def __init__(self):
        self.stored, self.bodies, self.credentials, self.port = {}, 0, [], 0
        self.answer = lambda number, sets: (200, ())  # status and UIDs that are refused

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/dicom-web"


@contextmanager
def service():
    """A STOW-RS service on a free port."""
    here = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            here.bodies += 1
            here.credentials.append(self.headers.get("Authorization"))
            assert self.path == "/dicom-web/studies"
            boundary = b"--" + self.headers["Content-Type"].split("boundary=")[1].strip('"').encode()
            parts = _body(self).split(boundary)[1:-1]
            sets = [dcmread(BytesIO(part.split(b"\r\n\r\n", 1)[1][:-2])) for part in parts]
            status, refused = here.answer(here.bodies, sets)
            answer = Dataset()
            answer.FailedSOPSequence, answer.ReferencedSOPSequence = [], []
            for ds in sets:
                item = Dataset()
                item.ReferencedSOPInstanceUID = ds.SOPInstanceUID
                if status != 200 or ds.SOPInstanceUID in refused:
                    item.FailureReason = 0xA900
                    answer.FailedSOPSequence.append(item)
                else:
                    here.stored[str(ds.SOPInstanceUID)] = ds
                    answer.ReferencedSOPSequence.append(item)
            content = answer.to_json().encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(content)))
            if status in (301, 307):
                self.send_header("Location", "http://127.0.0.1:1/elsewhere/studies")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.port = server.server_address[1]
    with serving(server):
        yield here


@contextmanager
def serving(server):
    """A server of HTTP at work while the block runs."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _body(handler: StreamRequestHandler) -> bytes:
    """A request's body, whole or in chunks."""
    if "Content-Length" in handler.headers:
        return handler.rfile.read(int(handler.headers["Content-Length"]))
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body
