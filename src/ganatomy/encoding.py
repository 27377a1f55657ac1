"""Encoding of images: latent codes found by an encoder, and their reconstructions by the generator."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from ganatomy.channels import describe_channels
from ganatomy.checkpoint import Snapshot, resolve_snapshot
from ganatomy.data.cases import Cases
from ganatomy.data.feed import check_store_for_model
from ganatomy.data.split import SPLITS
from ganatomy.data.store import Store, dequantise_pixels, resolve_store
from ganatomy.data.tables import check_table_name, write_table
from ganatomy.errors import Refused
from ganatomy.imaging import pictures
from ganatomy.imaging.caption import add_caption
from ganatomy.imaging.derived import write_derived_image
from ganatomy.imaging.image import Image
from ganatomy.imaging.marking import mark_side_by_side
from ganatomy.machine import progress
from ganatomy.machine.device import select_device as named_device
from ganatomy.machine.places import remove_leftovers
from ganatomy.machine.progress import format_name
from ganatomy.modalities import table as modalities
from ganatomy.objectives.phase import Networks
from ganatomy.recipes import RECIPES, get_recipe
from ganatomy.steps.condition import Condition

PIXEL_RANGE = 2.0  # pixels lie in [-1, 1]: the peak of the PSNR and the range of the SSIM
CASES_SHOWN = 8  # number of cases in the picture

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class EncodedCase:
    """A case with its code z = E(x), its reconstruction G(z), and the similarity of G(z) to x.

    Args:
        case: row of the store.
        z: latent code (latent,).
        original: x, voxels in [-1, 1].
        reconstruction: G(z), likewise.
        ssim: structural similarity with a 7-voxel window (Wang 2004), for a value range of 2.
        psnr: 10 log₁₀(2² / mean squared error), in dB.
    """

    case: dict[str, Any]
    z: np.ndarray[Any, Any]
    original: np.ndarray[Any, Any]
    reconstruction: np.ndarray[Any, Any]
    ssim: float
    psnr: float


def encode(
    run: Snapshot | str | PathLike[str],
    store: Store | str | PathLike[str],
    out: str | PathLike[str] = "features.csv",
    split: str | None = None,
    n: int | None = None,
    device: str | None = None,
    to: str | None = None,
) -> int:
    """Write a table of features with one row per case, and a picture of originals beside reconstructions.

    A row has the case's file, patient (a pseudonym), split and facts, the SSIM and PSNR (dB) of its reconstruction, and
    its latent code as ``z0000`` and so on.

    Args:
        run: a run, a snapshot or a bundle: a path, or a snapshot that was opened with all its networks. It must have
            encoders.
        store: the images, at the snapshot's shape or larger.
        out: ``.parquet`` or ``.csv``; the picture gets the same name with ``.png``.
        split: ``train``, ``validation`` or ``test``; None = all.
        n: largest number of cases; None = all.
        device: ``cpu``, ``cuda`` and so on; None = a GPU if there is one.
        to: ``nifti`` (volumes) or ``png`` (2D images), to write the reconstructions into a folder beside the table.

    Returns:
        The number of rows.

    Raises:
        Refused: the snapshot has no encoder, the store does not fit, `out` has another suffix, or it is Parquet and
            the extra ``parquet`` is not installed.

    Example:
        >>> import ganatomy
        >>> recipe = ganatomy.RECIPES["vae"]().make_tiny().replace(shape=(80, 64), total_kimg=0.04)
        >>> run = ganatomy.train(recipe, "store", "runs")
        >>> ganatomy.encode(run, "store", "features.csv", split="test")
        4
    """
    out = Path(out)
    check_table_name(out)
    snapshot, store = resolve_snapshot(run), resolve_store(store)
    rows: list[dict[str, Any]] = []
    shown: list[pictures.GreyPicture] = []
    kind = modalities.get_modality(store.manifest.modality)()
    if to not in (None, kind.formats[0]):
        raise Refused(f"--to {to}: reconstructions of {kind.name} are written as {kind.formats[0]}.")
    cases = select_cases(snapshot, store, split, n)
    remove_leftovers(out.with_suffix(""))
    with progress.bar("encoding", len(cases)) as bar:
        for number, one in enumerate(encode_cases(snapshot, store, cases, device)):
            rows.append(_make_row(one))
            image = Image(one.reconstruction, one.case["spacing"] and tuple(one.case["spacing"]), one.case["facts"])
            if len(shown) < 2 * CASES_SHOWN:
                shown += [
                    kind.render_image(kind.denormalise(image.copy_with(pixels=p)))
                    for p in (one.original, one.reconstruction)
                ]
            if to is not None:
                record = {"reconstruction_by": snapshot.digest, "row": one.case["row"]}
                stem = out.with_suffix("") / f"{number:06d}"
                write_derived_image(stem, kind.denormalise(image), record, store.shows_patients)
            bar.advance()
    write_table(rows, out)
    sheet = add_caption(pictures.make_grid(shown, 2), store.shows_patients)
    mark = mark_side_by_side({"reconstruction_by": snapshot.digest}, store.shows_patients)
    pictures.save_png(sheet, out.with_suffix(".png"), mark)
    return len(rows)


def encode_cases(snapshot: Snapshot, store: Store, cases: Cases, device: str | None = None) -> Iterator[EncodedCase]:
    """Encode and reconstruct cases of a store one after another."""
    coder = Autoencoder(snapshot, device)
    for case in cases:
        original = read_original(store, case, snapshot)
        z = coder.encode(original, case["facts"])
        made = coder.decode(z, case["facts"])
        yield EncodedCase(case, z, original, made, compute_ssim(original, made), compute_psnr(original, made))


class Autoencoder:
    """Maps images to latent codes by the encoders of a snapshot, and codes to images by its generator.

    Raises:
        Refused: the snapshot has no encoder.
    """

    def __init__(self, snapshot: Snapshot, device: str | None = None) -> None:
        check_encoder(snapshot)
        check_one_image(snapshot)
        assert snapshot.recipe.encoding_objective is not None
        self._snapshot, self._encoding, self._device = (
            snapshot,
            snapshot.recipe.encoding_objective,
            named_device(device),
        )
        roles = ("generator", *self._encoding.encoder_roles)
        self._networks = Networks({role: snapshot.load_network(role, self._device) for role in roles})

    def encode(self, pixels: Pixels, facts: Mapping[str, str]) -> Pixels:
        """Compute the latent code (latent,) of an image in [-1, 1] with these facts."""
        image = torch.from_numpy(self._snapshot.convert_to_network(pixels))[None, None].to(self._device)
        with torch.inference_mode():
            return self._encoding.encode(self._networks, image, self._condition(facts))[0].cpu().numpy()

    def decode(self, z: Pixels, facts: Mapping[str, str]) -> Pixels:
        """Generate the image of a code with these facts; its values lie approximately in [-1, 1]."""
        code = torch.from_numpy(z)[None].to(self._device)
        with torch.inference_mode():
            made = self._networks["generator"](code, self._condition(facts), self._snapshot.scope)[0]
        return self._snapshot.convert_from_network(made[0, 0].float().cpu().numpy())

    def _condition(self, facts: Mapping[str, str]) -> Condition:
        return self._snapshot.recipe.condition_space.encode([facts]).to(self._device)


def read_original(store: Store, case: dict[str, Any], snapshot: Snapshot) -> Pixels:
    """Read a case of a store at the size of a snapshot's images, in [-1, 1]."""
    return dequantise_pixels(store.read([case["row"]], store.find_level(snapshot.recipe.shape))[0])


def compute_ssim(a: Pixels, b: Pixels) -> float:
    """Compute the structural similarity of two images in [-1, 1] with a 7-voxel window (Wang 2004)."""
    return float(structural_similarity(a, b, data_range=PIXEL_RANGE))


def compute_psnr(a: Pixels, b: Pixels) -> float:
    """Compute the peak signal-to-noise ratio in dB of two images in [-1, 1], with a peak of 2."""
    return 10 * float(np.log10(PIXEL_RANGE**2 / max(float(np.mean((a - b) ** 2)), 1e-12)))


def check_encoder(snapshot: Snapshot) -> None:
    """Refuse a snapshot without an encoder."""
    if snapshot.recipe.encoding_objective is None:
        raise Refused(f"{snapshot.path} has no encoder. {_advise_encoder(snapshot)}")


def check_one_image(snapshot: Snapshot) -> None:
    """Refuse a snapshot whose networks take more than an image.

    Raises:
        Refused: it makes an image together with a label map.
    """
    if snapshot.recipe.space.channels > 1:
        raise Refused(
            f"{snapshot.path} was trained on {describe_channels(snapshot.recipe.channels)} together, and an image alone"
            " is given to its networks here; train a model on a store that was prepared without --labels."
        )


def _advise_encoder(snapshot: Snapshot) -> str:
    """Say how to obtain an encoder: train one for this generator, or use a recipe that includes one."""
    generator = snapshot.recipe.networks["generator"]
    encoding = [recipe for recipe in map(get_recipe, RECIPES) if recipe.encoding_objective is not None]
    fitting = [
        recipe.name
        for recipe in encoding
        if "generator" in recipe.pretrained_roles and generator.can_replace(recipe.networks["generator"])
    ]
    complete = [recipe.name for recipe in encoding if not recipe.pretrained_roles]
    train = [f"Train one: ganatomy train {name} STORE --generator {snapshot.path}." for name in fitting]
    return " ".join([*train, f"These recipes have one from the start: {', '.join(complete)}."])


def select_cases(snapshot: Snapshot, store: Store, split: str | None, n: int | None) -> Cases:
    """Select at most n cases of a split; refuses a snapshot without encoders and a store that does not fit it."""
    recipe = snapshot.recipe
    check_encoder(snapshot)
    check_store_for_model(store, recipe.shape, recipe.channels, recipe.condition_space)
    if split is not None and split not in SPLITS:
        raise Refused(f"--split {split}: give {', '.join(SPLITS)}.")
    return (store.cases if split is None else store.split(split))[:n]


def _make_row(encoded_case: EncodedCase) -> dict[str, Any]:
    case = encoded_case.case
    told = {"file": format_name(case["file"]), "patient": case["patient"], "split": case["split"], **case["facts"]}
    measured = {"ssim": round(encoded_case.ssim, 5), "psnr": round(encoded_case.psnr, 3)}
    return {**told, **measured, **{f"z{i:04d}": float(v) for i, v in enumerate(encoded_case.z)}}
