"""Snapshots of a model and checkpoints of a training: folders of safetensors files with a JSON file of their hashes.

Nothing that is loaded can run code. The JSON is written last and the folder is renamed into place, so that a folder is
either complete or absent. A changed byte is detected by the hashes of the tensors' files and of the JSON itself.
"""

import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError
from safetensors.torch import load, load_file
from torch import Tensor, nn

from ganatomy.config import Config, explain_validation_error
from ganatomy.errors import Diverged, Refused
from ganatomy.machine.durable import compute_sha256, hash_json, new_folder, read_json, write_json
from ganatomy.machine.sealed_zip import check_sealed_zip
from ganatomy.modalities.table import get_modality
from ganatomy.recipes.recipe import Recipe
from ganatomy.steps.scope import Scope

Folder = Path | zipfile.Path  # of a snapshot: on the disk, or in a bundle

FORMAT_VERSION = 1
META_FILE = "meta.json"
BUNDLE_FORMAT = 1
BUNDLE_FILE, SNAPSHOT_FOLDER = "bundle.json", "snapshot"  # members of a bundle (`exporting.publish`)
META_HASH = "meta_sha256"  # hash of the rest of the file; version 0.1.0 wrote none
GENERATOR_ROLE = "generator"
ORIGINS = ("began_from", "imported")  # of a snapshot's meta: where the weights of a training came from
UNKNOWN_STORE = "unknown"  # fingerprint of a training set that was never a store of ours
SAFETENSORS_TYPES = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class DamagedError(Exception):
    """A folder of tensors that is incomplete or has changed since it was written."""


def save_tensors(folder: Path, files: Mapping[str, Mapping[str, Tensor]], meta: Mapping[str, Any]) -> None:
    """Write tensors by file name, and `meta` with the hash of each file, as one folder that is complete or absent.

    Raises:
        Diverged: a number is not finite; nothing is written.
    """
    if not all(torch.isfinite(tensor).all() for tensors in files.values() for tensor in tensors.values()):
        raise Diverged("the weights or the optimiser's moments")
    with new_folder(folder) as temporary:
        hashes = {}
        for name, tensors in files.items():
            file = temporary / f"{name}.safetensors"
            _write(file, tensors)
            hashes[name] = compute_sha256(file)
        _write_meta(temporary, hashes, meta)


def _write_meta(folder: Path, hashes: Mapping[str, str], meta: Mapping[str, Any]) -> None:
    written = {"format": FORMAT_VERSION, "sha256": hashes, **meta}
    write_json(folder / META_FILE, {**written, META_HASH: hash_json(written)})


def _write(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write the safetensors format one tensor after another; the library's own writer holds a copy of all of them.

    The format has eight bytes with the length of the header, a JSON header of types, shapes and offsets, and then the
    numbers, little-endian and without gaps.
    """
    header: dict[str, Any] = {}
    end = 0
    for key, value in tensors.items():
        begin, end = end, end + value.numel() * value.element_size()
        header[key] = {
            "dtype": SAFETENSORS_TYPES[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [begin, end],
        }
    header_bytes = json.dumps(header).encode()
    header_bytes += b" " * (-len(header_bytes) % 8)
    with file.open("wb") as out:
        out.write(len(header_bytes).to_bytes(8, "little") + header_bytes)
        for value in tensors.values():
            flat = value.detach().cpu().contiguous().flatten()
            out.write(flat.view(torch.uint8).numpy().data)


def load_tensors(
    folder: Folder, names: tuple[str, ...] | None = None
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Read tensors by file name, and the meta; `names` limits what is read.

    Raises:
        DamagedError: a file is missing, or the hash of a file or of the meta differs from the recorded one.
        Refused: the folder was written by a newer version.
    """
    try:
        meta = _read_meta(folder)
        files = {}
        for name, written in meta["sha256"].items():
            if names is None or name in names:
                file = folder / f"{name}.safetensors"
                if Path(name).name != name:
                    raise DamagedError(f"{folder / META_FILE} names a file elsewhere, {name!r}")
                if compute_sha256(file) != written:
                    raise DamagedError(f"{file} has changed since it was written: its SHA-256 differs")
                files[name] = load_file(file) if isinstance(file, Path) else load(file.read_bytes())
        return files, meta
    except (OSError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        raise DamagedError(f"{folder}: {type(error).__name__}: {error}") from error


def _read_meta(folder: Folder) -> dict[str, Any]:
    try:
        meta = read_json(folder / META_FILE)
    except Refused as error:
        raise DamagedError(str(error).partition(";")[0]) from error
    if meta["format"] > FORMAT_VERSION:
        raise Refused(
            f"{folder} has format {meta['format']} and this version reads up to {FORMAT_VERSION}; update ganatomy."
        )
    written = {name: value for name, value in meta.items() if name != META_HASH}
    if META_HASH in meta and meta[META_HASH] != hash_json(written):
        raise DamagedError(f"{folder / META_FILE} has changed since it was written: its SHA-256 differs")
    return meta


def list_numbered_folders(folder: Path) -> list[Path]:
    """List the snapshots or checkpoints in a folder, in the order of images seen."""
    return sorted(path for path in folder.glob("[0-9]*") if (path / META_FILE).exists())


# ----------------------------------------------------------------------------------------------------------------------
# A snapshot, which suffices to sample without the run.


@dataclass(frozen=True)
class Snapshot:
    """A trained generator with its recipe and origin.

    Args:
        path: its folder.
        recipe: the recipe of its run.
        images: number of real images shown to the discriminator before it was saved.
        seed: seed of the run; with `images` it determines the scope for which the weights are trained.
        modality: name of the modality of its images.
        spacing: millimetres per pixel of a sample at the recipe's full shape, the median of the training set; None if
            unknown.
        digest: SHA-256 of the weights.
        trained_on: fingerprint and counts of the store; nothing about persons.
        constant_facts: facts of which all training images had one and the same value.
        weights: tensors by role and name; the generator, and the encoders where there are any.
        is_sealed: whether a hash covers spacing, counts and facts, too; version 0.1.0 wrote none.
        value_range: the modality's values that -1 and 1 stand for in the networks; None = those of our stores.
        origin: ``began_from``, the model whose weights its training began with, and ``imported``, the files that its
            weights were read from; empty for a model that was trained from nothing.
    """

    path: Folder
    recipe: Recipe
    images: int
    seed: int
    modality: str
    spacing: tuple[float, ...] | None
    digest: str
    trained_on: dict[str, Any]
    constant_facts: dict[str, tuple[str, ...]]
    weights: dict[str, dict[str, Tensor]]
    is_sealed: bool = True
    value_range: tuple[float, float] | None = None
    origin: dict[str, Any] = field(default_factory=dict)
    _kept: dict[tuple[str, torch.device], nn.Module] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def describe_ancestry(self) -> dict[str, Any]:
        """Describe this snapshot for models that begin from it: hash, recipe, training set, and its own origin."""
        return {
            "snapshot_sha256": self.digest,
            "recipe": self.recipe.name,
            "kimg": self.images / 1000,
            "modality": self.modality,
            "trained_on": self.trained_on["fingerprint"],
            **self.origin,
        }

    def load_network(self, role: str, device: torch.device) -> nn.Module:
        """Build a network of the snapshot with its weights, in evaluation mode.

        Raises:
            Refused: it has no weights of that role, or they are not those of the recipe.
        """
        if (role, device) in self._kept:
            return self._kept[role, device]
        if role not in self.weights:
            raise Refused(
                f"The snapshot {self.path} holds no {role}, only {', '.join(self.weights)}; use one that does."
            )
        config, weights = self.recipe.networks[role], self.weights[role]
        with torch.device("meta"):  # an edited recipe may request more memory than there is
            expected = {name: tensor.shape for name, tensor in config.build(self.recipe.space).state_dict().items()}
        if expected != {name: tensor.shape for name, tensor in weights.items()}:
            raise Refused(
                f"The weights of the {role} in the snapshot {self.path} are not those of its recipe: it is damaged, or"
                " version 0.1 wrote it for a size whose networks have become smaller; use another, or that version."
            )
        network = config.build(self.recipe.space)
        network.load_state_dict(weights)
        return network.to(device).eval().requires_grad_(False)

    def keep_network(self, role: str, device: torch.device) -> None:
        """Build a network once; `load_network` gives the same one from then on."""
        self._kept[role, device] = self.load_network(role, device)

    def convert_from_network(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert generated images to the value range of our stores, and clip them to it."""
        if self.value_range is None:
            return pixels
        return np.clip(_change_range(pixels, self.value_range, get_modality(self.modality).value_range), -1, 1)

    def convert_to_network(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert images of our stores to the value range of the networks, and clip them to it."""
        if self.value_range is None:
            return pixels
        return np.clip(_change_range(pixels, get_modality(self.modality).value_range, self.value_range), -1, 1)

    @property
    def scope(self) -> Scope:
        """The scope of the generator's images; for an early snapshot of progressive growing it is a smaller level."""
        return self.recipe.get_sampling_scope(self.images)

    @property
    def is_full_size(self) -> bool:
        """Whether the generator makes images of the recipe's full size."""
        return self.scope == self.recipe.get_final_scope()


def _change_range(
    pixels: NDArray[np.float32], old: tuple[float, float], new: tuple[float, float]
) -> NDArray[np.float32]:
    """Convert pixels in which -1 and 1 mean the values `old` to pixels in which they mean the values `new`."""
    factor = (old[1] - old[0]) / (new[1] - new[0])
    shift = (old[0] + old[1] - new[0] - new[1]) / (new[1] - new[0])
    return (pixels * np.float32(factor) + np.float32(shift)).astype(np.float32)


def save_snapshot(folder: Path, networks: Mapping[str, nn.Module], recipe: Recipe, metadata: Mapping[str, Any]) -> None:
    """Write networks by role with their recipe; `metadata` has images, seed, modality, spacing and trained_on."""
    save_weights(folder, {role: dict(network.state_dict()) for role, network in networks.items()}, recipe, metadata)


def save_weights(
    folder: Path, weights: Mapping[str, Mapping[str, Tensor]], recipe: Recipe, metadata: Mapping[str, Any]
) -> None:
    """Write a snapshot from tensors by role and name; roles other than the generator may be missing."""
    save_tensors(folder, weights, _describe_model(recipe, metadata))


def copy_snapshot(snapshot: Snapshot, folder: Path, roles: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write a snapshot again with some of its networks, byte for byte, and other metadata."""
    with new_folder(folder) as temporary:
        hashes = {}
        for role in roles:
            name = f"{role}.safetensors"
            with (snapshot.path / name).open("rb") as source, (temporary / name).open("wb") as target:
                shutil.copyfileobj(source, target)
            hashes[role] = compute_sha256(temporary / name)
        _write_meta(temporary, hashes, _describe_model(snapshot.recipe, metadata))


def _describe_model(recipe: Recipe, metadata: Mapping[str, Any]) -> dict[str, Any]:
    use = "Research on synthetic images. Not for diagnosis. Samples are synthetic and must be marked so."
    return {"recipe": recipe.model_dump(mode="json"), "intended_use": use, **metadata}


class _TrainedOn(Config):
    """The part of a snapshot's description of its training set that is used."""

    model_config = ConfigDict(extra="allow")

    fingerprint: str
    facts: dict[str, dict[str, int]]


class _SnapshotMeta(Config):
    """The metadata of a snapshot; they are validated, since the file may have been edited."""

    model_config = ConfigDict(extra="allow")

    recipe: Recipe
    images: int = Field(ge=0)
    seed: int
    modality: str
    spacing: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None
    value_range: (
        tuple[Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]] | None
    ) = None
    trained_on: _TrainedOn
    sha256: dict[str, str]


def open_snapshot(folder: Folder, roles: tuple[str, ...] | None = (GENERATOR_ROLE,)) -> Snapshot:
    """Read a snapshot with the networks of the given roles; None = all.

    Raises:
        Refused: the folder is not a snapshot, is damaged, or was written by a newer version.
    """
    if not (folder / META_FILE).exists():
        raise Refused(f"{folder} is not a snapshot; the snapshots of a run are in RUN/snapshots/.")
    try:
        files, written = load_tensors(folder, roles)
        meta = _SnapshotMeta.model_validate(written)
        if meta.spacing is not None and len(meta.spacing) != len(meta.recipe.shape):
            raise DamagedError(f"a spacing of {len(meta.spacing)} numbers for {len(meta.recipe.shape)} axes")
        return Snapshot(
            folder,
            meta.recipe,
            meta.images,
            meta.seed,
            meta.modality,
            meta.spacing,
            meta.sha256[GENERATOR_ROLE],
            written["trained_on"],
            {name: tuple(counts) for name, counts in meta.trained_on.facts.items() if len(counts) == 1},
            files,
            META_HASH in written,
            meta.value_range,
            {name: written[name] for name in ORIGINS if written.get(name) is not None},
        )
    except ValidationError as error:
        why = explain_validation_error(error, _SnapshotMeta)
        raise Refused(f"The snapshot {folder} is damaged ({why}); use another snapshot of the run.") from error
    except (DamagedError, KeyError) as error:
        raise Refused(f"The snapshot {folder} is damaged ({error}); use another snapshot of the run.") from error


def resolve_snapshot(given: Snapshot | str | PathLike[str], roles: tuple[str, ...] | None = None) -> Snapshot:
    """The snapshot that is given, or that of a path with the networks of these roles; None = all."""
    return given if isinstance(given, Snapshot) else open_snapshot(find_snapshot(Path(given)), roles)


def find_snapshot(path: Path) -> Folder:
    """Find the snapshot of a path: itself, that of a bundle, or of a run the selected one, otherwise its newest.

    Raises:
        Refused: the path is neither a snapshot nor a bundle nor a run with snapshots, or the bundle was changed.
    """
    if path.is_file():
        return _open_bundle(path)
    if (path / META_FILE).exists():
        return path
    if (path / "selection.json").exists():
        return _find_selected(path)
    found = list_numbered_folders(path / "snapshots")
    if not found:
        raise Refused(f"{path} is neither a snapshot nor a run with snapshots.")
    return found[-1]


def _open_bundle(path: Path) -> zipfile.Path:
    """Open the snapshot of a bundle, which is read without unpacking it."""
    check_sealed_zip(path, "bundle")
    root = zipfile.Path(path)
    about = read_json(root / BUNDLE_FILE)
    if about.get("format", 0) > BUNDLE_FORMAT:
        raise Refused(
            f"{path} is a bundle of format {about['format']} and this version reads up to {BUNDLE_FORMAT}; update"
            " ganatomy."
        )
    return root / SNAPSHOT_FOLDER


def is_model(path: Path) -> bool:
    """Whether a path is a snapshot, a run with snapshots, or a file, which can only be a bundle."""
    return path.is_file() or (path / "snapshots").is_dir() or (path / META_FILE).exists()


def _find_selected(run: Path) -> Path:
    best = str(read_json(run / "selection.json").get("best"))
    every = {folder.name: folder for folder in list_numbered_folders(run / "snapshots")}
    if best not in every:
        raise Refused(f"{run / 'selection.json'} names the snapshot {best!r}, which {run} does not have; select again.")
    return every[best]
