"""STOW-RS to an archive (PS3.18 10.5).

Credentials come from the environment or a netrc file and are never part of a message: GANATOMY_DICOMWEB_TOKEN (a bearer
token), or GANATOMY_DICOMWEB_USER with GANATOMY_DICOMWEB_PASSWORD, or the netrc entry of the host.
"""

import logging
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset

from ganatomy.dicom.destination import Outcome, UnreachableError
from ganatomy.errors import Refused
from ganatomy.machine import progress

TIMEOUTS = (15, 120)  # to connect, to answer
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
TOKEN, USER, PASSWORD = "GANATOMY_DICOMWEB_TOKEN", "GANATOMY_DICOMWEB_USER", "GANATOMY_DICOMWEB_PASSWORD"
WRONG_URL = "--url {url}: give the address of a DICOMweb service, such as https://host/dicom-web."
RETRY_STATUSES = (408, 425, 429, 502, 503, 504)
SPLIT_STATUSES = (400, 409, 413, 415, 422, 500)  # of a whole request: one instance may be to blame


class StowArchive:
    """An archive that takes STOW-RS.

    Args:
        url: of the service, without ``/studies``.

    Raises:
        Refused: not an http address, or one with credentials in it.
    """

    batch_bytes = 2**25

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None:
            raise Refused(
                f"--url holds credentials, which others here can read; set {TOKEN}, or {USER} and {PASSWORD},"
                " or use a netrc file."
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused(WRONG_URL.format(url=url))
        self.name = url.rstrip("/")
        self._session = requests.Session()
        self._session.max_redirects = 0  # a redirection would become a GET, and lead who knows where
        if token := os.environ.get(TOKEN):
            self._session.auth = _Bearer(token)
        elif user := os.environ.get(USER):
            self._session.auth = (user, os.environ.get(PASSWORD, ""))
        if self._session.auth and parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
            progress.say(f"{self.name} is not encrypted: credentials can be read on the way.")
        try:
            self._client = DICOMwebClient(self.name, session=self._session, timeout=TIMEOUTS)
        except ValueError as error:
            raise Refused(WRONG_URL.format(url=url)) from error
        self._client.set_http_retry_params(retry=False)  # its data are spent after one try; `sending` tries again
        logging.getLogger("dicomweb_client").addHandler(logging.NullHandler())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def send(self, datasets: Sequence[Dataset]) -> list[Outcome]:
        try:
            answer = self._client.store_instances(datasets)
        except requests.TooManyRedirects as error:
            raise Refused(f"{self.name} redirects elsewhere; give that as --url.") from error
        except requests.exceptions.SSLError as error:
            raise Refused(
                f"{self.name} has a certificate that is not trusted here; name its authority in REQUESTS_CA_BUNDLE."
            ) from error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise UnreachableError(f"nobody answers at {self.name}, or the connection was lost") from error
        except requests.HTTPError as error:
            return self._handle_failure(datasets, error.response)
        return _read_outcomes(datasets, answer)

    def _handle_failure(self, datasets: Sequence[Dataset], response: requests.Response) -> list[Outcome]:
        """What a refused request means for its instances."""
        code = response.status_code
        told = f"HTTP {code} {response.reason or ''}".strip()
        if code in (401, 403):
            raise Refused(
                f"{self.name} wants credentials ({told}); set {TOKEN}, or {USER} and {PASSWORD}, or a netrc entry."
            )
        if code in RETRY_STATUSES:
            raise UnreachableError(f"{self.name} answers {told}")
        if code in SPLIT_STATUSES and len(datasets) > 1:
            return [outcome for ds in datasets for outcome in self.send([ds])]
        if code in SPLIT_STATUSES:
            return [Outcome(str(datasets[0].SOPInstanceUID), False, told)]
        raise Refused(f"{self.name} takes no STOW-RS ({told}); give the address of the service, without /studies.")


class _Bearer(requests.auth.AuthBase):
    """A token instead of a password; given as `auth` so that a netrc entry does not replace it."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def _read_outcomes(datasets: Sequence[Dataset], answer: Dataset) -> list[Outcome]:
    """The outcome of each instance from the Store Instances Response (PS3.18 annex I)."""
    failed = {str(item.get("ReferencedSOPInstanceUID", "")): item for item in answer.get("FailedSOPSequence") or []}
    found = []
    for ds in datasets:
        uid = str(ds.SOPInstanceUID)
        if uid in failed:
            reason = int(failed[uid].get("FailureReason", 0) or 0)
            found.append(Outcome(uid, False, f"failure reason 0x{reason:04X}", reason >> 8 == 0xA7))
        else:
            found.append(Outcome(uid, True, "stored"))
    return found
