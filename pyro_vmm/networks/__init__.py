"""Encoder and decoder networks: plain modules that know nothing of probability."""

from pyro_vmm.networks.convolutional import ConvDecoder, ConvEncoder
from pyro_vmm.networks.linear import Linear
from pyro_vmm.networks.log1p_input import Log1pInput
from pyro_vmm.networks.mlp import MLPDecoder, MLPEncoder

__all__ = ["ConvDecoder", "ConvEncoder", "Linear", "Log1pInput", "MLPDecoder", "MLPEncoder"]
