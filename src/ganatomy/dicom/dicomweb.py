"""STOW-RS to an archive (PS3.18 10.5).

Credentials come from the environment or a netrc file and are never part of a message: GANATOMY_DICOMWEB_TOKEN (a bearer
token), or GANATOMY_DICOMWEB_USER with GANATOMY_DICOMWEB_PASSWORD, or the netrc entry of the host. This module builds
the request itself, since the archive's answer for each instance determines what is sent again (`dicom.store_response`).
"""

import os
from collections.abc import Sequence
from io import BytesIO
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from uuid import uuid4

import requests
from pydicom import Dataset, dcmwrite

from ganatomy.dicom.destination import Outcome, UnreachableError
from ganatomy.dicom.store_response import StoreResponse, describe_reason, read_store_response
from ganatomy.errors import Refused
from ganatomy.machine import progress

TIMEOUTS = (15, 120)  # seconds to connect, seconds to answer
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
TOKEN, USER, PASSWORD = "GANATOMY_DICOMWEB_TOKEN", "GANATOMY_DICOMWEB_USER", "GANATOMY_DICOMWEB_PASSWORD"
WRONG_URL = "--url {url}: give the address of a DICOMweb service, such as https://host/dicom-web."
ACCEPTED_ANSWERS = "application/dicom+json, application/dicom+xml;q=0.5"
MAX_ANSWER_BYTES = 2**26  # enough for a hundred thousand instances; longer answers are refused
RETRY_STATUSES = (408, 425, 429, 502, 503, 504)
SPLIT_STATUSES = (400, 409, 413, 415, 422, 500)  # statuses of a whole request that a single instance may cause


class StowArchive:
    """An archive that accepts STOW-RS.

    Args:
        url: URL of the service, without ``/studies``.

    Raises:
        Refused: the URL is not an http address, or contains credentials.
    """

    batch_bytes = 2**25

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            raise Refused(WRONG_URL.format(url=url)) from error
        if parts.username is not None or parts.password is not None:
            raise Refused(
                f"--url holds credentials, which others here can read; set {TOKEN}, or {USER} and {PASSWORD},"
                " or use a netrc file."
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused(WRONG_URL.format(url=url))
        self.name = url.rstrip("/")
        self._session = requests.Session()
        self._session.max_redirects = 0  # a redirection would become a GET request to an unknown server
        if token := os.environ.get(TOKEN):
            self._session.auth = _Bearer(token)
        elif user := os.environ.get(USER):
            self._session.auth = (user, os.environ.get(PASSWORD, ""))
        if self._session.auth and parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
            progress.say(f"{self.name} is not encrypted: credentials can be read on the way.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def send(self, datasets: Sequence[Dataset]) -> list[Outcome]:
        try:
            status, told, answer = self._post(datasets)
        except requests.TooManyRedirects as error:
            raise Refused(f"{self.name} redirects elsewhere; give that as --url.") from error
        except requests.exceptions.SSLError as error:
            raise Refused(
                f"{self.name} has a certificate that is not trusted here; name its authority in REQUESTS_CA_BUNDLE."
            ) from error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise UnreachableError(f"nobody answers at {self.name}, or the connection was lost") from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise Refused(WRONG_URL.format(url=self.name)) from error
        except requests.RequestException as error:
            raise UnreachableError(f"{self.name} gives no answer that can be read ({type(error).__name__})") from error
        if status >= 400:
            return self._handle_failure(datasets, status, told, answer)
        return _read_outcomes(datasets, answer)

    def _post(self, datasets: Sequence[Dataset]) -> tuple[int, str, StoreResponse]:
        """Send one multipart request (PS3.18 8.7.1); returns its status, the status in words, and the answer."""
        boundary = uuid4().hex
        with BytesIO() as body:
            for dataset in datasets:
                body.write(f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode())
                dcmwrite(body, dataset, enforce_file_format=True)
            body.write(f"\r\n--{boundary}--".encode())
            headers = {
                "Content-Type": f'multipart/related; type="application/dicom"; boundary="{boundary}"',
                "Accept": ACCEPTED_ANSWERS,
            }
            url = f"{self.name}/studies"
            with self._session.post(url, body.getvalue(), headers=headers, timeout=TIMEOUTS, stream=True) as response:
                told = f"HTTP {response.status_code} {response.reason or ''}".strip()
                content = b""
                for chunk in response.iter_content(2**16):
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        return response.status_code, told, StoreResponse(told="the answer is endless")
                kind = response.headers.get("Content-Type", "")
        return response.status_code, told, read_store_response(content, kind)

    def _handle_failure(
        self, datasets: Sequence[Dataset], status: int, told: str, answer: StoreResponse
    ) -> list[Outcome]:
        """Derive the outcomes of the instances of a refused request."""
        if status in (401, 403):
            raise Refused(
                f"{self.name} wants credentials ({told}); set {TOKEN}, or {USER} and {PASSWORD}, or a netrc entry."
            )
        if status in RETRY_STATUSES:
            raise UnreachableError(f"{self.name} answers {told}")
        if status not in SPLIT_STATUSES:
            raise Refused(f"{self.name} takes no STOW-RS ({told}); give the address of the service, without /studies.")
        if len(datasets) > 1:
            return [outcome for ds in datasets for outcome in self.send([ds])]
        if str(datasets[0].SOPInstanceUID) in {*answer.stored, *answer.failed}:
            return _read_outcomes(datasets, answer, told)
        return [Outcome(str(datasets[0].SOPInstanceUID), False, told)]


class _Bearer(requests.auth.AuthBase):
    """Authentication by a token; it is passed as `auth` so that a netrc entry does not replace it."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def _read_outcomes(datasets: Sequence[Dataset], answer: StoreResponse, told: str = "") -> list[Outcome]:
    """Read the outcome of each instance; one that the answer does not name may be stored or not, and is sent again.

    Args:
        told: the status of a failed request in words.
    """
    reasons = ", ".join(map(describe_reason, answer.other_failures))
    others = f", other failures {reasons}" if reasons else ""
    found = []
    for ds in datasets:
        uid = str(ds.SOPInstanceUID)
        if uid in answer.failed:
            reason = answer.failed[uid]
            words = f"{told}, failure reason {describe_reason(reason)}".removeprefix(", ")
            found.append(Outcome(uid, False, words, reason >> 8 == 0xA7))
        elif uid in answer.stored:
            warning = answer.stored[uid]
            found.append(Outcome(uid, True, f"stored, warning {describe_reason(warning)}" if warning else "stored"))
        else:
            words = answer.told or "the answer does not name it"
            found.append(Outcome(uid, False, f"cannot tell whether it is stored: {words}{others}", True))
    return found
