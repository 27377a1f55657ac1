"""Synthetic images of a model as a dataset: image i of a seed is made when it is asked for."""

from collections.abc import Sequence
from os import PathLike

from ganatomy.channels import list_label_names
from ganatomy.datasets.image_dataset import Element, ImageDataset, Transform
from ganatomy.errors import Refused
from ganatomy.library.arguments import Facts, FactValue, check_above_zero, join_conditions
from ganatomy.library.model import Model
from ganatomy.sampling import sample


class SyntheticDataset(ImageDataset):
    """Images of a model that need no disk: number i of a seed is the same in any order, process and epoch.

    Args:
        model: a model, or the path of a run, snapshot or bundle.
        seed: of the latent codes.
        n: how many images.
        condition: facts that images are to have, as in `ganatomy.sample`; a list has those of each image.
        first: number of the first image.
        truncation: as in `ganatomy.sample`.
        planes: as in `ganatomy.sample`.
        device: where images are made. The processes of a DataLoader cannot share a GPU that is in use, so ``cpu`` is
            the default; give ``cuda`` with ``num_workers=0``.
        transform: as in `ImageDataset`.
        facts: facts of all images by name, such as ``view_position="MLO"``.

    Raises:
        Refused: there is no model, it has no such fact or value, or an argument is out of its range.

    Example:
        >>> import ganatomy
        >>> dataset = ganatomy.SyntheticDataset("runs/00000-pggan-mammogram", seed=5, n=8, view_position="CC")
        >>> len(dataset), dataset[3]["image"].shape, dataset[3]["facts"]["view_position"], dataset[3]["number"]
        (8, torch.Size([1, 20, 16]), 'CC', 3)
    """

    def __init__(
        self,
        model: Model | str | PathLike[str],
        seed: int = 0,
        n: int = 1000,
        *,
        condition: Facts | Sequence[Facts] | None = None,
        first: int = 0,
        truncation: float | None = None,
        planes: int | None = None,
        device: str | None = "cpu",
        transform: Transform | None = None,
        **facts: FactValue,
    ) -> None:
        super().__init__(transform)
        check_above_zero(n=n)
        self.model = model if isinstance(model, Model) else Model(model)
        self.seed, self.first, self.truncation, self.planes, self.device = seed, first, truncation, planes, device
        self._n, self._wanted = n, join_conditions(condition, facts)
        if isinstance(self._wanted, Sequence) and len(self._wanted) != n:
            raise Refused(f"Facts of {len(self._wanted)} images are given for {n}; give those of each image.")
        self.modality, self.shape = self.model.modality, self.model.shape
        self.fact_names = tuple(sorted(self.model.conditions))
        self.classes = list_label_names(self.model.recipe.channels)
        checked = n if isinstance(self._wanted, Sequence) else 1  # nothing is made yet
        sample(self.model.snapshot, checked, seed, self._wanted, truncation, device=device, first=first, planes=planes)

    def __len__(self) -> int:
        return self._n

    def _find_wanted(self, i: int) -> Facts | None:
        return self._wanted[i] if isinstance(self._wanted, Sequence) else self._wanted

    def read(self, i: int) -> Element:
        """Make image number `first + i` of the seed."""
        made = self.model.sample(
            1,
            self.seed,
            condition=self._find_wanted(i),
            first=self.first + i,
            truncation=self.truncation,
            planes=self.planes,
            device=self.device,
        )[0]
        return Element(made, True, made.number)
