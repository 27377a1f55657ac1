"""Real and synthetic images in one dataset, in shares and an order that a seed fixes."""

import math

import numpy as np

from ganatomy import randomness
from ganatomy.datasets.image_dataset import Element, ImageDataset, Transform
from ganatomy.errors import Refused
from ganatomy.pyramid import format_shape


class MixedDataset(ImageDataset):
    """Real images with a share of synthetic ones, as training sets for other models are made of them.

    Which places of the dataset are synthetic is a function of the seed. Each real image comes once before any comes
    twice, and so does each synthetic one. Images have the facts that both datasets know.

    Args:
        real: real images, such as a `StoreDataset`.
        synthetic: synthetic images of the same modality and shape, such as a `SyntheticDataset`.
        share: share of synthetic images in the mixture, from 0 to 1.
        seed: of the order.
        n: how many images; None = every real image once, and as many synthetic ones as make up the share.
        transform: as in `ImageDataset`.

    Raises:
        Refused: modalities, shapes or classes of label maps differ, the share is none, or there are too few synthetic
            images for it.

    Example:
        >>> import ganatomy
        >>> real = ganatomy.StoreDataset("store", shape=(20, 16))
        >>> synthetic = ganatomy.SyntheticDataset("runs/00000-pggan-mammogram", seed=5, n=100)
        >>> mixed = ganatomy.MixedDataset(real, synthetic, share=0.2)
        >>> len(real), len(mixed), sum(item["synthetic"] for item in mixed)
        (32, 40, 8)
    """

    def __init__(
        self,
        real: ImageDataset,
        synthetic: ImageDataset,
        share: float = 0.5,
        seed: int = 0,
        n: int | None = None,
        transform: Transform | None = None,
    ) -> None:
        super().__init__(transform)
        if not 0 <= share <= 1 or (n is not None and n < 1):
            raise Refused(f"share={share}, n={n}: give a share from 0 to 1, and a number of images above zero or None.")
        for what, one, other in (
            ("show", real.modality, synthetic.modality),
            ("have", format_shape(real.shape), format_shape(synthetic.shape)),
            ("have", _describe_classes(real), _describe_classes(synthetic)),
        ):
            if one != other:
                raise Refused(f"The real images {what} {one} and the synthetic ones {other}; a mixture needs the same.")
        count = n or (len(synthetic) if share == 1 else round(len(real) / (1 - share)))
        made = round(share * count)
        if made > len(synthetic):
            raise Refused(
                f"A share of {share:g} of {count} images is {made} synthetic ones, and there are {len(synthetic)}; give"
                f" a SyntheticDataset with n={made}, or a smaller share."
            )
        self.real, self.synthetic, self.share, self.seed = real, synthetic, share, seed
        self.modality, self.shape, self.classes = real.modality, real.shape, real.classes
        self.fact_names = tuple(name for name in real.fact_names if name in synthetic.fact_names)
        self._is_synthetic = np.zeros(count, dtype=bool)
        self._is_synthetic[randomness.draw_permutation(seed, "mixture", 0, count)[:made]] = True
        self._place = np.empty(count, dtype=np.int64)
        self._place[self._is_synthetic] = np.arange(made)
        self._place[~self._is_synthetic] = self._order_real(count - made)

    def __len__(self) -> int:
        return len(self._place)

    def read(self, i: int) -> Element:
        """Image i of the mixture."""
        return (self.synthetic if self._is_synthetic[i] else self.real).read(int(self._place[i]))

    def _order_real(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Places of so many real images: a permutation of all, and another one where they are needed again."""
        rounds = math.ceil(count / len(self.real))
        orders = [randomness.draw_permutation(self.seed, "real of a mixture", r, len(self.real)) for r in range(rounds)]
        return np.concatenate([np.empty(0, dtype=np.int64), *orders])[:count]


def _describe_classes(images: ImageDataset) -> str:
    return f"labels of {', '.join(images.classes[1:])}" if images.classes else "no labels"
