"""From the options of :class:`pyro_vmm.SingleCellVMM` to a model of counts and its guide."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vmm.assembly import NUM_COMPONENTS, PRIORS, Assembly
from pyro_vmm.errors import InPython, Option, UserError
from pyro_vmm.guides import AmortizedCounts, AmortizedNormal
from pyro_vmm.guides.amortized_normal import Covariance
from pyro_vmm.likelihoods import Likelihood, make_likelihood
from pyro_vmm.likelihoods.counts import OverdispersedCountLikelihood
from pyro_vmm.models import CountMixtureModel, LatentMixtureModel
from pyro_vmm.networks import Log1pInput, MLPDecoder, MLPEncoder
from pyro_vmm.networks.low_precision import lower_precision
from pyro_vmm.networks.mlp import Normalization
from pyro_vmm.priors import PRIOR_WEIGHT, Prior, PseudoInputs, VampMixture
from pyro_vmm.priors.vamp_mixture import CentreUncertainty
from pyro_vmm.process_settings import built_in_single_precision
from pyro_vmm.random_numbers import OwnRandomNumbers
from pyro_vmm.single_cell.covariates import CovariateEncoding
from pyro_vmm.single_cell.starting_values import StartingValues

GENE_LIKELIHOODS = ("zinb", "nb", "poisson")
DISPERSIONS = ("gene", "gene-batch")


@dataclass(frozen=True)
class CountAssembly:
    """Options that decide what a model of counts is; see :class:`pyro_vmm.SingleCellVMM` for their meaning."""

    n_latent: int = 10
    num_components: int = NUM_COMPONENTS
    gene_likelihood: str | Likelihood = "zinb"
    prior: str | Prior = "vamp-mixture"
    prior_inference: str = "map-dp"
    weights: str = "stick-breaking"
    prior_weight: float = PRIOR_WEIGHT
    responsibility_gradient: str = "stopped"
    centre_uncertainty: CentreUncertainty = "none"
    dispersion: str = "gene"
    n_hidden: int = 128
    n_layers: int = 1
    dropout_rate: float = 0.1
    normalization: Normalization = "batch"
    covariance: Covariance = "diagonal"
    use_observed_lib_size: bool = True
    low_precision: bool = False

    @built_in_single_precision
    def build(
        self,
        encoding: CovariateEncoding,
        start: StartingValues,
        *,
        num_batches: int,
        pseudo_inputs: Callable[[], Tensor],
    ) -> tuple[LatentMixtureModel, AmortizedNormal]:
        """Make the model and its guide, drawing initial weights from torch's global generator.

        Parameters
        ----------
        encoding
            Which covariates there are.
        start
            Moments of the counts.
        num_batches
            Batches of cells; 1 for none.
        pseudo_inputs
            Gives counts ``[K, G]`` from which pseudo-inputs start, if the prior has any.

        Raises
        ------
        UserError
            For an unknown name or an object that does not fit.
        """
        num_genes = len(start.log_shares)
        likelihood = self.make_likelihood(num_genes, num_batches)
        widths = encoding.widths
        encoder = self._encoder(num_genes, AmortizedNormal.num_outputs(self.n_latent, self.covariance), widths)
        decoder = MLPDecoder(
            self.n_latent,
            self._hidden,
            num_outputs=likelihood.outputs_per_feature * num_genes,
            normalization=self.normalization,
            covariates=widths,
        )
        if isinstance(self.gene_likelihood, str):  # what a user's own decodes and starts from is the user's
            self._start_from(start, decoder, likelihood)
        if self.use_observed_lib_size:
            guide = AmortizedNormal(encoder, self.covariance)
        else:
            guide = AmortizedCounts(encoder, self._library_encoder(num_genes, widths), self.covariance)

        def encoded() -> PseudoInputs:
            return PseudoInputs(
                pseudo_inputs(), domain="positive", covariates=encoding.categories, continuous=encoding.continuous
            )

        if self.low_precision:
            lower_precision(encoder, spare_the_last=True)
            lower_precision(decoder)
        options = {name: getattr(self, name) for name in Assembly.__dataclass_fields__ if hasattr(self, name)}
        prior = Assembly(num_genes, latent_dim=self.n_latent, **options).make_prior(guide, encoded)
        if self.use_observed_lib_size:
            model = LatentMixtureModel(prior, decoder, likelihood)
            model.needed_covariates = ("library_size", *widths)
        else:
            model = CountMixtureModel(prior, decoder, likelihood, start.library_loc, start.library_scale)
            model.needed_covariates = tuple(widths)
        return model, guide

    def make_likelihood(self, num_genes: int, num_batches: int) -> Likelihood:
        """Make the likelihood alone.

        Raises
        ------
        UserError
            For an unknown likelihood or dispersion.
        """
        if self.dispersion not in DISPERSIONS:
            raise UserError(
                "is not known: choose 'gene' or 'gene-batch'.", option=Option("dispersion", self.dispersion)
            )
        if isinstance(self.gene_likelihood, Likelihood):
            return self.gene_likelihood
        if self.gene_likelihood not in GENE_LIKELIHOODS:
            raise UserError(
                "is not known: choose 'zinb', 'nb', 'poisson'",
                InPython(" or a pyro_vmm.likelihoods.Likelihood"),
                ".",
                option=Option("gene_likelihood", self.gene_likelihood),
            )
        by_batch = {"num_batches": num_batches} if self.dispersion == "gene-batch" else {}
        if by_batch and self.gene_likelihood == "poisson":
            raise UserError(
                Option("dispersion", "gene-batch"),
                ", but Poisson counts have no dispersion: choose ",
                Option("gene_likelihood", "nb"),
                " or 'zinb'.",
            )
        return make_likelihood(self.gene_likelihood, num_features=num_genes, **by_batch)

    def check_prior(self) -> None:
        """Refuse options that no prior can be made with.

        Raises
        ------
        UserError
            For an unknown name.
        """
        if isinstance(self.prior, str) and self.prior not in PRIORS:
            raise UserError(
                f"is not known: choose one of {', '.join(map(repr, PRIORS))}.", option=Option("prior", self.prior)
            )
        with OwnRandomNumbers(0):
            VampMixture(
                1,
                AmortizedNormal(nn.Identity()),
                torch.zeros(1, 1),
                centre_uncertainty=self.centre_uncertainty,
                inference=self.prior_inference,
                weights=self.weights,
                prior_weight=self.prior_weight,
                responsibility_gradient=self.responsibility_gradient,
            )

    @property
    def _hidden(self) -> tuple[int, ...]:
        return (self.n_hidden,) * self.n_layers

    def _encoder(self, num_genes: int, num_outputs: int, widths: dict[str, int]) -> nn.Module:
        return Log1pInput(
            MLPEncoder(
                num_genes,
                self._hidden,
                num_outputs=num_outputs,
                normalization=self.normalization,
                dropout=self.dropout_rate,
                covariates=widths,
            )
        )

    def _library_encoder(self, num_genes: int, widths: dict[str, int]) -> nn.Module:
        encoder = self._encoder(num_genes, 2, widths)
        with torch.no_grad():
            last = list(encoder.modules())[-1]
            assert isinstance(last, nn.Linear)
            # No correction at first, and a tenth of the library size as its uncertainty.
            last.weight.zero_()
            last.bias.copy_(torch.tensor([0.0, -2.0]))
        return encoder

    @staticmethod
    def _start_from(start: StartingValues, decoder: MLPDecoder, likelihood: Likelihood) -> None:
        """Begin with every gene at its mean share and at the dispersion of the counts."""
        head: Any = decoder.layers[-1]
        with torch.no_grad():
            head.bias[: len(start.log_shares)].copy_(start.log_shares)
        if isinstance(likelihood, OverdispersedCountLikelihood):
            likelihood.inverse_dispersion.start_at(start.inverse_dispersion)
