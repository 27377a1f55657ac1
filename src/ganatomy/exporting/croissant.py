"""The verb `croissant`: a description of a store or of samples in the format of MLCommons (Croissant 1.1, 2026-01-29).

A file croissant.json beside the data names files with their SHA-256, what a record holds, counts, shapes and facts. It
holds no value of a patient, no name of a file of the training set and no path outside the folder.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ganatomy.channels import describe_channels
from ganatomy.data.numbers import list_number_facts
from ganatomy.data.samples import INDEX_FILE, read_index
from ganatomy.data.store import LINES_FILE, MANIFEST_FILE, Store, open_store
from ganatomy.errors import Refused
from ganatomy.machine.durable import compute_sha256, write_json, write_lines
from ganatomy.pyramid import format_shape

CROISSANT_FILE = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
TERMS = (  # of the vocabulary of Croissant, as far as they are used here
    "column",
    "extract",
    "field",
    "fileObject",
    "fileSet",
    "includes",
    "jsonPath",
    "recordSet",
    "source",
    "transform",
)
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "citeAs": "cr:citeAs",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{term: f"cr:{term}" for term in TERMS},
}
MEDIA_TYPES = {".png": "image/png", ".npy": "application/x-npy", ".gz": "application/gzip", ".dcm": "application/dicom"}
LINES_TYPE, JSON_TYPE, ZARR_TYPE = "application/jsonlines", "application/json", "application/vnd.zarr"
COLUMNS_TYPE = "application/octet-stream"
TEXT, WHOLE, NUMBER = "sc:Text", "sc:Integer", "sc:Float"
VERSION = "1.0.0"  # of the data; a store that has grown has another fingerprint

Part = dict[str, Any]


@dataclass(frozen=True)
class Statement:
    """What the person who describes the data says of them; None = nothing.

    Args:
        name: of the data; None = made of what they are.
        licence: a name or an address.
        url: where the data are to be found.
        citation: how to cite them.
    """

    name: str | None = None
    licence: str | None = None
    url: str | None = None
    citation: str | None = None


def write_croissant(
    folder: str | PathLike[str],
    name: str | None = None,
    licence: str | None = None,
    url: str | None = None,
    citation: str | None = None,
) -> dict[str, Any]:
    """Write ``croissant.json`` into a store or a folder of samples.

    A store gets ``cases.jsonl`` as well, one line of JSON per case, because programs that read the format cannot read
    the columns of a store. The store itself does not need this file.

    Args:
        folder: a store, made by `prepare`, or a folder with ``samples.jsonl``, made by `sample` or `export`.
        name, licence, url, citation: statements about the data, as in `Statement`; None = nothing is stated.

    Returns:
        The content of the file.

    Raises:
        Refused: the folder is neither, or is damaged.

    Example:
        >>> import ganatomy
        >>> samples = ganatomy.sample("runs/00000-pggan-mammogram", 2, out="described", to="png")
        >>> described = ganatomy.write_croissant("described")
        >>> described["conformsTo"], described["recordSet"][0]["name"]
        ('http://mlcommons.org/croissant/1.1', 'samples')
    """
    folder, statement = Path(folder), Statement(name, licence, url, citation)
    if (folder / INDEX_FILE).exists():
        described = _describe_samples(folder, statement)
    elif (folder / MANIFEST_FILE).exists():
        store = open_store(folder)
        if store.manifest.cases_file != LINES_FILE:
            write_lines(folder / LINES_FILE, iter(store.cases))
        described = _describe_store(store, statement)
    else:
        raise Refused(
            f"{folder} is neither a store nor a folder of samples; give one that `prepare`, `sample` or `export` made."
        )
    write_json(folder / CROISSANT_FILE, described)
    return described


def _describe_samples(folder: Path, statement: Statement) -> Part:
    rows = read_index(folder)
    first = rows[0]
    record, facts = first["record"], sorted({name for row in rows for name in row.get("facts", {})})
    files = [row["file"] for row in rows if (folder / row["file"]).is_file()]
    shown = f"{len(rows)} synthetic {first['modality']} images"
    made = f"{record['generator']}, snapshot {record['snapshot_sha256']}"
    fields = [
        _make_field("samples", INDEX_FILE, "file", TEXT, "the file of an image, or its folder"),
        *(
            _make_field("samples", INDEX_FILE, name, kind, words, within="record")
            for name, kind, words in (
                ("seed", WHOLE, "seed of the latent codes"),
                ("index", WHOLE, "number of the image; seed and number give the image again"),
                ("snapshot_sha256", TEXT, "hash of the weights that made it"),
            )
        ),
        *(_make_field("samples", INDEX_FILE, name, TEXT, "what was asked for", within="facts") for name in facts),
    ]
    about = {
        "description": f"{shown} that a generative model has made; no image shows a patient. Made by {made}.",
        "keywords": ["synthetic", "medical imaging", first["modality"]],
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": f"ganatomy: drawn from {made}, {record['kimg']:g} thousand images shown in training",
        },
        "rai:personalSensitiveInformation": "None is recorded. A model can repeat images of its training set; the"
        " privacy audit of its report says what was found.",
        "rai:dataLimitations": "Research on methods. Not for diagnosis, and not as evidence about patients.",
        "rai:dataCollection": "Drawn from a generative model with recorded seeds.",
    }
    if date := first.get("date"):
        about["datePublished"] = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    files_of = [_make_file(folder, name, _find_type(name)) for name in files]
    folders = [row["file"] for row in rows if (folder / row["file"]).is_dir()]
    sets = (
        [_make_set("series", [f"{name}/*.dcm" for name in folders], ".dcm", "one folder a series")] if folders else []
    )
    index = _make_file(folder, INDEX_FILE, LINES_TYPE)
    name = f"synthetic-{first['modality']}-{record['snapshot_sha256'][:8]}".replace("_", "-")
    return _assemble(name, about, statement, [index, *files_of, *sets], [_make_records("samples", fields)])


def _describe_store(store: Store, statement: Statement) -> Part:
    about, folder = store.manifest, store.path
    numbers = list_number_facts(about.facts)
    splits = ", ".join(f"{name} {count}" for name, count in about.splits.items())
    levels = ", ".join(map(format_shape, about.levels))
    told = (
        f"{about.cases} {about.modality} images of {about.patients} patients ({splits}), prepared by {about.made_with}."
        f" Levels: {levels}; stored values 0 to 65535. Facts: {', '.join(about.facts) or 'none'}."
        f" Fingerprint of all that a training sees: {about.fingerprint}."
    )
    patients = "Images of patients, pseudonyms made with a key, and names of files, which may contain names: the folder"
    described = {
        "description": told,
        "keywords": ["medical imaging", about.modality],
        "rai:personalSensitiveInformation": f"{patients} must not be handed on."
        if store.shows_patients
        else "None: all images say that they are synthetic.",
        "rai:dataPreprocessingProtocol": f"ganatomy prepare, modality {about.modality}, {format_shape(about.shape)};"
        " divided by patient.",
        "rai:dataCollectionMissingData": f"{about.files - about.cases} of {about.files} files were left out.",
    }
    fields = [
        _make_field("cases", LINES_FILE, "row", WHOLE, "row of the image in the arrays"),
        _make_field("cases", LINES_FILE, "split", TEXT, "train, validation or test"),
        _make_field("cases", LINES_FILE, "pixels", TEXT, "hash of the image at the finest level"),
        *(
            _make_field("cases", LINES_FILE, name, NUMBER if name in numbers else TEXT, "a fact", within="facts")
            for name in about.facts
        ),
    ]
    arrays = [f"arrays/{format_shape(level)}" for level in about.levels]
    axes = "".join(f"{n} arrays of {describe_channels(about.channels)}, " for n in about.array_axes)
    files = [
        _make_file(folder, MANIFEST_FILE, JSON_TYPE),
        *([] if about.cases_file == LINES_FILE else [_make_file(folder, about.cases_file, COLUMNS_TYPE)]),
        _make_file(folder, LINES_FILE, LINES_TYPE),
        *(_make_file(folder, f"{array}/zarr.json", JSON_TYPE) for array in arrays),
        *(
            _make_set(array, [f"{array}/c/**"], ZARR_TYPE, f"zarr v3, uint16, (rows, {axes}{array.partition('/')[2]})")
            for array in arrays
        ),
    ]
    name = f"{about.modality}-{about.fingerprint[:8]}".replace("_", "-")
    return _assemble(name, described, statement, files, [_make_records("cases", fields)])


def _assemble(name: str, about: Part, statement: Statement, files: list[Part], records: list[Part]) -> Part:
    stated = {"license": statement.licence, "url": statement.url, "citeAs": statement.citation}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": statement.name or name,
        "version": VERSION,
        **{key: value for key, value in stated.items() if value is not None},
        **about,
        "distribution": files,
        "recordSet": records,
    }


def _make_file(folder: Path, name: str, media: str) -> Part:
    """A file with its size and hash; its address is its name within the folder."""
    path = folder / name
    if not path.is_file():
        raise Refused(f"{folder} lacks {name}, which it should hold; make it again.")
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": media,
        "sha256": compute_sha256(path),
    }


def _make_set(name: str, includes: list[str], media: str, words: str) -> Part:
    return {
        "@type": "cr:FileSet",
        "@id": f"{name}-files",
        "name": f"{name}-files",
        "description": words,
        "encodingFormat": MEDIA_TYPES.get(media, media),
        "includes": includes,
    }


def _make_records(name: str, fields: Iterable[Part]) -> Part:
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": list(fields)}


def _make_field(records: str, file: str, name: str, kind: str, words: str, within: str | None = None) -> Part:
    """A field of a file of JSON lines; `within` is the object of a line that holds it."""
    source: Part = {"fileObject": {"@id": file}, "extract": {"column": within or name}}
    if within is not None:
        source["transform"] = {"jsonPath": f"$.{name}"}
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{name}",
        "name": name,
        "description": words,
        "dataType": kind,
        "source": source,
    }


def _find_type(name: str) -> str:
    return MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")
