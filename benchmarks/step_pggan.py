"""Compare one training step of the progressive GAN with the same step in plain PyTorch.

    python benchmarks/step_pggan.py [--quick] [--threads 2]

Our side is `ganatomy.training.loop.run_update` on both phases of `pggan-mammogram` (discriminator with penalty,
generator), with Adam. The reference, written below, has the same networks, losses and optimiser as a reader of the
paper would write them: `F.interpolate` before the convolutions, `F.conv2d` throughout, and no frozen weights. Both
start from the same weights and use the same images, noise and mixing shares; the losses of the first step must agree.
The two sides alternate in one process, and medians of paired ratios are reported. `pool_first` is the order of the
official code's fused layers, on both sides; only our side uses bfloat16, under autocast. The last line is JSON.
"""

import argparse
import json
import platform
import statistics
import time

import torch
from torch.nn import functional as F

from ganatomy import randomness
from ganatomy.objectives.phase import Batch
from ganatomy.recipes import RECIPES
from ganatomy.recipes.changes import change_recipe
from ganatomy.training.computing import ComputeSettings
from ganatomy.training.loop import run_update
from ganatomy.training.state import State

# ----------------------------------------------------------------------------------------------------------------------
# The reference.


def pn(x):
    return x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-8)


def act(x):
    return F.leaky_relu(x, 0.2)


def conv(m, x):
    return F.conv2d(x, m.weight * m.scale, m.bias, padding=m.weight.shape[-1] // 2)


def dense(m, x):
    return F.linear(x, m.weight * m.scale, m.bias)


def generator(g, z, condition, level):
    base = g.blocks[0]
    x = dense(base.dense, pn(torch.cat([z, condition], 1))).view(len(z), -1, *base.base)
    x = pn(act(x + base.bias.view(1, -1, 1, 1)))
    x = pn(act(conv(base.conv, x)))
    for block in g.blocks[1 : level + 1]:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = pn(act(conv(block.up, x)))
        x = pn(act(conv(block.conv, x)))
    return conv(g.to_image[level], x)


def discriminator(d, image, level):
    x = act(conv(d.from_image[level], image))
    for block in list(d.blocks[1 : level + 1])[::-1]:
        x = act(conv(block.conv, x))
        x = conv(block.down, x)
        x = act(F.avg_pool2d(x, 2)) if block.pool_first else F.avg_pool2d(act(x), 2)
    base = d.blocks[0]
    n, c, h, w = x.shape
    y = x.reshape(min(4, n), -1, c, h, w)
    y = torch.sqrt(((y - y.mean(0, keepdim=True)) ** 2).mean(0) + 1e-8).mean([1, 2, 3]).reshape(-1, 1, 1, 1)
    x = torch.cat([x, y.repeat(min(4, n), 1, h, w)], 1)
    x = act(dense(base.dense, act(conv(base.conv, x)).flatten(1)))
    x = dense(base.head, x)
    return x[:, 0], x[:, 1:]


def plain_step(state, image, condition, level, seed, numbers):
    g, d = state.networks["generator"], state.networks["discriminator"]
    latent = state.recipe.latent
    target = condition.argmax(1)
    fake = generator(g, randomness.draw_normal(seed, "discriminator", numbers, latent), condition, level).detach()
    real_score, real_label = discriminator(d, image, level)
    fake_score, fake_label = discriminator(d, fake, level)
    eps = randomness.draw_uniform(seed, "gradient-penalty", numbers).view(-1, 1, 1, 1)
    mixed = (image + eps * (fake - image)).requires_grad_(True)
    mixed_score, _ = discriminator(d, mixed, level)
    grad = torch.autograd.grad(mixed_score.sum(), mixed, create_graph=True)[0]
    penalty = 10 * ((grad.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
    loss_d = fake_score.mean() - real_score.mean() + penalty + 0.001 * (real_score**2).mean()
    loss_d = loss_d + F.cross_entropy(real_label, target) + F.cross_entropy(fake_label, target)
    state.optimizers["discriminator"].zero_grad()
    loss_d.backward()
    state.optimizers["discriminator"].step()
    fake = generator(g, randomness.draw_normal(seed, "generator", numbers, latent), condition, level)
    score, label = discriminator(d, fake, level)
    loss_g = -score.mean() + F.cross_entropy(label, target)
    state.optimizers["generator"].zero_grad()
    loss_g.backward()
    state.optimizers["generator"].step()
    return loss_d.item(), loss_g.item()


# ----------------------------------------------------------------------------------------------------------------------
# Our side and the comparison.


def our_step(state, phases, image, condition, scope, seed, numbers, precision):
    image = image.contiguous(memory_format=torch.channels_last)  # the layout in which the feed delivers images
    draw = Batch((image,), condition, scope, seed, numbers)
    how = ComputeSettings(precision=str(precision).removeprefix("torch."))
    return tuple(float(sum(run_update(phase, state, [draw], how).values())) for phase in phases)


def plain(state):
    """The reference's state: default memory layout, and torch's default Adam instead of the fused one."""
    state.networks.to(memory_format=torch.contiguous_format)
    state.optimizers = {
        role: torch.optim.Adam(state.networks[role].parameters(), lr=0.002, betas=(0.0, 0.99), eps=1e-8)
        for role in state.networks
    }
    return state


def race(shape, batch, runs, pool_first, precision):
    recipe = change_recipe(RECIPES["pggan-mammogram"](), {"networks.discriminator.pool_first": pool_first})
    scope = next(m.scope for _, m in recipe.make_timetable() if m.scope.shape == shape and m.scope.alpha == 1)
    device = torch.device("cpu")
    mine, theirs = State(recipe, 0, device), plain(State(recipe, 0, device))
    phases = recipe.build_phases()
    mine.set_learning_rates()
    condition = recipe.condition_space.encode([recipe.condition_space.choose_facts({}, i) for i in range(batch)])
    times, difference = ([], []), 0.0
    for i in range(runs + 1):
        numbers = range(i * batch, (i + 1) * batch)
        image = randomness.draw_normal(1, "image", numbers, 1, *shape).clamp(-1, 1)
        start = time.perf_counter()
        a = our_step(mine, phases, image, condition, scope, 0, numbers, precision)
        middle = time.perf_counter()
        b = plain_step(theirs, image, condition.categories, scope.level, 0, numbers)
        end = time.perf_counter()
        if i == 0:  # warm-up; the first step starts from equal weights
            difference = max(abs(x - y) / max(1.0, abs(y)) for x, y in zip(a, b, strict=True))
            allowed = 1e-3 if precision == torch.float32 else 5e-2
            assert difference < allowed, f"the two sides do not compute the same step: {a} against {b}"
            continue
        times[0].append(middle - start)
        times[1].append(end - middle)
    ours, theirs_s = (statistics.median(t) for t in times)
    return {
        "shape": "x".join(map(str, shape)),
        "batch": batch,
        "pool_first": pool_first,
        "precision": str(precision).removeprefix("torch."),
        "ours_s": round(ours, 3),
        "plain_s": round(theirs_s, 3),
        "ratio": round(statistics.median(b / a for a, b in zip(*times, strict=True)), 2),
        "first_step_difference": float(f"{difference:.1e}"),
        "runs": runs,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for pool_first, precision in ((False, torch.float32), (False, torch.bfloat16), (True, torch.float32)):
        for shape, batch in (((160, 128), 4), ((320, 256), 2)):
            rows.append(race(shape, batch, 1 if options.quick else 3, pool_first, precision))
            print(json.dumps(rows[-1]), flush=True)

    def worst(pool_first, precision):
        return min(r["ratio"] for r in rows if (r["pool_first"], r["precision"]) == (pool_first, precision))

    print(
        json.dumps(
            {
                "name": "step_pggan",
                "ratio": worst(False, "float32"),
                "ratio_bfloat16": worst(False, "bfloat16"),
                "ratio_pool_first": worst(True, "float32"),
                "opponent": "plain PyTorch, float32, in this file",
                "device": f"cpu, {options.threads} threads, {platform.machine()}, torch {torch.__version__}",
                "runs": rows[0]["runs"],
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
