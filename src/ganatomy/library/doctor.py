"""What of this installation may go wrong: versions, devices, known faults of libraries, and a self-test of seconds."""

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import zarr
from packaging.requirements import Requirement
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from ganatomy.config import Config
from ganatomy.data.store import create_array
from ganatomy.dicom.write import COMPRESSIONS, add_pixels, compress_dataset, make_uid
from ganatomy.machine.device import describe_device, measure_free_memory
from ganatomy.nn.precision import FAULTY_CUDNN_VERSIONS
from ganatomy.pyramid import format_shape
from ganatomy.recipes import get_recipe

PACKAGE = "ganatomy"
TEST_SIDE = 64  # pixels; JPEG 2000 needs at least 32
TEST_RECIPE = "pggan-mammogram"
ROUNDING = 1e-3  # of images in [-1, 1] between a GPU and the processor
GIB = 2**30


class CheckResult(Config):
    """The result of a check.

    Args:
        check: what was looked at.
        outcome: ``failed`` = the package cannot be used for that.
        detail: versions, sizes, what to do.
    """

    check: str
    outcome: Literal["good", "warning", "failed"]
    detail: str


def examine() -> list[CheckResult]:
    """Make all checks, each on its own: one that fails does not stop the others."""
    found: list[CheckResult] = []
    for check in CHECKS:
        try:
            found += check()
        except Exception as error:  # the more so of an installation that is broken
            name = check.__name__.removeprefix("_check_").replace("_", " ")
            found.append(CheckResult(check=name, outcome="failed", detail=f"{type(error).__name__}: {error}"))
    return found


def _check_versions() -> Iterator[CheckResult]:
    """The system, and every package that is required."""
    where = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield CheckResult(check="versions", outcome="good", detail=f"{PACKAGE} {version(PACKAGE)}, {where}")
    present, extras = [], dict[str, list[str]]()
    for text in requires(PACKAGE) or []:
        needed = Requirement(text)
        extra = _find_extra(needed)
        wrong = _find_version_problem(needed)
        if extra is None and wrong is not None:
            yield CheckResult(
                check=needed.name, outcome="failed", detail=f"{wrong}; pip install '{needed.name}{needed.specifier}'"
            )
        elif extra is None:
            present.append(f"{needed.name} {version(needed.name)}")
        else:
            extras.setdefault(extra, []).extend([] if wrong is None else [needed.name])
    yield CheckResult(check="packages", outcome="good", detail=", ".join(sorted(present)))
    for name, lacking in sorted(extras.items()):
        told = f"lacks {', '.join(lacking)}: pip install '{PACKAGE}[{name}]'" if lacking else "installed"
        yield CheckResult(check=f"extra {name}", outcome="good", detail=told)


def _find_extra(needed: Requirement) -> str | None:
    """The extra that a requirement belongs to; None = it is always needed."""
    if needed.marker is None or needed.marker.evaluate({"extra": ""}):
        return None
    return str(needed.marker).rpartition("==")[2].strip(" \"'")


def _find_version_problem(needed: Requirement) -> str | None:
    try:
        installed = version(needed.name)
    except PackageNotFoundError:
        return "is not installed"
    if needed.specifier.contains(installed, prereleases=True):
        return None
    return f"{installed} is installed and {needed.specifier} is needed"


def _check_devices() -> Iterator[CheckResult]:
    """The processor and the GPUs, with their memory."""
    cpu = torch.device("cpu")
    told = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {measure_free_memory(cpu) / GIB:.1f} GiB free"
    yield CheckResult(check="cpu", outcome="good", detail=told)
    if not torch.cuda.is_available():
        yield CheckResult(check="cuda", outcome="good", detail=f"torch {torch.__version__} finds no GPU")
    for number in range(torch.cuda.device_count()):
        device = torch.device("cuda", number)
        about = describe_device(device)
        free, total = torch.cuda.mem_get_info(device)
        sizes = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
        libraries = f"CUDA {about['cuda']}, cuDNN {about['cudnn']}"
        yield CheckResult(check=str(device), outcome="good", detail=f"{about['gpu']}, {sizes}, {libraries}")


def _check_known_faults() -> Iterator[CheckResult]:
    """Versions and settings that give wrong or slow results."""
    found = torch.backends.cudnn.version() if torch.cuda.is_available() else None
    if found in FAULTY_CUDNN_VERSIONS:
        told = f"cuDNN {found} computes 3D convolutions in half precision wrongly; volumes are trained in float32 here"
        yield CheckResult(check="cuDNN", outcome="warning", detail=f"{told}, and --precision bfloat16 is refused")
    if os.environ.get("OMP_WAIT_POLICY", "").upper() == "ACTIVE":
        told = "OMP_WAIT_POLICY=ACTIVE makes waiting threads spin, which slows a shared machine down; unset it"
        yield CheckResult(check="OpenMP", outcome="warning", detail=told)


def _check_dicom_compression() -> Iterator[CheckResult]:
    """Every lossless compression gives back what it was given."""
    pixels = np.random.default_rng(0).integers(0, 2**12, (TEST_SIDE, TEST_SIDE)).astype(np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        for name in COMPRESSIONS:
            path = Path(folder) / f"{name}.dcm"
            compress_dataset(_make_dataset(pixels), name).save_as(path, enforce_file_format=True)
            same = np.array_equal(dcmread(path).pixel_array, pixels)
            told = "written and read back" if same else "does not give back what was written; install pylibjpeg anew"
            yield CheckResult(check=f"DICOM {name}", outcome="good" if same else "failed", detail=told)


def _make_dataset(pixels: np.ndarray[Any, Any]) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, make_uid(PACKAGE, "doctor")
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    add_pixels(ds, pixels, 12)
    return ds


def _check_store() -> Iterator[CheckResult]:
    """The arrays of a store are written and read."""
    shape = (TEST_SIDE, TEST_SIDE)
    pixels = np.random.default_rng(1).integers(0, 2**16, (2, *shape)).astype(np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        create_array(Path(folder), shape, 2, 2)
        written = Path(folder) / "arrays" / format_shape(shape)
        zarr.open_array(written, mode="r+")[:] = pixels
        same = np.array_equal(np.asarray(zarr.open_array(written, mode="r")[:]), pixels)
    told = f"{format_shape(shape)} written and read back" if same else "zarr does not give back what was written"
    yield CheckResult(check="store", outcome="good" if same else "failed", detail=told)


def _check_generator() -> Iterator[CheckResult]:
    """A small generator makes the same image twice on every device, and on a GPU that of the processor to rounding."""
    first = _generate(torch.device("cpu"))
    for device in ("cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))):
        made, again = (_generate(torch.device(device)) for _ in range(2))
        apart = float((made - first).abs().max())
        good = torch.equal(made, again) and apart <= ROUNDING
        told = f"the same image twice, {apart:.1g} from that of the processor"
        if not good:
            repeated = float((made - again).abs().max())
            told = f"images differ: by {repeated:.1g} when made again, by {apart:.1g} from that of the processor"
        yield CheckResult(check=f"generator on {device}", outcome="good" if good else "failed", detail=told)


def _generate(device: torch.device) -> torch.Tensor:
    recipe = get_recipe(TEST_RECIPE).make_tiny()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = recipe.networks["generator"].build(recipe.space).to(device).eval()
        z = torch.randn(1, recipe.latent).to(device)
    condition = recipe.condition_space.encode(recipe.condition_space.spread_facts(1)).to(device)
    with torch.inference_mode():
        made: torch.Tensor = network(z, condition, recipe.get_final_scope())[0]
    return made.float().cpu()


CHECKS: tuple[Callable[[], Iterator[CheckResult]], ...] = (
    _check_versions,
    _check_devices,
    _check_known_faults,
    _check_dicom_compression,
    _check_store,
    _check_generator,
)
