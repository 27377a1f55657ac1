"""All that changes while training; saved whole, loaded whole. Everything else follows from the recipe and the count."""

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn, optim

from ganatomy import randomness
from ganatomy.nn.layout import set_memory_layout
from ganatomy.objectives.phase import Networks
from ganatomy.recipes.recipe import Recipe

Module = TypeVar("Module", bound=nn.Module)
Tensors = dict[str, Tensor]
NO_WEIGHTS: dict[str, Tensors] = {}
INITIAL_LOSS_SCALE = 2.0**16  # of losses in float16, at the start


class State:
    """Players, moving average of the generator, optimisers, scale of losses, images seen, steps.

    Args:
        recipe: the recipe whose networks are built.
        seed: the run's seed, which decides the first weights.
        device: the device of the networks.
        pretrained: weights of the networks that do not learn, by role.
        layout: memory format of the weights.
        scale_losses: scale losses up for the backward pass, which float16 needs.
    """

    def __init__(
        self,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        pretrained: Mapping[str, Tensors] = NO_WEIGHTS,
        layout: torch.memory_format = torch.contiguous_format,
        scale_losses: bool = False,
    ) -> None:
        torch.manual_seed(randomness.derive_key(seed, "weights") % 2**63)
        self.recipe = recipe
        self._device, self._layout = device, layout
        self.networks: Networks = self._move_to_device(recipe.build())
        for role in recipe.pretrained_roles:
            self.networks[role].load_state_dict(pretrained[role])
        self.ema: nn.Module = self._move_to_device(recipe.build_generator()).requires_grad_(False).eval()
        self.ema.load_state_dict(self.networks["generator"].state_dict())
        self.scaler = torch.amp.GradScaler(device.type, INITIAL_LOSS_SCALE, enabled=scale_losses)
        self.images = 0
        self.steps = 0
        self.restart_optimizers(recipe.plan_step(0, seed).optimizer_epoch)

    def _move_to_device(self, network: Module) -> Module:
        """The network on the device, in the layout; untouched where both are the default."""
        if self._device.type != "cpu":
            network.to(self._device)
        if self._layout != torch.contiguous_format:
            set_memory_layout(network, self._layout)
        return network

    def _make_optimizer(self, role: str) -> optim.Adam:
        adam = self.recipe.optimizers[role]
        parameters = list(self.networks[role].parameters())
        return optim.Adam(parameters, lr=adam.lr(0), betas=adam.betas, eps=adam.eps, fused=True)

    def set_learning_rates(self) -> None:
        for role, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = self.recipe.optimizers[role].lr(self.images)

    def restart_optimizers(self, optimizer_epoch: int) -> None:
        """Start the optimisers anew: Adam's moments of one level must not steer the next (official code)."""
        self.optimizer_epoch = optimizer_epoch
        self.optimizers = {role: self._make_optimizer(role) for role in self.recipe.optimizers}

    def update_ema(self, images: int) -> None:
        """Move the average of the generator's weights towards them, after `images` more images."""
        half_life = self.recipe.ema_half_life_kimg * 1000
        keep = 0.5 ** (images / half_life) if half_life else 0.0
        now: list[Tensor] = list(self.networks["generator"].parameters())
        average: list[Tensor] = list(self.ema.parameters())
        with torch.no_grad():
            torch._foreach_lerp_(average, now, 1 - keep)
            for theirs, mine in zip(self.ema.buffers(), self.networks["generator"].buffers(), strict=True):
                theirs.copy_(mine)  # statistics of a batch normalisation are averages already

    # ------------------------------------------------------------------------------------------------------------------
    # To tensors by file name and back.

    def get_snapshot_networks(self) -> dict[str, nn.Module]:
        """The networks that a snapshot keeps: the average of the generator, and all others as they are."""
        return {**dict(self.networks.items()), "generator": self.ema}

    def get_tensors(self) -> dict[str, Tensors]:
        files = {role: dict(player.state_dict()) for role, player in self.networks.items()}
        files["ema"] = dict(self.ema.state_dict())
        for role, optimizer in self.optimizers.items():
            names: dict[Tensor, str] = {parameter: name for name, parameter in self.networks[role].named_parameters()}
            files[f"optimizer-{role}"] = {
                f"{names[parameter]}/{part}": value
                for parameter, parts in optimizer.state.items()
                for part, value in parts.items()
            }
        return files

    def get_counts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"images": self.images, "steps": self.steps, "era": self.optimizer_epoch}
        return found | ({"scaler": self.scaler.state_dict()} if self.scaler.is_enabled() else {})

    @torch.no_grad()
    def load(self, files: dict[str, Tensors], counts: dict[str, Any]) -> None:
        self.images, self.steps = counts["images"], counts["steps"]
        if self.scaler.is_enabled() and "scaler" in counts:
            self.scaler.load_state_dict(counts["scaler"])
        self.restart_optimizers(counts["era"])
        self.ema.load_state_dict(files["ema"])
        for role, player in self.networks.items():
            player.load_state_dict(files[role])
            if role not in self.optimizers:
                continue
            parameters = dict(player.named_parameters())
            for key, value in files[f"optimizer-{role}"].items():
                name, part = key.rsplit("/", 1)
                parameter = parameters[name]
                # The fused Adam walks weights and moments in memory order, so both must have one layout.
                fits = value.shape == parameter.shape
                kept = torch.empty_like(parameter).copy_(value) if fits else value.to(parameter.device).clone()
                self.optimizers[role].state[parameter][part] = kept
