"""An autoregressive model of volumes: a grid of tokens, each predicted from those before it (van den Oord 2017).

The tokens are codes rounded to a few levels per channel (finite scalar quantisation: Mentzer 2024), so no codebook is
learnt. MONAI's transformer predicts them in the order in which the grid is stored. A sample is a function of its latent
code z: inverse transform sampling with z draws the tokens from the predicted probabilities.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganatomy.networks.autoencoder import MONAI, CodeGrid, GridDecoderModule, import_monai, make_tiny_grid
from ganatomy.networks.config import NetworkConfig
from ganatomy.nn.foreign import adopt_layers
from ganatomy.pyramid import Shape
from ganatomy.steps.condition import Condition
from ganatomy.steps.scope import ImageParts, WholeScope
from ganatomy.steps.space import ImageSpace

LATENT_BOUND = 6.0  # largest absolute value of a latent number, in standard deviations


class AutoregressiveGenerator(NetworkConfig):
    """Settings of p(tokens) = Πᵢ p(tokenᵢ | tokens before i), and of the decoder   (van den Oord 2017, section 3.3).

    Args:
        grid: the size of the grid of tokens; it equals that of the encoder.
        levels: levels of each channel; a token is one of levels^channels words.
        width, depth, heads: features, blocks and attention heads of the transformer.
    """

    kind: Literal["autoregressive-generator"] = "autoregressive-generator"
    grid: CodeGrid = CodeGrid(halvings=4)
    levels: Literal[3, 5, 7, 9] = 5
    width: int = Field(256, ge=8)
    depth: int = Field(6, ge=1)
    heads: int = Field(8, ge=1)

    @property
    def libraries(self) -> Mapping[str, int]:
        return MONAI

    def build(self, space: ImageSpace) -> nn.Module:
        return AutoregressiveGeneratorModule(self, space)

    def compute_latent_width(self, shape: Shape) -> int:
        """Return the number of tokens, because each token is drawn with one latent number."""
        return math.prod(self.grid.compute_grid_shape(shape))

    def find_shape_problem(self, shape: Shape) -> str | None:
        """Explain, as the end of a sentence, why images of a shape cannot be generated; None if they can."""
        multiple = 2**self.grid.halvings
        return None if all(n % multiple == 0 for n in shape) else f"every axis must be a multiple of {multiple}"

    def make_tiny(self) -> "AutoregressiveGenerator":
        return self.replace(grid=make_tiny_grid(self.grid), width=32, depth=2, heads=2)


class AutoregressiveGeneratorModule(nn.Module):
    """x = D(tokens), tokenᵢ drawn from p(tokenᵢ | tokens before i, c)   (van den Oord 2017, section 3.3).

    z (batch, tokens), condition c, scope of the whole image -> (image,), in [-1, 1].
    """

    def __init__(self, config: AutoregressiveGenerator, space: ImageSpace) -> None:
        super().__init__()
        self.channels, self.levels = config.grid.channels, config.levels
        self.grid = config.grid.compute_grid_shape(space.shape)
        self.words = self.levels**self.channels
        self.decoder = GridDecoderModule(config.grid, space)
        transformer = import_monai("transformer").DecoderOnlyTransformer(
            num_tokens=self.words,
            max_seq_len=math.prod(self.grid),
            attn_layers_dim=config.width,
            attn_layers_depth=config.depth,
            attn_layers_heads=config.heads,
            use_flash_attention=True,
        )
        self.net = adopt_layers(transformer)
        for block in self.net.blocks:
            block.norm_cross_attn = nn.Identity()  # MONAI's blocks have this layer even without cross-attention
        self.start = nn.Linear(1 + space.conditions.width, config.width, bias=False)  # embeds the start and c

    def list_blocks(self) -> list[nn.Module]:
        """List the modules that may be recomputed or compiled separately."""
        return self.decoder.list_blocks()

    # ------------------------------------------------------------------------------------------------------------------
    # Codes and tokens.

    def quantise_codes(self, codes: Tensor) -> Tensor:
        """round(h tanh(c)) / h, h = (levels - 1) / 2   (Mentzer 2024, section 3.1).

        Codes (batch, channels, *grid) become numbers in [-1, 1]. The gradient is that of tanh(c) without rounding
        (straight-through estimator).
        """
        half = (self.levels - 1) / 2
        bounded = codes.tanh()
        return bounded + ((bounded * half).round() / half - bounded).detach()

    def tokenise_codes(self, codes: Tensor) -> Tensor:
        """token = Σₖ dₖ levels^k,  dₖ = round(h tanh(cₖ)) + h: codes (batch, channels, *grid) -> (batch, tokens)."""
        half = (self.levels - 1) // 2
        digits = (self.quantise_codes(codes) * half).round().long() + half
        return (digits * self._place_values(codes.device)).sum(1).flatten(1)

    def decode_tokens(self, tokens: Tensor) -> Tensor:
        """x = D((dₖ - h) / h), dₖ = ⌊token / levels^k⌋ mod levels: (batch, tokens) -> (batch, channels, *shape)."""
        half = (self.levels - 1) / 2
        places = self._place_values(tokens.device)
        digits = tokens.view(-1, 1, *self.grid) // places % self.levels
        image: Tensor = self.decoder((digits - half) / half)
        return image

    def _place_values(self, device: torch.device) -> Tensor:
        """Return levels^k for each channel k, in a shape that multiplies a grid."""
        places = self.levels ** torch.arange(self.channels, device=device)
        return places.view(1, -1, *[1] * len(self.grid))

    # ------------------------------------------------------------------------------------------------------------------
    # Tokens and latent codes.

    def predict_logits(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Logits of p(tokenᵢ | tokens before i, c), i = 0 to n: tokens (batch, n) -> (batch, n + 1, words)."""
        vector = condition.vector
        start = self.start(torch.cat((vector.new_ones(len(vector), 1), vector), 1))[:, None]
        x = torch.cat((start, self.net.token_embeddings(tokens)), 1)
        x = x + self.net.position_embeddings(x[..., 0])
        for block in self.net.blocks:
            x = block(x)
        found: Tensor = self.net.to_logits(x)
        return found.float()

    def sample_tokens(self, z: Tensor, condition: Condition) -> Tensor:
        """tokenᵢ = F⁻¹(Φ(zᵢ)), one after another: latent codes (batch, tokens) -> (batch, tokens).

        F is the cumulative distribution of tokenᵢ given the tokens before it, Φ that of the standard normal
        distribution.
        """
        quantiles = torch.special.ndtr(z.double()).T.contiguous()[..., None]
        tokens = torch.zeros(len(z), 0, dtype=torch.long, device=z.device)
        for i in range(z.shape[1]):
            sums = self.predict_logits(tokens, condition)[:, -1].double().softmax(1).cumsum(1)
            token = torch.searchsorted(sums, quantiles[i]).clamp(max=self.words - 1)
            tokens = torch.cat((tokens, token), 1)
        return tokens

    def encode_tokens(self, tokens: Tensor, condition: Condition) -> Tensor:
        """zᵢ = Φ⁻¹((F(tokenᵢ - 1) + F(tokenᵢ)) / 2): tokens (batch, tokens) -> latent codes (batch, tokens).

        (F(tokenᵢ - 1) + F(tokenᵢ)) / 2 is the middle of the interval of quantiles for which `sample_tokens` draws
        tokenᵢ.
        """
        shares = self.predict_logits(tokens[:, :-1], condition).double().softmax(2)
        ends = shares.cumsum(2).gather(2, tokens[..., None])[..., 0]
        middle = ends - shares.gather(2, tokens[..., None])[..., 0] / 2
        return torch.special.ndtri(middle).clamp(-LATENT_BOUND, LATENT_BOUND).float()

    def forward(self, z: Tensor, condition: Condition, scope: WholeScope) -> ImageParts:
        return (self.decode_tokens(self.sample_tokens(z, condition)),)
