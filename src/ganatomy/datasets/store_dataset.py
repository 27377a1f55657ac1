"""Real images of a store as a dataset."""

from os import PathLike
from typing import Any

from ganatomy.channels import list_label_names, split_arrays
from ganatomy.data.split import SPLITS
from ganatomy.data.store import Store, dequantise_pixels, open_store, resolve_store
from ganatomy.datasets.image_dataset import Element, ImageDataset, Transform
from ganatomy.errors import Refused
from ganatomy.imaging.image import Image
from ganatomy.pyramid import Shape, format_shape, rescale_spacing


class StoreDataset(ImageDataset):
    """The images of a split of a store, read from the disk as they are asked for.

    Args:
        store: a store or its folder.
        split: ``train``, ``validation`` or ``test``; None = all images.
        shape: a stored size; None = the full one.
        transform: as in `ImageDataset`.

    Raises:
        Refused: there is no such split, image or size, or files of the store are gone.

    Example:
        >>> import ganatomy
        >>> dataset = ganatomy.StoreDataset("store", split="train", shape=(40, 32))
        >>> len(dataset), dataset[0]["image"].shape, sorted(dataset[0]["facts"])
        (32, torch.Size([1, 40, 32]), ['laterality', 'view_position'])
    """

    def __init__(
        self,
        store: Store | str | PathLike[str],
        split: str | None = "train",
        shape: Shape | None = None,
        transform: Transform | None = None,
    ) -> None:
        super().__init__(transform)
        self.store = resolve_store(store)
        manifest = self.store.manifest
        if split is not None and split not in SPLITS:
            raise Refused(f"split {split!r}: give {', '.join(SPLITS)}, or None for all images.")
        self.cases = self.store.cases if split is None else self.store.split(split)
        if not self.cases:
            raise Refused(f"The store {self.store.path} has no {split} case; it has {manifest.splits}.")
        self.shape = manifest.shape if shape is None else tuple(shape)
        if self.shape not in manifest.levels:
            levels = ", ".join(format_shape(level) for level in manifest.levels)
            raise Refused(
                f"The store {self.store.path} holds {levels}, not {format_shape(self.shape)}; give one of them."
            )
        self.store.check_files()
        self.modality = manifest.modality
        self.fact_names = tuple(sorted(manifest.facts))
        self.classes = list_label_names(manifest.channels)

    def __len__(self) -> int:
        return len(self.cases)

    def __getstate__(self) -> dict[str, Any]:
        """All but what is open: a worker opens the store again."""
        return {**self.__dict__, "store": (self.store.path.absolute(), self.store.manifest.fingerprint)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        path, fingerprint = state["store"]
        store = open_store(path)
        if store.manifest.fingerprint != fingerprint:
            raise Refused(f"{path} is another store than when the dataset was made; make the dataset again.")
        self.__dict__.update(state, store=store)

    def read(self, i: int) -> Element:
        """Image i of the split.

        Raises:
            Refused: its file is damaged.
        """
        case = self.cases[i]
        values = dequantise_pixels(self.store.read_arrays(case["row"], self.shape))
        pixels, shares = split_arrays(values, self.store.manifest.channels)
        spacing = None if case["spacing"] is None else tuple(case["spacing"])
        spacing = rescale_spacing(spacing, self.store.manifest.shape, self.shape)
        image = Image(pixels, spacing, case["facts"], shares=shares, classes=self.classes)
        return Element(image, False, case["row"], case["patient"])
