"""A stand-in for a public bucket on loopback: lists and gives objects as S3 does, with faults on demand."""

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlparse
from xml.sax.saxutils import escape

from servers import serving

PAGE = 2  # objects of a listing


class Bucket(ThreadingHTTPServer):
    """`objects` by bucket and key; `asked` notes what was got."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.hidden: set[str] = set()
        self.cut: set[str] = set()
        self.changed: set[str] = set()
        self.busy: dict[str, int] = {}

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def log_message(self, *words):
        """Nothing."""

    def do_GET(self):
        url = urlparse(self.path)
        path = unquote(url.path).strip("/")
        query = parse_qs(url.query)
        if "list-type" in query:
            return self._list(path, query)
        if self.server.busy.get(path, 0):
            self.server.busy[path] -= 1
            return self._answer(503, b"<Error><Code>SlowDown</Code></Error>")
        self.server.asked.append(path)
        if path not in self.server.objects:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        content = self.server.objects[path]
        tag = hashlib.md5(content).hexdigest()
        if path in self.server.changed:
            content = bytes([content[0] ^ 1]) + content[1:]
        self._answer(200, content, tag, cut=path in self.server.cut)

    def _list(self, bucket, query):
        prefix = query.get("prefix", [""])[0]
        keys = sorted(k.split("/", 1)[1] for k in self.server.objects if k.startswith(f"{bucket}/{prefix}"))
        keys = [k for k in keys if f"{bucket}/{k}" not in self.server.hidden]
        start = int(query.get("continuation-token", ["0"])[0])
        shown, more = keys[start : start + PAGE], start + PAGE < len(keys)
        rows = "".join(
            f"<Contents><Key>{escape(k)}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{hashlib.md5(self.server.objects[f'{bucket}/{k}']).hexdigest()}&quot;</ETag>"
            f"<Size>{len(self.server.objects[f'{bucket}/{k}'])}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for k in shown
        )
        token = f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>" if more else ""
        self._answer(
            200,
            (
                f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(shown)}</KeyCount><MaxKeys>1000</MaxKeys>"
                f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>"
            ).encode(),
        )

    def _answer(self, code, content, tag=None, cut=False):
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        if tag:
            self.send_header("ETag", f'"{tag}"')
        if cut:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True


def bucket():
    """Serves while the block runs."""
    return serving(Bucket())
