"""The verb `sample`: images of a run, snapshot or bundle, drawn one after another or written to a folder."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, overload

from ganatomy import sampling
from ganatomy.checkpoint import GENERATOR_ROLE, Snapshot, find_snapshot, open_snapshot
from ganatomy.data.samples import Sample
from ganatomy.data.store import Store
from ganatomy.errors import Refused
from ganatomy.evaluation.images.comparison import resolve_store
from ganatomy.evaluation.rejection import DrawFunction, reject_samples_above, reject_worst_samples
from ganatomy.exporting.export import write_samples
from ganatomy.library.arguments import check_above_zero, parse_share
from ganatomy.library.example import get_example_model
from ganatomy.library.images import SyntheticImage, describe_images
from ganatomy.library.samples import Samples
from ganatomy.machine.choices import Precision

SCORING_ROLES = (GENERATOR_ROLE, "discriminator")  # networks that the score for artefacts uses, if they are there

Given = Snapshot | str | PathLike[str]
Conditions = Mapping[str, str] | Sequence[Mapping[str, str]] | None


@overload
def sample(
    run: Given | None = None,
    n: int = 16,
    seed: int = 0,
    condition: Conditions = None,
    truncation: float | None = None,
    batch_size: int = 8,
    device: str | None = None,
    first: int = 0,
    planes: int | None = None,
    precision: Precision = "float32",
    *,
    out: None = None,
    to: None = None,
    spacing: None = None,
    date: None = None,
    reject_worst: float | str | None = None,
    reject_above: float | None = None,
    store: Store | str | PathLike[str] | None = None,
) -> Iterator[tuple[SyntheticImage, dict[str, Any]]]: ...
@overload
def sample(
    run: Given | None = None,
    n: int = 16,
    seed: int = 0,
    condition: Conditions = None,
    truncation: float | None = None,
    batch_size: int = 8,
    device: str | None = None,
    first: int = 0,
    planes: int | None = None,
    precision: Precision = "float32",
    *,
    out: str | PathLike[str],
    to: str | None = None,
    spacing: float | None = None,
    date: str | None = None,
    reject_worst: float | str | None = None,
    reject_above: float | None = None,
    store: Store | str | PathLike[str] | None = None,
) -> Samples: ...
def sample(
    run: Given | None = None,
    n: int = 16,
    seed: int = 0,
    condition: Conditions = None,
    truncation: float | None = None,
    batch_size: int = 8,
    device: str | None = None,
    first: int = 0,
    planes: int | None = None,
    precision: Precision = "float32",
    *,
    out: str | PathLike[str] | None = None,
    to: str | None = None,
    spacing: float | None = None,
    date: str | None = None,
    reject_worst: float | str | None = None,
    reject_above: float | None = None,
    store: Store | str | PathLike[str] | None = None,
) -> Iterator[tuple[SyntheticImage, dict[str, Any]]] | Samples:
    """Draw images one after another, each with the record of how it was made, or write them to a folder.

    Args:
        run: a run, a snapshot or a bundle: a path, or what was opened; None = the example model of the package.
        n: how many images.
        seed: image `first + i` of a seed is always the same.
        condition: wanted facts, such as ``{"view_position": "MLO"}``; those not named are taken in turn. Facts that a
            canonical image does not show, such as the laterality of a breast, may be named too. Of a number, such as
            ``{"age": "63.5"}``, a range ``50..70`` is drawn from evenly, and one that is not named is drawn from the
            training distribution. A list has the wanted facts of each image.
        truncation: t > 0 = latent numbers within -t to t standard deviations: less variety, fewer failures. None = all.
        batch_size: images a pass on a GPU, halved where they do not fit into its memory. On a processor every pass has
            one image, so that rounding cannot depend on the batch.
        device: where to compute; None = a GPU if there is one.
        first: number of the first image.
        planes: number of planes of a volume to generate at a time, with the same result to rounding and in bounded
            memory; None = all.
        precision: ``float32``, ``tf32`` (NVIDIA), ``bfloat16`` or ``float16``: how the generator computes. The record
            of an image has it, if it is not float32.
        out: folder to write to, new or empty; None = nothing is written.
        to: format of the files: ``png`` (16 bit), ``nifti``, ``npy`` or ``dicom``; None = the modality's default.
        spacing: pixel spacing in mm of the files, if the training images had none.
        date: date of the DICOM studies as YYYYMMDD; None = today.
        reject_worst: discard this share of samples with the most artefacts, such as 0.05, and draw others instead.
        reject_above: discard samples whose score for artefacts is above this, such as 1, and draw others instead.
        store: the training set, for `reject_worst` and `reject_above`; None = that of the run.

    Returns:
        Without `out`, an iterator of pairs: the image in [-1, 1], canonically oriented, and its record: snapshot hash,
        seed, index, condition. With `out`, the folder, opened.

    Raises:
        Refused: an unknown fact or value; a number that must be above zero and is not; a truncation or `planes` that
            the model cannot make; a format that the modality is not written in; or there is no memory for one image.

    Example:
        >>> import ganatomy
        >>> run = "runs/00000-pggan-mammogram"
        >>> for image, record in ganatomy.sample(run, 2, seed=7, condition={"view_position": "MLO"}):
        ...     print(image.shape, record["seed"], record["index"], record["view_position"])
        (20, 16) 7 0 MLO
        (20, 16) 7 1 MLO
        >>> ganatomy.sample(run, 4, out="samples", to="png")
        <4 samples in samples, mammogram>
    """
    check_above_zero(n=n, truncation=truncation, spacing=spacing, batch_size=batch_size, reject_above=reject_above)
    if out is None and (given := [name for name, value in (("to", to), ("date", date)) if value is not None]):
        raise Refused(f"{given[0]} says how files are written, and no folder is given for them: give out as well.")
    rejects = reject_worst is not None or reject_above is not None
    snapshot = _resolve_snapshot(get_example_model() if run is None else run, rejects)

    def draw(count: int) -> Iterator[Sample]:
        how = (truncation, batch_size, device, first, planes, precision)
        return sampling.sample(snapshot, count, seed, condition, *how)

    drawn = draw(n)
    if rejects:
        drawn = _reject(snapshot, n, reject_worst, reject_above, store, draw)
    if out is None:
        return ((image, dict(image.provenance)) for image in describe_images(drawn, snapshot.modality))
    write_samples(drawn, n, snapshot.modality, Path(out), to, date, spacing)
    return Samples(Path(out))


def _resolve_snapshot(run: Given, rejects: bool) -> Snapshot:
    """The snapshot that was given or of a path; to reject samples, with the networks that score them."""
    if isinstance(run, Snapshot):
        return run if not rejects or SCORING_ROLES[1] in run.weights else open_snapshot(run.path, SCORING_ROLES)
    return open_snapshot(find_snapshot(Path(run)), SCORING_ROLES if rejects else (GENERATOR_ROLE,))


def _reject(
    snapshot: Snapshot,
    n: int,
    worst: float | str | None,
    above: float | None,
    store: Store | str | PathLike[str] | None,
    draw: DrawFunction,
) -> Iterator[Sample]:
    """Draw more than `n` samples and leave out those with artefacts.

    Raises:
        Refused: both ways to choose are given, or the model does not record its training set and none is given.
    """
    if worst is not None and above is not None:
        raise Refused("--reject-worst and --reject-above are two ways to choose; give one of them.")
    share = None if worst is None else parse_share(worst, "--reject-worst")
    training = resolve_store(Path(str(snapshot.path)), store)
    if share is not None:
        return reject_worst_samples(snapshot, training, n, share, draw)
    assert above is not None, "one of them was given"
    return reject_samples_above(snapshot, training, n, above, draw)
