"""Contents of a collection, read offline from the index that the Imaging Data Commons publishes as a package.

The index (idc-index-data) has a row for every series: its patient, number of files, size, licence, DOI and storage
location.
"""

import html
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganatomy.errors import Refused

FREE_LICENCES = ("CC0", "CC BY 3.0", "CC BY 4.0")  # they allow anybody to use and redistribute, with attribution
INDEX_COLUMNS = (
    "SeriesInstanceUID",
    "collection_id",
    "PatientID",
    "Modality",
    "instanceCount",
    "series_size_MB",
    "license_short_name",
    "source_DOI",
    "aws_bucket",
    "crdc_series_uuid",
)
LICENCE_URLS = {
    "CC0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC BY 3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC BY-NC 3.0": "https://creativecommons.org/licenses/by-nc/3.0/",
    "CC BY-NC 4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
}


@dataclass(frozen=True)
class Series:
    """A series as listed in the index; `megabytes` are millions of bytes."""

    uid: str
    collection: str
    patient: str
    modality: str
    files: int
    megabytes: float
    licence: str
    doi: str
    bucket: str
    folder: str


@dataclass(frozen=True)
class SeriesSelection:
    """The requested series of a collection, their citations, and the series left out because of their licence."""

    collection: str
    series: tuple[Series, ...]
    citations: Mapping[str, str]
    index: str
    excluded_licences: Mapping[str, int]

    @property
    def files(self) -> int:
        """The number of files of all series."""
        return sum(series.files for series in self.series)

    @property
    def megabytes(self) -> float:
        """The size of all series in millions of bytes."""
        return sum(series.megabytes for series in self.series)

    @property
    def licences(self) -> dict[str, int]:
        """The number of series by licence."""
        return dict(Counter(series.licence for series in self.series).most_common())

    def describe(self) -> str:
        """Describe patients, files, size, licences and citations in words."""
        patients = len({series.patient for series in self.series})
        lines = [
            f"{self.collection}: {patients} patients, {len(self.series)} series, {self.files} images,"
            f" {self.megabytes / 1000:.2f} GB ({self.index})",
            *(
                f"licence {name} ({count} series): {LICENCE_URLS.get(name, 'see the collection')}"
                for name, count in self.licences.items()
            ),
            *(
                f"left out {count} series under {name}: --licence '{name}' takes them, if you may"
                for name, count in self.excluded_licences.items()
            ),
            *(f"cite: {text}" for text in self.citations.values()),
        ]
        return "\n".join(lines)


def select_series(
    collection: str,
    modality: str | None = None,
    patients: int | None = None,
    match: Mapping[str, str] | None = None,
    licences: tuple[str, ...] = FREE_LICENCES,
) -> SeriesSelection:
    """Select series of a collection.

    Args:
        collection: its name in the Imaging Data Commons, such as ``cmmd``.
        modality: DICOM modality code, such as ``MG``; None = all.
        patients: number of patients, the first in the order of their names; None = all.
        match: columns of the index and their required values, such as ``{"SeriesDescription": "R MLO"}``.
        licences: the accepted licences.

    Raises:
        Refused: the extra ``idc`` is not installed, the collection, a column or a series does not exist, or no series
            has an accepted licence.
    """
    duckdb, package = _import_packages()
    table = f"read_parquet('{package.IDC_INDEX_PARQUET_FILEPATH}')"
    known = duckdb.sql(f"select * from {table} limit 0").columns
    conditions: dict[str, Any] = {"collection_id": collection, **({"Modality": modality} if modality else {})}
    for column, value in (match or {}).items():
        if column not in known:
            raise Refused(f"--match {column}: the index has the columns {', '.join(known)}.")
        conditions[column] = value
    where = " and ".join(f"{column} = ?" for column in conditions)
    query = f"select {', '.join(INDEX_COLUMNS)} from {table} where {where} order by PatientID, SeriesInstanceUID"
    every = [Series(*row) for row in duckdb.execute(query, list(conditions.values())).fetchall()]
    if not every:
        raise Refused(_explain_nothing_found(duckdb, table, collection, conditions))
    series = [one for one in every if one.licence in licences]
    if not series:
        found = ", ".join(sorted({one.licence for one in every}))
        raise Refused(
            f"{collection} is licensed under {found}; if its terms permit your use, give --licence '{found}'."
        )
    first = sorted({one.patient for one in series})[:patients]
    chosen = tuple(one for one in series if one.patient in set(first))
    left_out = Counter(one.licence for one in every if one.licence not in licences)
    version = f"idc-index-data {package.__version__}"
    return SeriesSelection(
        collection, chosen, _citations(duckdb, package, chosen), version, dict(left_out.most_common())
    )


def _import_packages() -> tuple[Any, Any]:
    try:
        import duckdb
        import idc_index_data
    except ImportError as error:
        raise Refused("fetch needs the index of the Imaging Data Commons: pip install 'ganatomy[idc]'.") from error
    return duckdb, idc_index_data


def _explain_nothing_found(duckdb: Any, table: str, collection: str, conditions: Mapping[str, Any]) -> str:
    names = [row[0] for row in duckdb.execute(f"select distinct collection_id from {table} order by 1").fetchall()]
    if collection not in names:
        near = [name for name in names if collection[:4].lower() in name]
        seen = f"such as {', '.join(near[:8])}" if near else "see https://portal.imaging.datacommons.cancer.gov"
        return f"There is no collection {collection!r}; there are {len(names)}, {seen}."
    wishes = ", ".join(f"{column} = {value}" for column, value in conditions.items() if column != "collection_id")
    return f"{collection} has no series with {wishes}."


def _citations(duckdb: Any, package: Any, series: tuple[Series, ...]) -> dict[str, str]:
    """Citations by DOI; if the package has no text for a DOI, its address."""
    file = Path(package.__file__).parent / "collections_index.parquet"
    found = duckdb.execute(
        f"select s.source_doi, s.citation from (select unnest(sources) s from read_parquet('{file}'))"
    ).fetchall()
    texts = {doi: _strip_html(text) for doi, text in found if text}
    return {one.doi: texts.get(one.doi, f"https://doi.org/{one.doi}") for one in series}


def _strip_html(text: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())
