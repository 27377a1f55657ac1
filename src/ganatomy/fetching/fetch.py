"""The function `fetch_collection`: download a collection with its licence and the origin of each series."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ganatomy.errors import Ended, Refused
from ganatomy.fetching.download import DownloadedSeries, download_series
from ganatomy.fetching.index import LICENCE_URLS, SeriesSelection
from ganatomy.machine import progress
from ganatomy.machine.durable import sync_tree, write_json, write_text

DISK_MARGIN = 1.05  # ratio of the required free space to the size in the index


class IncompleteFetchError(Ended):
    """Some series are missing or incomplete."""


def fetch_collection(selection: SeriesSelection, out: Path | str, workers: int = 8, endpoint: str | None = None) -> int:
    """Download series to ``out/COLLECTION/PATIENT/MODALITY_SERIES/``; the same call resumes an interrupted download.

    The size and MD5 of every file are compared with those of the bucket, the number of files of every series with that
    of the index. ``provenance.json`` states the origin, the licence and the DOI of each series, ``LICENCE.txt`` how to
    attribute them.

    Args:
        selection: the series, as returned by `index.select_series`.
        out: folder for the files.
        workers: number of series to download at the same time.
        endpoint: another server with the same buckets; None = Amazon's, which needs no account.

    Returns:
        The number of files.

    Raises:
        Refused: the disk has not enough space, or is full.
        IncompleteFetchError: a series is missing or incomplete; complete series are kept.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if free < selection.megabytes * 1e6 * DISK_MARGIN and not (out / selection.collection).exists():
        raise Refused(
            f"{selection.collection} needs {selection.megabytes / 1000:.1f} GB and {out} has {free / 1e9:.1f}"
            " GB free; choose"
            " another folder or fewer --patients."
        )
    write_text(out / selection.collection / "LICENCE.txt", _licence_text(selection))
    with progress.bar(f"fetching {selection.collection}", selection.files) as shown:
        arrived = list(download_series(selection.series, out, workers, endpoint, shown.advance))
    arrived.sort(key=lambda one: (one.series.patient, one.series.uid))
    sync_tree(out / selection.collection)
    write_json(out / selection.collection / "provenance.json", _make_provenance(selection, arrived, endpoint))
    short = [one for one in arrived if one.problem]
    if short:
        told = "; ".join(f"{one.series.uid} of {one.series.patient}: {one.problem}" for one in short[:5])
        raise IncompleteFetchError(
            f"{len(short)} of {len(arrived)} series are incomplete: {told}"
            + (f"; and {len(short) - 5} more" if len(short) > 5 else "")
            + ". Give the same command again; complete files are kept."
        )
    return sum(one.files for one in arrived)


def _licence_text(selection: SeriesSelection) -> str:
    lines = [f"Images of the collection {selection.collection}, from the NCI Imaging Data Commons.", ""]
    lines += [
        f"{count} series under {name}: {LICENCE_URLS.get(name, '')}" for name, count in selection.licences.items()
    ]
    lines += ["", "Please cite:", *(f"- {text}" for text in selection.citations.values())]
    lines += [
        "- Fedorov et al. (2023), National Cancer Institute Imaging Data Commons, RadioGraphics 43(12),"
        " https://doi.org/10.1148/rg.230180"
    ]
    return "\n".join(lines) + "\n"


def _make_provenance(
    selection: SeriesSelection, arrived: list[DownloadedSeries], endpoint: str | None
) -> dict[str, Any]:
    return {
        "format": 1,
        "collection": selection.collection,
        "index": selection.index,
        "endpoint": endpoint or "Amazon S3",
        "fetched": datetime.now(UTC).date().isoformat(),
        "files": sum(one.files for one in arrived),
        "bytes": sum(one.bytes for one in arrived),
        "complete": not any(one.problem for one in arrived),
        "series": [
            {
                "uid": one.series.uid,
                "patient": one.series.patient,
                "modality": one.series.modality,
                "licence": one.series.licence,
                "doi": one.series.doi,
                "bucket": one.series.bucket,
                "folder": one.series.folder,
                "files": one.files,
                "bytes": one.bytes,
                "missing": one.problem or None,
            }
            for one in arrived
        ],
    }
