"""Table of the networks by kind, and reading of a network's configuration from a stored recipe."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny
from pydantic_core import PydanticCustomError

from ganatomy.networks.autoencoder import GridEncoder
from ganatomy.networks.autoregressive import AutoregressiveGenerator
from ganatomy.networks.config import NetworkConfig
from ganatomy.networks.convolutional import (
    CodeDiscriminator,
    ConvolutionalDiscriminator,
    ConvolutionalEncoder,
    ConvolutionalGenerator,
)
from ganatomy.networks.diffusion import LatentDiffusionGenerator
from ganatomy.networks.hierarchical import HierarchicalGenerator
from ganatomy.networks.hierarchical_discriminator import HierarchicalDiscriminator
from ganatomy.networks.hierarchical_encoders import GroundEncoder, HighEncoder
from ganatomy.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from ganatomy.networks.residual import ProjectionDiscriminator, ResidualGenerator
from ganatomy.networks.style import ResidualDiscriminator, StyleGenerator

NETWORKS: dict[str, type[NetworkConfig]] = {
    "progressive-generator": ProgressiveGenerator,
    "progressive-discriminator": ProgressiveDiscriminator,
    "hierarchical-generator": HierarchicalGenerator,
    "hierarchical-discriminator": HierarchicalDiscriminator,
    "high-encoder": HighEncoder,
    "ground-encoder": GroundEncoder,
    "convolutional-generator": ConvolutionalGenerator,
    "convolutional-discriminator": ConvolutionalDiscriminator,
    "convolutional-encoder": ConvolutionalEncoder,
    "code-discriminator": CodeDiscriminator,
    "style-generator": StyleGenerator,
    "residual-discriminator": ResidualDiscriminator,
    "residual-generator": ResidualGenerator,
    "projection-discriminator": ProjectionDiscriminator,
    "grid-encoder": GridEncoder,
    "latent-diffusion-generator": LatentDiffusionGenerator,
    "autoregressive-generator": AutoregressiveGenerator,
}


def _read_network(given: Any) -> Any:
    """Return the configuration that a mapping describes; a configuration is returned unchanged.

    Raises:
        PydanticCustomError: the table has no network of that kind; the message lists the kinds.
    """
    kind = given.get("kind") if isinstance(given, Mapping) else getattr(given, "kind", None)
    if not isinstance(kind, str) or kind not in NETWORKS:
        known = {"kind": repr(kind), "known": ", ".join(NETWORKS)}
        raise PydanticCustomError("network_kind", "there is no network of kind {kind}; there are {known}", known)
    return NETWORKS[kind].model_validate(given)


AnyNetwork = Annotated[SerializeAsAny[NetworkConfig], BeforeValidator(_read_network)]
