"""Download of series from a public bucket; every file is complete or absent, and all are counted."""

import hashlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from ganatomy.errors import Refused
from ganatomy.fetching.index import Series
from ganatomy.machine.durable import new_file

REGION = "us-east-1"
RETRY_TIMEOUT = timedelta(minutes=2)  # for one request, including retries


class UnusableSeries(Exception):
    """A downloaded file differs from the one in the bucket."""


@dataclass(frozen=True)
class DownloadedSeries:
    """The result of the download of a series; `missing` says what is wrong and is empty if nothing is."""

    series: Series
    files: int
    bytes: int
    problem: str = ""


def download_series(
    all_series: tuple[Series, ...],
    out: Path,
    workers: int,
    endpoint: str | None = None,
    advance: Callable[[int], None] = lambda files: None,
) -> Iterator[DownloadedSeries]:
    """Download several series at the same time; a failed series does not stop the others.

    Args:
        endpoint: another server with the same buckets, such as a mirror; None = Amazon's.
        advance: is called with the number of files that have arrived.

    Raises:
        Refused: the extra ``idc`` is not installed.
    """
    stores = {bucket: _open_bucket(bucket, endpoint) for bucket in {series.bucket for series in all_series}}
    with ThreadPoolExecutor(workers) as executor:
        running = [executor.submit(_download_one, series, stores[series.bucket], out, advance) for series in all_series]
        try:
            for future in as_completed(running):
                yield future.result()
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _open_bucket(bucket: str, endpoint: str | None) -> Any:
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise Refused("fetch needs a client for cloud storage: pip install 'ganatomy[idc]'.") from error
    options: dict[str, Any] = {"skip_signature": True, "region": REGION}
    if endpoint is not None:
        options |= {"endpoint": endpoint, "client_options": {"allow_http": True}, "virtual_hosted_style_request": False}
    retry = {"max_retries": 5, "retry_timeout": RETRY_TIMEOUT}
    return S3Store(bucket, retry_config=retry, **options)


def _download_one(series: Series, bucket: Any, out: Path, advance: Callable[[int], None]) -> DownloadedSeries:
    folder = (
        out / series.collection / _safe_name(series.patient) / f"{_safe_name(series.modality)}_{_safe_name(series.uid)}"
    )
    files = size = 0
    try:
        objects = [each for page in bucket.list(prefix=f"{series.folder}/") for each in page]
        for each in objects:
            _download_file(bucket, each, folder)
            files, size = files + 1, size + int(each["size"])
            advance(1)
    except Refused:
        raise  # the disk is full
    except Exception as error:  # the client has its own kinds of errors, and each means that the series has not arrived
        return DownloadedSeries(series, files, size, f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")
    if files != series.files:
        return DownloadedSeries(series, files, size, f"{files} files arrived and the index lists {series.files}")
    return DownloadedSeries(series, files, size)


def _download_file(bucket: Any, entry: Any, folder: Path) -> None:
    """Download a file unless it exists; its size and its MD5, if the bucket has one, are compared."""
    path = folder / _safe_name(str(entry["path"]).rsplit("/", 1)[-1])
    size = int(entry["size"])
    if path.exists() and path.stat().st_size == size:
        return
    digest, came = hashlib.md5(usedforsecurity=False), 0
    with new_file(path, sync=False) as temporary, temporary.open("wb") as file:
        for chunk in bucket.get(entry["path"]).stream():
            content = bytes(chunk)
            came += len(content)
            digest.update(content)
            file.write(content)
        tag = str(entry.get("e_tag") or "").strip('"')
        if came != size or (re.fullmatch(r"[0-9a-f]{32}", tag) and digest.hexdigest() != tag):
            raise UnusableSeries(f"{path.name} is not the file of the index: {came} of {size} bytes arrived")


def _safe_name(text: str) -> str:
    """Make a file name that cannot leave its folder."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".") or "_"
