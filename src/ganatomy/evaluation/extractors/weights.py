"""The known files of pretrained weights, their sources, and their verification.

Nothing is downloaded. A file is read only if its SHA-256 is known, and only as tensors, without pickled code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ganatomy.errors import Refused
from ganatomy.machine.durable import compute_sha256


@dataclass(frozen=True)
class KnownWeights:
    """A published file of pretrained weights.

    Args:
        file: the file's name.
        digest: SHA-256 of the file, or as many of its first hexadecimal digits as the publisher states.
        source: where the file is published, in words, because addresses of pages change.
        licence: the licence of the weights.
    """

    file: str
    digest: str
    source: str
    licence: str


def _list_med3d(depth: int, first: str, second: str) -> tuple[KnownWeights, ...]:
    where = f"Hugging Face, repository TencentMedicalNet/MedicalNet-Resnet{depth}"
    return (
        KnownWeights(f"resnet_{depth}.pth", first, where, "MIT"),
        KnownWeights(f"resnet_{depth}_23dataset.pth", second, where, "MIT"),
    )


KNOWN_WEIGHTS: dict[str, tuple[KnownWeights, ...]] = {
    "med3d-10": _list_med3d(
        10,
        "2824951eaef30e115929b89bec72342380b08d14792bda1449974ac849e497c0",
        "afa8055f3e47f4a18239495d92a7abc587902c69c31c743de2b2784653b72605",
    ),
    "med3d-18": _list_med3d(
        18,
        "38b3a17444c5c18a795355a868e6a2d9ce9318054067f5373d337f55c0f61da3",
        "61224f9317fcce873366deb3703183e92cc47325b726b69691b33536244e10f4",
    ),
    "med3d-34": _list_med3d(
        34,
        "977a1be79298602fa35980de9c03789229ad36087fb1f4d9bde468aec653c658",
        "3ea7188e396774e4ef95b66e5e90a78273bb33f6e58d3d717bf24f5f1aaeaa28",
    ),
    "med3d-50": _list_med3d(
        50,
        "5b6189cafbee2f5604a7279b62bc163365aa6a86a377e1dc260a14275cacbd84",
        "ff48a62219073fb977fd3f4ddfb8dc1367f0ec156c8d6f6c37e205bd683a246e",
    ),
    "inception-2015": (
        KnownWeights(
            "pt_inception-2015-12-05-6726825d.pth", "6726825d", "GitHub, releases of mseitzer/pytorch-fid", "Apache-2.0"
        ),
    ),
    "dinov2-s": (
        KnownWeights("dinov2_vits14_pretrain.pth", "b938bf1b", "GitHub, facebookresearch/dinov2", "Apache-2.0"),
    ),
    "dinov2-b": (
        KnownWeights("dinov2_vitb14_pretrain.pth", "0b8b82f8", "GitHub, facebookresearch/dinov2", "Apache-2.0"),
    ),
    "dinov2-l": (
        KnownWeights("dinov2_vitl14_pretrain.pth", "d5383ea8", "GitHub, facebookresearch/dinov2", "Apache-2.0"),
    ),
}


def read_weights(name: str, file: Path | None) -> tuple[dict[str, Tensor], str]:
    """Read tensors by name; return them with the SHA-256 of the file.

    Raises:
        Refused: no file is given, or the file is missing, unknown or not readable as tensors.
    """
    known = KNOWN_WEIGHTS[name]
    told = " or ".join(f"{one.file} (SHA-256 {one.digest[:16]}; {one.source}; {one.licence})" for one in known)
    if file is None:
        raise Refused(f"The extractor {name} needs --weights FILE: {told}. Nothing is downloaded.")
    if not file.is_file():
        raise Refused(f"There is no file {file}. The extractor {name} takes {told}.")
    digest = compute_sha256(file)
    if not any(digest.startswith(one.digest) for one in known):
        raise Refused(f"{file} has SHA-256 {digest[:16]}, which is not that of {told}.")
    return read_tensors(file), digest


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a file without running code that it may contain.

    Raises:
        Refused: it is not a file of tensors.
    """
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of many kinds for files that are not weights
        raise Refused(f"{file} cannot be read as weights: {str(error).splitlines()[0]}") from error
    content = content.get("state_dict", content)
    return {name.removeprefix("module."): value for name, value in content.items()}


def load_weights(network: torch.nn.Module, weights: dict[str, Tensor], ignored: tuple[str, ...] = ()) -> None:
    """Load weights by name; refuse missing and unknown names, except those that begin with a prefix in `ignored`."""
    result = network.load_state_dict(weights, strict=False)
    wrong = [
        name
        for name in (*result.missing_keys, *result.unexpected_keys)
        if not name.startswith(ignored or ("\0",)) and not name.endswith("num_batches_tracked")
    ]
    if wrong:
        raise Refused(f"The weights do not fit the network: {len(wrong)} names differ, such as {wrong[0]}.")
