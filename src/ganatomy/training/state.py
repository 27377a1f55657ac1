"""The state of a training: all that changes and is saved; the rest is a function of recipe, seed and images seen."""

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
INITIAL_LOSS_SCALE = 2.0**16  # initial factor of losses in float16


class State:
    """Networks, moving average of the generator, optimisers, scale of losses, images seen, steps.

    Args:
        recipe: the recipe whose networks are built.
        seed: seed of the run, which determines the initial weights.
        device: device of the networks.
        pretrained: weights of the networks that do not learn, by role.
        layout: memory format of the weights.
        scale_losses: whether losses are scaled up for the backward pass, which float16 needs.
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
        """Move a network to the device and set its layout; without effect if both are the default."""
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
        """Reset the optimisers, so that Adam's moments of one level do not act on the next (official code)."""
        self.optimizer_epoch = optimizer_epoch
        self.optimizers = {role: self._make_optimizer(role) for role in self.recipe.optimizers}

    def update_ema(self, images: int) -> None:
        """Update the moving average of the generator's weights after `images` further images."""
        half_life = self.recipe.ema_half_life_kimg * 1000
        keep = 0.5 ** (images / half_life) if half_life else 0.0
        now: list[Tensor] = list(self.networks["generator"].parameters())
        average: list[Tensor] = list(self.ema.parameters())
        with torch.no_grad():
            torch._foreach_lerp_(average, now, 1 - keep)
            for theirs, mine in zip(self.ema.buffers(), self.networks["generator"].buffers(), strict=True):
                theirs.copy_(mine)  # the statistics of a batch normalisation already are averages

    # ------------------------------------------------------------------------------------------------------------------
    # Conversion to tensors by file name and back.

    def get_snapshot_networks(self) -> dict[str, nn.Module]:
        """Return the networks of a snapshot: the average of the generator, and all other networks unchanged."""
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
                # The fused Adam processes weights and moments in memory order, so both must have the same layout.
                fits = value.shape == parameter.shape
                kept = torch.empty_like(parameter).copy_(value) if fits else value.to(parameter.device).clone()
                self.optimizers[role].state[parameter][part] = kept
