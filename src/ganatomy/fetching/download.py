"""Series from a public bucket to a folder, each file whole or not there, and counted."""

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
PATIENCE = timedelta(minutes=2)  # of one request, tried again


class Unusable(Exception):
    """What arrived is not what lies in the bucket."""


@dataclass(frozen=True)
class Arrived:
    """A series after its download; `missing` says what is wrong, empty = nothing."""

    series: Series
    files: int
    bytes: int
    missing: str = ""


def downloaded(
    every: tuple[Series, ...],
    out: Path,
    workers: int,
    endpoint: str | None = None,
    advance: Callable[[int], None] = lambda files: None,
) -> Iterator[Arrived]:
    """Get series side by side; one that fails does not stop the others.

    Args:
        endpoint: another server of the same buckets, such as a mirror; None = Amazon's.
        advance: told how many files have come.

    Raises:
        Refused: the extra is not installed.
    """
    stores = {bucket: _store(bucket, endpoint) for bucket in {series.bucket for series in every}}
    with ThreadPoolExecutor(workers) as executor:
        running = [executor.submit(_one, series, stores[series.bucket], out, advance) for series in every]
        try:
            for future in as_completed(running):
                yield future.result()
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _store(bucket: str, endpoint: str | None) -> Any:
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise Refused("fetch needs a client for buckets: pip install 'ganatomy[idc]'.") from error
    options: dict[str, Any] = {"skip_signature": True, "region": REGION}
    if endpoint is not None:
        options |= {"endpoint": endpoint, "client_options": {"allow_http": True}, "virtual_hosted_style_request": False}
    retry = {"max_retries": 5, "retry_timeout": PATIENCE}
    return S3Store(bucket, retry_config=retry, **options)


def _one(series: Series, store: Any, out: Path, advance: Callable[[int], None]) -> Arrived:
    folder = out / series.collection / _name(series.patient) / f"{_name(series.modality)}_{_name(series.uid)}"
    files = size = 0
    try:
        objects = [each for page in store.list(prefix=f"{series.folder}/") for each in page]
        for each in objects:
            _get(store, each, folder)
            files, size = files + 1, size + int(each["size"])
            advance(1)
    except Refused:
        raise  # the disk is full
    except Exception as error:  # of the client: its own kinds, all of them a series that has not arrived
        return Arrived(series, files, size, f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")
    if files != series.files:
        return Arrived(series, files, size, f"{files} files have come and the index has {series.files}")
    return Arrived(series, files, size)


def _get(store: Any, each: Any, folder: Path) -> None:
    """One file, unless it is there already; its size and, where the bucket tells one, its MD5 are compared."""
    path = folder / _name(str(each["path"]).rsplit("/", 1)[-1])
    size = int(each["size"])
    if path.exists() and path.stat().st_size == size:
        return
    digest, came = hashlib.md5(usedforsecurity=False), 0
    with new_file(path, sync=False) as temporary, temporary.open("wb") as file:
        for chunk in store.get(each["path"]).stream():
            content = bytes(chunk)
            came += len(content)
            digest.update(content)
            file.write(content)
        tag = str(each.get("e_tag") or "").strip('"')
        if came != size or (re.fullmatch(r"[0-9a-f]{32}", tag) and digest.hexdigest() != tag):
            raise Unusable(f"{path.name} arrived changed: {came} of {size} bytes")


def _name(text: str) -> str:
    """A name that stays within its folder."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".") or "_"
