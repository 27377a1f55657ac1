"""Which files are the slices of one volume, from their headers alone.

A volume is the slices of one Series Instance UID, wherever they lie, with one geometry. If all slices of a series with
the same orientation are one regular stack, they are one volume, whatever else their headers say. If they are not, the
series is divided by one or two attributes of `DIVIDING_ATTRIBUTES`, provided that a part is a regular volume over the
extent of the whole; then the volume carries a remark. A series that cannot be divided so stays together, and is
refused when it is read: a piece of a volume is never taken for one.
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

ENHANCED_CLASSES = (  # all frames in one instance: Enhanced and Legacy Converted Enhanced, CT and MR
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
MATRIX, ORIENTATION, FOLDER = "matrix or Pixel Spacing", "orientation", "folder"  # by which it is divided besides
MAX_DIVIDING_ATTRIBUTES = 2  # at once
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
MIN_SLICES = 8  # slices
MIN_COVERED = 0.8  # of the extent of a series; a part that covers less is a piece of a volume, not another one
MANY_FILES = 2000  # files; fewer are read faster by one process than a pool begins
CHUNK = 200  # files that a process of the pool reads at a time


class SliceGroup(NamedTuple):
    """The files of one volume.

    Args:
        paths: sorted; one of each SOP Instance UID.
        copies: files with the SOP Instance UID of one of them; their pixels are compared when they are read.
        remark: what is doubtful about the group; empty when nothing is.
    """

    paths: list[Path]
    copies: list[Path]
    remark: str = ""


class SliceHeader(NamedTuple):
    """What decides to which volume a file belongs; `alone` = a file that is never one of several slices."""

    path: Path
    alone: bool
    series: str = ""
    instance: str = ""
    patient: str = ""
    matrix: tuple[int, int] = (0, 0)
    spacing: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    position: tuple[float, ...] = ()
    marks: tuple[str, ...] = ()  # values of DIVIDING_ATTRIBUTES


Stack = list[SliceHeader]
Agreement = Callable[[SliceHeader, SliceHeader], bool]


def group_files(paths: Iterable[Path]) -> list[SliceGroup]:
    """Files that belong to one volume each; what cannot be read, or holds a whole volume, stands by itself."""
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
    """Whether Image Type says that an image is a scout, not a slice of a volume."""
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
    """The header of a file as far as it decides about groups."""
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
# A series to volumes.


def _divide_by_patient(stack: Stack) -> list[Stack]:
    """Slices of two persons under one Series Instance UID are two series; a blank Patient ID fits any."""
    named = {header.patient for header in stack if header.patient}
    return [stack] if len(named) < 2 else _partition(stack, [header.patient for header in stack])


def _divide_series(stack: Stack) -> list[SliceGroup]:
    """The volumes of a series: by orientation, then by what makes each a regular one."""
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
    """Parallel slices as one volume if they are regular, else as parts that are, each with what it was divided by."""
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
    """The values of what divides a stack, by name, slice by slice; what all slices have in common is left out."""
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
    """Whether slices of the same orientation are one volume."""
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
    """Whether a part reaches over (nearly) all of the extent of a series."""
    normal = np.cross(*np.reshape(whole[0].orientation, (2, geometry.SPACE_AXES)))
    inner, outer = (float(np.ptp([np.dot(header.position, normal) for header in some])) for some in (part, whole))
    return inner >= MIN_COVERED * outer


def _cluster(stack: Stack, agree: Agreement) -> list[Stack]:
    """Slices that agree with the first of each cluster."""
    return _partition(stack, _number(stack, agree))


def _number(stack: Stack, agree: Agreement) -> list[str]:
    """For each slice the number of the first one that it agrees with."""
    known: list[SliceHeader] = []
    numbers = []
    for header in stack:
        at = next((i for i, one in enumerate(known) if agree(one, header)), len(known))
        if at == len(known):
            known.append(header)
        numbers.append(str(at))
    return numbers


def _drop_copies(stack: Stack) -> Stack:
    """The first file of each SOP Instance UID; a file without one is no copy."""
    seen: set[str] = set()
    kept = []
    for header in stack:
        if not header.instance or header.instance not in seen:
            kept.append(header)
        seen.add(header.instance)
    return kept


def _partition(stack: Stack, keys: Sequence[object]) -> list[Stack]:
    """Slices with equal keys, in the order of the first of each."""
    parts: dict[object, Stack] = defaultdict(list)
    for header, key in zip(stack, keys, strict=True):
        parts[key].append(header)
    return list(parts.values())
