"""Groups files to volumes by their headers.

A volume consists of the slices of one Series Instance UID in any folders, with one geometry. If all slices of a series
with the same orientation are one regular stack, they are one volume, whatever other attributes say. If they are not,
the series is divided by one or two attributes of `DIVIDING_ATTRIBUTES`, provided that a part is a regular volume over
the extent of the whole; the volume then carries a remark. A series that cannot be divided in this way stays together
and is refused when it is read, so that a part of a volume is never used as a whole.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ganatomy.dicom import geometry, read
from ganatomy.imaging.image import UnusableImage
from ganatomy.imaging.sandbox import reading_sandbox
from ganatomy.machine.processes import worker_pool
from ganatomy.machine.progress import say

ENHANCED_CLASSES = (  # with all frames in one instance: Enhanced and Legacy Converted Enhanced, CT and MR
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.4",
)
LOCALIZER_TYPES = ("LOCALIZER", "SCOUT")
DIVIDING_ATTRIBUTES = (  # in the order in which they are tried
    "EchoNumbers",
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
    "ImageType",
    "ConvolutionKernel",
    "EchoTime",
    "InversionTime",
    "TriggerTime",
    "DiffusionBValue",
    "FrameOfReferenceUID",
    "SOPClassUID",
    "SeriesDescription",
    "AcquisitionTime",
)
MATRIX, ORIENTATION, FOLDER = "matrix or Pixel Spacing", "orientation", "folder"  # further criteria for a division
MAX_DIVIDING_ATTRIBUTES = 2  # used at the same time
NEEDED_ATTRIBUTES = (
    *DIVIDING_ATTRIBUTES,
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "PatientID",
    "Modality",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
)
MIN_SLICES = 8  # of a volume
MIN_COVERED = 0.8  # share of the extent of a series; a part that covers less is not a volume of its own
MANY_FILES = 2000  # one process reads fewer files faster than a pool starts
CHUNK = 200  # files that a process of the pool reads at a time


class SliceGroup(NamedTuple):
    """The files of one volume.

    Args:
        paths: sorted paths, one for each SOP Instance UID.
        copies: further files with the same SOP Instance UIDs, whose pixels are compared when they are read.
        remark: a doubt about the group, or empty.
    """

    paths: list[Path]
    copies: list[Path]
    remark: str = ""


class SliceHeader(NamedTuple):
    """The attributes that determine the volume of a file; `alone` = the file is never one of several slices."""

    path: Path
    alone: bool
    series: str = ""
    instance: str = ""
    patient: str = ""
    matrix: tuple[int, int] = (0, 0)
    spacing: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    position: tuple[float, ...] = ()
    marks: tuple[str, ...] = ()  # the values of DIVIDING_ATTRIBUTES


Stack = list[SliceHeader]
Agreement = Callable[[SliceHeader, SliceHeader], bool]


def group_files(paths: Iterable[Path]) -> list[SliceGroup]:
    """Group files to volumes; files that cannot be read or that hold a whole volume are groups of their own."""
    series: dict[tuple[str, ...], Stack] = defaultdict(list)
    groups: list[SliceGroup] = []
    headers = _read_headers(sorted(paths))
    for header in headers:
        if header.alone:
            groups.append(SliceGroup([header.path], []))
        else:
            series[(header.series,)].append(header)
    for stack in series.values():
        for one in _divide_by_patient(stack):
            groups += _divide_series(one)
    return groups


def is_localizer(image_type: Sequence[object]) -> bool:
    """Whether an image is a localizer by its Image Type, and not a slice of a volume."""
    return any(str(value).upper() in LOCALIZER_TYPES for value in image_type)


# ----------------------------------------------------------------------------------------------------------------------
# Headers.


def _read_headers(paths: list[Path]) -> list[SliceHeader]:
    workers = os.cpu_count() or 1
    if len(paths) < MANY_FILES or workers == 1:
        return [read_slice_header(path) for path in paths]
    try:
        with worker_pool(workers) as executor:
            return list(executor.map(read_slice_header, paths, chunksize=CHUNK))
    except BrokenProcessPool:  # for lack of memory; one process needs less
        say("A worker that lists headers has ended; they are listed again by one process.")
        return [read_slice_header(path) for path in paths]


def read_slice_header(path: Path) -> SliceHeader:
    """Read the attributes of a file that determine its group."""
    try:
        with reading_sandbox((path,)):
            return _read_slice_header(path)
    except UnusableImage:
        return SliceHeader(path, True)


def _read_slice_header(path: Path) -> SliceHeader:
    header = read.read_header(path, NEEDED_ATTRIBUTES)
    types = read.get_values(header, "ImageType")
    if read.get_text(header, "SOPClassUID") in ENHANCED_CLASSES or is_localizer(types):
        return SliceHeader(path, True)
    name = read.get_text(header, "SeriesInstanceUID") or str(path.parent)
    return SliceHeader(
        path,
        False,
        f"{read.get_text(header, 'Modality')} {name}",
        read.get_text(header, "SOPInstanceUID"),
        read.get_text(header, "PatientID"),
        (read.get_integer(header, "Rows", 0), read.get_integer(header, "Columns", 0)),
        read.get_numbers(header, "PixelSpacing"),
        read.get_numbers(header, "ImageOrientationPatient", 2 * geometry.SPACE_AXES),
        read.get_numbers(header, "ImagePositionPatient", geometry.SPACE_AXES),
        tuple(str(read.get_values(header, attribute)) for attribute in DIVIDING_ATTRIBUTES),
    )


# ----------------------------------------------------------------------------------------------------------------------
# Dividing a series into volumes.


def _divide_by_patient(stack: Stack) -> list[Stack]:
    """Divide slices of different patients with the same Series Instance UID; an empty Patient ID fits any."""
    named = {header.patient for header in stack if header.patient}
    return [stack] if len(named) < 2 else _partition(stack, [header.patient for header in stack])


def _divide_series(stack: Stack) -> list[SliceGroup]:
    """Divide a series into volumes by orientation, then by the attributes that make regular volumes."""
    placed = [header for header in stack if header.orientation and header.position]
    found: list[tuple[Stack, str]] = [
        (part, why) for one in _cluster(placed, _are_parallel) for part, why in _divide_stack(one)
    ]
    if unplaced := [header for header in stack if not (header.orientation and header.position)]:
        found.append((unplaced, ""))
    groups = []
    for part, why in found:
        words = [why] if why else []
        if len(part) < len(stack) and len(found) > 1:
            words.insert(0, f"{len(part)} of {len(stack)} files of a series")
        groups.append(_make_group(part, "; ".join(words)))
    return groups


def _make_group(part: Stack, remark: str) -> SliceGroup:
    distinct = _drop_copies(part)
    kept = {header.path for header in distinct}
    return SliceGroup([h.path for h in distinct], [h.path for h in part if h.path not in kept], remark)


def _divide_stack(stack: Stack) -> list[tuple[Stack, str]]:
    """Return parallel slices as one regular volume, or divided into regular parts, each with the criterion used."""
    if len(_drop_copies(stack)) < len(stack):
        folders = _partition(stack, [str(header.path.parent) for header in stack])
        if len(folders) > 1 and all(_covers(part, stack) and _is_regular(part) for part in folders):
            why = f"the same SOP Instance UIDs lie in {len(folders)} folders; each folder was read as a volume"
            return [(part, why) for part in folders]
    if _is_regular(stack):
        return [(stack, "")]
    best: tuple[int, list[tuple[Stack, str]]] = (0, [(stack, "")])
    marks = _list_marks(stack)
    for count in range(1, MAX_DIVIDING_ATTRIBUTES + 1):
        for names in combinations(marks, count):
            parts = _partition(stack, list(zip(*(marks[name] for name in names), strict=True)))
            regular = [part for part in parts if _is_regular(part)]
            if not regular or not all(_covers(part, stack) for part in regular):
                continue
            score = 2 if len(regular) == len(parts) else 1
            if score > best[0]:
                why = f"divided by {' and '.join(names)} into {len(parts)}, since the whole is not regular"
                best = score, [(part, why) for part in parts]
        if best[0]:
            break
    return best[1]


def _list_marks(stack: Stack) -> dict[str, list[str]]:
    """List the values of each criterion slice by slice, without criteria that are the same for all slices."""
    marks = {
        MATRIX: _number(stack, _have_same_matrix),
        ORIENTATION: _number(stack, _have_same_orientation),
        FOLDER: [str(header.path.parent) for header in stack],
    }
    marks |= {name: [header.marks[i] for header in stack] for i, name in enumerate(DIVIDING_ATTRIBUTES)}
    return {name: values for name, values in marks.items() if len(set(values)) > 1}


def _have_same_matrix(one: SliceHeader, other: SliceHeader) -> bool:
    return one.matrix == other.matrix and geometry.has_same_spacing(one.spacing, other.spacing)


def _have_same_orientation(one: SliceHeader, other: SliceHeader) -> bool:
    return geometry.has_same_orientation(one.orientation, other.orientation)


def _are_parallel(one: SliceHeader, other: SliceHeader) -> bool:
    return geometry.has_same_orientation(one.orientation, other.orientation, geometry.PARALLEL_DEGREES)


def _is_regular(part: Stack) -> bool:
    """Whether slices of the same orientation form one regular volume."""
    slices = _drop_copies(part)
    first = slices[0]
    if len(slices) < MIN_SLICES:
        return False
    if not all(_have_same_matrix(first, other) and _have_same_orientation(first, other) for other in slices):
        return False
    try:
        normal = geometry.find_normal(first.orientation)
        places = np.array([header.position for header in slices])
        order = np.argsort(places @ normal, kind="stable")
        geometry.find_step(places[order], normal, [""] * len(slices))
    except UnusableImage:
        return False
    return True


def _covers(part: Stack, whole: Stack) -> bool:
    """Whether a part covers at least `MIN_COVERED` of the extent of a series."""
    normal = np.cross(*np.reshape(whole[0].orientation, (2, geometry.SPACE_AXES)))
    inner, outer = (float(np.ptp([np.dot(header.position, normal) for header in some])) for some in (part, whole))
    return inner >= MIN_COVERED * outer


def _cluster(stack: Stack, agree: Agreement) -> list[Stack]:
    """Cluster slices that agree with the first slice of their cluster."""
    return _partition(stack, _number(stack, agree))


def _number(stack: Stack, agree: Agreement) -> list[str]:
    """Number the clusters; returns for each slice the number of the first cluster that it agrees with."""
    known: list[SliceHeader] = []
    numbers = []
    for header in stack:
        at = next((i for i, one in enumerate(known) if agree(one, header)), len(known))
        if at == len(known):
            known.append(header)
        numbers.append(str(at))
    return numbers


def _drop_copies(stack: Stack) -> Stack:
    """Keep the first file of each SOP Instance UID; a file without one is never a copy."""
    seen: set[str] = set()
    kept = []
    for header in stack:
        if not header.instance or header.instance not in seen:
            kept.append(header)
        seen.add(header.instance)
    return kept


def _partition(stack: Stack, keys: Sequence[object]) -> list[Stack]:
    """Divide slices by equal keys, in the order of their first occurrence."""
    parts: dict[object, Stack] = defaultdict(list)
    for header, key in zip(stack, keys, strict=True):
        parts[key].append(header)
    return list(parts.values())
