"""README's table of recipes against cards: what fits as it is, what fits with which options, what does not.

    python docs/reference/make_cards.py

Predicted by `ganatomy plan` for a GPU in float32, at the recipe's own shape and batch; nothing is allocated.
"""

import torch

from ganatomy.pyramid import written
from ganatomy.recipes import RECIPES, named
from ganatomy.training import memory_estimate
from ganatomy.training.computing import Computing

CARDS = (8, 12, 16, 24, 40, 80)
CUDA = torch.device("cuda")


def short(how):
    """Such as ``m2 r``: two micro-batches and recomputation."""
    words = [f"m{how.micro_batches}"] if how.micro_batches > 1 else []
    words += ["r"] if how.recompute else []
    words += ["b"] if how.precision == "bfloat16" else []
    return " ".join(words) or "yes"


def row(name):
    recipe = named(name)
    part, base = memory_estimate.heaviest(recipe, Computing(), CUDA)
    tried = [(Computing(), base.total)]
    others = memory_estimate.easier(recipe, Computing(), CUDA, CARDS[0] * 10**9)
    cells = []
    for card in reversed(CARDS):
        room = card * 10**9
        while not any(total <= room for _, total in tried) and (found := next(others, None)) is not None:
            tried.append((found[0], found[1].total))
        cells.append(next((short(how) for how, total in tried if total <= room), "-"))
    batch = memory_estimate.parts(recipe)[part].batch_size
    return f"| `{name}` | {written(recipe.shape)}, {batch} | {base.total / 1e9:.1f} | " + " | ".join(reversed(cells)) + " |"


print("| recipe | shape, batch | GB | " + " | ".join(f"{card} GB" for card in CARDS) + " |")
print("|---|---|---|" + "---|" * len(CARDS))
for name in RECIPES:
    print(row(name), flush=True)
