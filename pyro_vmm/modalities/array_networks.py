"""Networks and likelihoods of arrays, from the options that name them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vmm.errors import InPython, Option, UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.likelihoods import Likelihood, make_likelihood
from pyro_vmm.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from pyro_vmm.networks.convolutional import channels_height_width
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.option_checks import check_whole_number
from pyro_vmm.plain_values import plain
from pyro_vmm.priors.pseudo_inputs import Domain
from pyro_vmm.random_numbers import OwnRandomNumbers

_UNKNOWN_NETWORK = ("is not known: choose 'mlp' or 'conv'", InPython(" or give a torch module"), ".")


def array_likelihood(options: Mapping[str, Any], num_features: int) -> Likelihood:
    """Make the likelihood of observations with ``num_features`` values.

    Raises
    ------
    UserError
        For an unknown name or options that it does not take.
    """
    given = options["likelihood_options"]
    keywords = {} if given is None else given
    if not isinstance(keywords, dict) or not all(isinstance(name, str) for name in keywords):
        raise UserError(f"likelihood_options is {keywords!r}: give a dictionary of keywords, or None.")
    for name, needed in (("num_features", num_features), ("num_batches", 1)):
        number = plain(keywords.get(name, needed))
        if not isinstance(number, int) or number != needed:
            raise UserError(
                f"likelihood_options gives {name}={keywords[name]!r}, and for these data it is {needed}: leave it out."
            )
    return make_likelihood(options["likelihood"], **{"num_features": num_features} | keywords)


def array_encoder(options: Mapping[str, Any], num_features: int, seen: Tensor | None) -> nn.Module:
    """Make the encoder; one of the user's own is tried with the observations ``seen [B, F]``, where there are any.

    Raises
    ------
    UserError
        For an unknown name, or a module that does not fit.
    """
    encoder = options["encoder"]
    num_outputs = AmortizedNormal.num_outputs(options["latent_dim"], options["covariance"])
    if isinstance(encoder, nn.Module):
        if seen is not None:
            _check_module(encoder, seen, num_outputs, "encoder")
        return encoder
    if encoder == "mlp":
        return MLPEncoder(num_features, _hidden(options, num_features), num_outputs=num_outputs)
    if encoder == "conv":
        return ConvEncoder(_image_shape(options, num_features), num_outputs)
    raise UserError(*_UNKNOWN_NETWORK, option=Option("encoder", encoder))


def array_decoder(options: Mapping[str, Any], num_features: int, num_outputs: int) -> nn.Module:
    """Make the decoder to ``num_outputs`` parameters of the likelihood.

    Raises
    ------
    UserError
        For an unknown name, or a module that does not fit.
    """
    decoder, latent_dim = options["decoder"], options["latent_dim"]
    if isinstance(decoder, nn.Module):
        _check_module(decoder, torch.zeros(2, latent_dim), num_outputs, "decoder")
        return decoder
    if decoder == "mlp":
        return MLPDecoder(latent_dim, _hidden(options, num_features)[::-1], num_outputs=num_outputs)
    if decoder == "conv":
        if num_outputs != num_features:
            raise UserError(
                "gives one output a feature, and this likelihood needs more: use 'mlp'.",
                option=Option("decoder", "conv"),
            )
        return ConvDecoder(latent_dim, _image_shape(options, num_features))
    raise UserError(*_UNKNOWN_NETWORK, option=Option("decoder", decoder))


def array_domain(options: Mapping[str, Any], likelihood: Likelihood) -> Domain:
    """Where pseudo-inputs may lie.

    Raises
    ------
    UserError
        For negative ones where the data are counts.
    """
    domain: Any = options["pseudo_input_domain"]
    if domain == "auto":
        return "positive" if likelihood.whole_numbers or sees_log1p(likelihood) else "free"
    if sees_log1p(likelihood) and (domain == "free" or (not isinstance(domain, str) and domain[0] < 0)):
        raise UserError(
            f"pseudo_input_domain={domain!r} lets pseudo-inputs fall below 0, but counts do not: choose 'auto', "
            "'positive' or a pair that starts at 0."
        )
    chosen: Domain = domain
    return chosen


def sees_log1p(likelihood: Likelihood) -> bool:
    """Whether the encoder takes ``log(1 + x)``."""
    return likelihood.encoder_sees == "log1p"


def _hidden(options: Mapping[str, Any], num_features: int) -> tuple[int, ...]:
    hidden = options["hidden"]
    if hidden is not None:
        if isinstance(hidden, str) or not isinstance(hidden, Iterable):
            raise UserError(f"hidden is {hidden!r}: give the widths of the layers, such as (256, 256).")
        widths = tuple(hidden)
        for width in widths:
            check_whole_number(width, "A width in hidden")
        return widths
    # The paper's widths for images; a few dozen columns need, and can fill, far less.
    return (500, 500, 2000) if num_features >= 256 else (256, 256)


def _image_shape(options: Mapping[str, Any], num_features: int) -> Sequence[int]:
    shape: Sequence[int] | None = options["image_shape"]
    if shape is None:
        raise UserError(
            "is for images: ",
            InPython("give image_shape, (height, width) or (channels, height, width), or "),
            "use 'mlp'.",
            option=Option("encoder", "conv"),
        )
    values = math.prod(channels_height_width(shape))
    if values != num_features:
        raise UserError(
            f"image_shape {tuple(shape)} is of images with {values} values, but X has {num_features} features: make the two "
            "equal."
        )
    return shape


def _check_module(module: nn.Module, inputs: Tensor, num_outputs: int, option: str) -> None:
    """Refuse a module of the user's that does not map ``inputs [B, I]`` to ``[B, num_outputs]``."""
    parameter = next(module.parameters(), inputs)
    needed = f"give a module from [B, {inputs.shape[1]}] to [B, {num_outputs}]"
    try:
        with OwnRandomNumbers(0), torch.no_grad(), evaluation_mode(module):
            outputs = module(inputs.to(parameter))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise UserError(
            f"{option} cannot take {list(inputs.shape)} ({' '.join(str(error).split())}): {needed}."
        ) from None
    if not isinstance(outputs, Tensor) or outputs.shape != (len(inputs), num_outputs):
        told = list(outputs.shape) if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        raise UserError(f"{option} makes {told} of {list(inputs.shape)}: {needed}.")
