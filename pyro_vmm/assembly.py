"""From the options of a facade to a model and its guide."""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pyro_vmm.data import DataWarning
from pyro_vmm.errors import InPython, Option, UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.guides.amortized_normal import Covariance
from pyro_vmm.likelihoods import Likelihood, make_likelihood
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks import ConvDecoder, ConvEncoder, Log1pInput, MLPDecoder, MLPEncoder
from pyro_vmm.networks.convolutional import channels_height_width
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.option_checks import LARGEST_LATENT_DIM, check_whole_number
from pyro_vmm.plain_values import plain
from pyro_vmm.priors import PRIOR_WEIGHT, GaussianMixture, Prior, PseudoInputs, StandardNormal, VampMixture, VampPrior
from pyro_vmm.priors.pseudo_inputs import Domain
from pyro_vmm.priors.vamp_mixture import CentreUncertainty
from pyro_vmm.process_settings import built_in_single_precision
from pyro_vmm.random_numbers import OwnRandomNumbers

PRIORS = ("vamp-mixture", "gaussian-mixture", "vamp-prior", "standard-normal")
NETWORKS = ("mlp", "conv")
_unknown_network = ("is not known: choose 'mlp' or 'conv'", InPython(" or give a torch module"), ".")

NUM_COMPONENTS = 100
"""The number of components by default."""


@dataclass(frozen=True)
class Assembly:
    """Options that decide what a model is; see :class:`pyro_vmm.VMM` for their meaning."""

    num_features: int
    latent_dim: int = 10
    num_components: int = NUM_COMPONENTS
    prior: str | Prior = "vamp-mixture"
    prior_inference: str = "map-dp"
    weights: str = "stick-breaking"
    prior_weight: float = PRIOR_WEIGHT
    responsibility_gradient: str = "stopped"
    centre_uncertainty: CentreUncertainty = "none"
    likelihood: str | Likelihood = "bernoulli"
    likelihood_options: dict[str, Any] | None = None
    covariance: Covariance = "full"
    encoder: str | nn.Module = "mlp"
    decoder: str | nn.Module = "mlp"
    hidden: Sequence[int] | None = None
    image_shape: Sequence[int] | None = None
    pseudo_input_domain: Domain | Literal["auto"] = "auto"

    @built_in_single_precision
    def build(self, x: Tensor | None = None) -> tuple[LatentMixtureModel, AmortizedNormal]:
        """Make the model and its guide, drawing initial weights from torch's global generator.

        Parameters
        ----------
        x
            Observations ``[N, F]`` from which ``K`` pseudo-inputs are drawn; zeros take their place when absent (a
            model about to be loaded).

        Raises
        ------
        UserError
            For an unknown name, an object that does not fit, or more pseudo-inputs than observations.
        """
        check_whole_number(self.latent_dim, "latent_dim", most=LARGEST_LATENT_DIM)
        check_whole_number(self.num_components, "num_components")
        likelihood = self.make_likelihood()
        encoder = self._encoder()
        if isinstance(self.encoder, nn.Module) and x is not None:
            seen = x[:2].log1p() if _sees_log1p(likelihood) else x[:2]
            num_outputs = AmortizedNormal.num_outputs(self.latent_dim, self.covariance)
            _check_module(encoder, seen, num_outputs, "encoder")
        guide = AmortizedNormal(Log1pInput(encoder) if _sees_log1p(likelihood) else encoder, self.covariance)
        num_outputs = likelihood.outputs_per_feature * self.num_features
        decoder = self._decoder(num_outputs)
        if isinstance(self.decoder, nn.Module):
            _check_module(decoder, torch.zeros(2, self.latent_dim), num_outputs, "decoder")
        return LatentMixtureModel(self._prior(guide, likelihood, x), decoder, likelihood), guide

    def make_likelihood(self) -> Likelihood:
        """Make the likelihood alone.

        Raises
        ------
        UserError
            For an unknown name or options that it does not take.
        """
        options = {} if self.likelihood_options is None else self.likelihood_options
        if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
            raise UserError(f"likelihood_options is {options!r}: give a dictionary of keywords, or None.")
        for name, needed in (("num_features", self.num_features), ("num_batches", 1)):
            given = plain(options.get(name, needed))
            if not isinstance(given, int) or given != needed:
                raise UserError(
                    f"likelihood_options gives {name}={options[name]!r}, and for these data it is {needed}: leave it out."
                )
        return make_likelihood(self.likelihood, **{"num_features": self.num_features} | options)

    @property
    def _hidden(self) -> tuple[int, ...]:
        if self.hidden is not None:
            if isinstance(self.hidden, str) or not isinstance(self.hidden, Iterable):
                raise UserError(f"hidden is {self.hidden!r}: give the widths of the layers, such as (256, 256).")
            widths = tuple(self.hidden)
            for width in widths:
                check_whole_number(width, "A width in hidden")
            return widths
        # The paper's widths for images; a few dozen columns need, and can fill, far less.
        return (500, 500, 2000) if self.num_features >= 256 else (256, 256)

    def _image_shape(self) -> Sequence[int]:
        if self.image_shape is None:
            raise UserError(
                "is for images: ",
                InPython("give image_shape, (height, width) or (channels, height, width), or "),
                "use 'mlp'.",
                option=Option("encoder", "conv"),
            )
        values = math.prod(channels_height_width(self.image_shape))
        if values != self.num_features:
            raise UserError(
                f"image_shape {tuple(self.image_shape)} is of images with {values} values, but X has {self.num_features} "
                "features: make the two equal."
            )
        return self.image_shape

    def _encoder(self) -> nn.Module:
        num_outputs = AmortizedNormal.num_outputs(self.latent_dim, self.covariance)
        if isinstance(self.encoder, nn.Module):
            return self.encoder
        if self.encoder == "mlp":
            return MLPEncoder(self.num_features, self._hidden, num_outputs=num_outputs)
        if self.encoder == "conv":
            return ConvEncoder(self._image_shape(), num_outputs)
        raise UserError(*_unknown_network, option=Option("encoder", self.encoder))

    def _decoder(self, num_outputs: int) -> nn.Module:
        if isinstance(self.decoder, nn.Module):
            return self.decoder
        if self.decoder == "mlp":
            return MLPDecoder(self.latent_dim, self._hidden[::-1], num_outputs=num_outputs)
        if self.decoder == "conv":
            if num_outputs != self.num_features:
                raise UserError(
                    "gives one output a feature, and this likelihood needs more: use 'mlp'.",
                    option=Option("decoder", "conv"),
                )
            return ConvDecoder(self.latent_dim, self._image_shape())
        raise UserError(*_unknown_network, option=Option("decoder", self.decoder))

    def _prior(self, guide: AmortizedNormal, likelihood: Likelihood, x: Tensor | None) -> Prior:
        domain = self._domain(likelihood)

        def pseudo_inputs() -> PseudoInputs:
            return PseudoInputs(self._initial_pseudo_inputs(x, domain), domain=domain)

        return self.make_prior(guide, pseudo_inputs)

    def make_prior(self, guide: AmortizedNormal, pseudo_inputs: Callable[[], PseudoInputs]) -> Prior:
        """Make the prior; ``pseudo_inputs`` makes those of the two priors that have them."""
        if isinstance(self.prior, Prior):
            if isinstance(self.prior, VampMixture | VampPrior):
                raise UserError(
                    f"A {type(self.prior).__name__} object refers to a guide of its own, not to the one made here: give its "
                    "name as prior, or build the model from its pieces."
                )
            if self.prior.latent_dim != self.latent_dim:
                raise UserError(
                    f"The prior has {self.prior.latent_dim} latent dimensions, not latent_dim={self.latent_dim}: "
                    "make them equal."
                )
            return self.prior
        if self.prior not in PRIORS:
            raise UserError(f"is not known: choose {_listed(PRIORS)}.", option=Option("prior", self.prior))
        if self.prior == "standard-normal":
            return StandardNormal(self.latent_dim)
        mixture: dict[str, Any] = {
            "inference": self.prior_inference,
            "weights": self.weights,
            "prior_weight": self.prior_weight,
            "responsibility_gradient": self.responsibility_gradient,
        }
        if self.prior == "gaussian-mixture":
            return GaussianMixture(self.latent_dim, self.num_components, **mixture)
        if self.prior == "vamp-prior":
            return VampPrior(self.latent_dim, guide, pseudo_inputs())
        return VampMixture(
            self.latent_dim, guide, pseudo_inputs(), centre_uncertainty=self.centre_uncertainty, **mixture
        )

    def _domain(self, likelihood: Likelihood) -> Domain:
        domain = self.pseudo_input_domain
        if domain == "auto":
            return "positive" if likelihood.whole_numbers or _sees_log1p(likelihood) else "free"
        if _sees_log1p(likelihood) and (domain == "free" or (not isinstance(domain, str) and domain[0] < 0)):
            raise UserError(
                f"pseudo_input_domain={domain!r} lets pseudo-inputs fall below 0, but counts do not: choose 'auto', "
                "'positive' or a pair that starts at 0."
            )
        return domain

    def _initial_pseudo_inputs(self, x: Tensor | None, domain: Domain) -> Tensor:
        if x is None:
            low = 0.0 if isinstance(domain, str) else float(domain[0])
            return torch.full((self.num_components, self.num_features), low)
        if len(x) < self.num_components:
            raise UserError(
                f"is more than the {len(x)} observations that pseudo-inputs start from: choose at most {len(x)}, or ",
                Option("prior", "gaussian-mixture"),
                ".",
                option=Option("num_components", self.num_components),
            )
        return x[torch.randperm(len(x))[: self.num_components].to(x.device)]


def enough_components(num_components: int, prior: Any, num_observations: int, noun: str, *, stacklevel: int) -> int:
    """``num_components``, or if that is the default, at most the ``num_observations`` from which pseudo-inputs start.

    Warns
    -----
    DataWarning
        Where it is lowered. ``noun`` is what the warning calls the observations.
    """
    starts_from_observations = prior in ("vamp-mixture", "vamp-prior")
    if num_components != NUM_COMPONENTS or num_observations >= num_components or not starts_from_observations:
        return num_components
    warnings.warn(
        f"{NUM_COMPONENTS} components, the default, are more than the {num_observations} {noun} that they start from: "
        f"{num_observations} components are used.",
        DataWarning,
        stacklevel=stacklevel + 1,
    )
    return num_observations


def stored_components(num_components: int, in_use: int) -> int:
    """``num_components`` of a stored fit that has ``in_use``: fewer where :func:`enough_components` lowered the default."""
    return in_use if num_components == NUM_COMPONENTS else num_components


def _sees_log1p(likelihood: Likelihood) -> bool:
    return likelihood.encoder_sees == "log1p"


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


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:-1])) + f" or {names[-1]!r}"
