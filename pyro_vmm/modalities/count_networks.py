"""Networks and likelihoods of single-cell counts, from the options that name them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pyro_vmm.errors import InPython, Option, UserError
from pyro_vmm.guides import AmortizedCounts, AmortizedNormal
from pyro_vmm.likelihoods import Likelihood, make_likelihood
from pyro_vmm.likelihoods.counts import OverdispersedCountLikelihood
from pyro_vmm.modalities.components import check_prior_name
from pyro_vmm.modalities.count_starting_values import StartingValues
from pyro_vmm.networks import Log1pInput, MLPDecoder, MLPEncoder
from pyro_vmm.priors import Prior, VampMixture
from pyro_vmm.random_numbers import OwnRandomNumbers

GENE_LIKELIHOODS = ("zinb", "nb", "poisson")
DISPERSIONS = ("gene", "gene-batch")


def count_likelihood(options: Mapping[str, Any], num_genes: int, num_batches: int) -> Likelihood:
    """Make the likelihood.

    Raises
    ------
    UserError
        For an unknown likelihood or dispersion.
    """
    likelihood, dispersion = options["likelihood"], options["dispersion"]
    if dispersion not in DISPERSIONS:
        raise UserError("is not known: choose 'gene' or 'gene-batch'.", option=Option("dispersion", dispersion))
    if isinstance(likelihood, Likelihood):
        return likelihood
    if likelihood not in GENE_LIKELIHOODS:
        raise UserError(
            "is not known: choose 'zinb', 'nb', 'poisson'",
            InPython(" or a pyro_vmm.likelihoods.Likelihood"),
            ".",
            option=Option("gene_likelihood", likelihood),
        )
    by_batch = {"num_batches": num_batches} if dispersion == "gene-batch" else {}
    if by_batch and likelihood == "poisson":
        raise UserError(
            Option("dispersion", "gene-batch"),
            ", but Poisson counts have no dispersion: choose ",
            Option("gene_likelihood", "nb"),
            " or 'zinb'.",
        )
    return make_likelihood(likelihood, num_features=num_genes, **by_batch)


def check_named_early(options: Mapping[str, Any], num_genes: int, num_batches: int) -> None:
    """Refuse what no model can be made of: named wrongly, an option should not wait for the training to say so.

    Raises
    ------
    UserError
        For an unknown name.
    """
    count_likelihood(options, num_genes, num_batches)
    if isinstance(options["prior"], Prior):
        return
    check_prior_name(options["prior"])
    with OwnRandomNumbers(0):
        VampMixture(
            1,
            AmortizedNormal(nn.Identity()),
            torch.zeros(1, 1),
            centre_uncertainty=options["centre_uncertainty"],
            inference=options["prior_inference"],
            weights=options["weights"],
            prior_weight=options["prior_weight"],
            responsibility_gradient=options["responsibility_gradient"],
        )


def count_encoder(options: Mapping[str, Any], num_genes: int, num_outputs: int, widths: dict[str, int]) -> nn.Module:
    """An encoder of counts ``[B, G]`` and covariates of these widths."""
    return Log1pInput(
        MLPEncoder(
            num_genes,
            _hidden(options),
            num_outputs=num_outputs,
            normalization=options["normalization"],
            dropout=options["dropout_rate"],
            covariates=widths,
        )
    )


def count_decoder(
    options: Mapping[str, Any], likelihood: Likelihood, start: StartingValues, widths: dict[str, int]
) -> MLPDecoder:
    """A decoder that begins, and has its likelihood begin, with every gene at its mean share and at the counts' dispersion."""
    num_genes = len(start.log_shares)
    decoder = MLPDecoder(
        options["latent_dim"],
        _hidden(options),
        num_outputs=likelihood.outputs_per_feature * num_genes,
        normalization=options["normalization"],
        covariates=widths,
    )
    if isinstance(options["likelihood"], str):  # what a user's own decodes and starts from is the user's
        head: Any = decoder.layers[-1]
        with torch.no_grad():
            head.bias[:num_genes].copy_(start.log_shares)
        if isinstance(likelihood, OverdispersedCountLikelihood):
            likelihood.inverse_dispersion.start_at(start.inverse_dispersion)
    return decoder


def count_guide(
    options: Mapping[str, Any], encoder: nn.Module, num_genes: int, widths: dict[str, int]
) -> AmortizedNormal:
    """The guide of latents, and of library sizes where these are inferred."""
    if options["use_observed_lib_size"]:
        return AmortizedNormal(encoder, options["covariance"])
    library_encoder = count_encoder(options, num_genes, 2, widths)
    with torch.no_grad():
        last = list(library_encoder.modules())[-1]
        assert isinstance(last, nn.Linear)
        # No correction at first, and a tenth of the library size as its uncertainty.
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, -2.0]))
    return AmortizedCounts(encoder, library_encoder, options["covariance"])


def _hidden(options: Mapping[str, Any]) -> tuple[int, ...]:
    hidden: tuple[int, ...] = (options["n_hidden"],) * options["n_layers"]
    return hidden
