"""Counts of single cells with batches and other covariates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_vmm.data import CellCounts, CountSetup, read_counts
from pyro_vmm.errors import InPython, Option, UserError
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.modalities.base import Modality
from pyro_vmm.modalities.cell_input import CellInput
from pyro_vmm.modalities.components import make_prior
from pyro_vmm.modalities.count_covariates import CovariateEncoding
from pyro_vmm.modalities.count_networks import (
    check_named_early,
    count_decoder,
    count_encoder,
    count_guide,
    count_likelihood,
)
from pyro_vmm.modalities.count_starting_values import StartingValues
from pyro_vmm.modalities.gene_profiles import GeneProfiles
from pyro_vmm.modalities.latent_dimensions import dimensions_for
from pyro_vmm.models import CountMixtureModel, LatentMixtureModel
from pyro_vmm.networks.low_precision import lower_precision
from pyro_vmm.observations import Observations, sparse_blocks
from pyro_vmm.options import COMMON, OF_COUNTS, SINGLE_CELL, canonical, defaults, of_face
from pyro_vmm.priors import Prior, PseudoInputs
from pyro_vmm.process_settings import built_in_single_precision
from pyro_vmm.random_states import draw_seed, is_generator

if TYPE_CHECKING:
    from anndata import AnnData

    from pyro_vmm.data.cells_on_disk import Paths

STANDARD_NORMAL_STEPS = 500
"""By default, where there are batches or other covariates, so many steps (at most half of all) are under ``Normal(0, I)``."""
STEPS_OF_PATIENCE, LEAST_PATIENCE = 500, 15
"""By default, patience holds so many steps, and at least so many epochs."""

_AS_CELLS_HAVE_THEM = tuple(
    replace(entry.of_face(SINGLE_CELL), name=entry.name)
    for entry in COMMON
    if SINGLE_CELL in entry.otherwise and not entry.otherwise[SINGLE_CELL].complement
)
"""Options of every modality that have other defaults and checks here."""


@dataclass(frozen=True, eq=False)
class Counts(Modality):
    """Raw counts of cells, ``[N, G]``; see :class:`pyro_vmm.SingleCellVMM` for the options.

    Attributes
    ----------
    setup
        Where in an AnnData the counts and covariates are.
    allow_non_counts
        Whether values need not be whole.
    gene_names
        ``[G]``.
    categories
        Of the batches and of further categorical covariates, by column.
    batch_categories
        Names of the B batches.
    encoding
        How covariates become tensors.
    batch_shares
        Share of the cells fitted that each batch has, ``[B]``.
    """

    setup: CountSetup
    allow_non_counts: bool
    gene_names: NDArray[np.str_]
    categories: Mapping[str, tuple[str, ...]]
    batch_categories: tuple[str, ...]
    encoding: CovariateEncoding
    batch_shares: NDArray[np.float64]

    name = SINGLE_CELL
    noun, feature_noun = "cells", "genes"
    model_in_words, loaded_by = "a single-cell model", "SingleCellVMM.load(directory, adata)"
    own_options = (*OF_COUNTS, *_AS_CELLS_HAVE_THEM)
    input = CellInput
    # The face shows its progress; a fit that something else asks for does not.
    default_options: ClassVar[Mapping[str, Any]] = {
        **canonical(defaults((*COMMON, *OF_COUNTS), SINGLE_CELL), (*COMMON, *OF_COUNTS), SINGLE_CELL),
        "verbose": False,
    }
    least_epochs, most_epochs = 50, 1000

    @classmethod
    def learn(
        cls, data: CellCounts, options: Mapping[str, Any], *, allow_non_counts: bool = False
    ) -> tuple[Self, Observations]:
        """Learn from cells that have been read and checked."""
        if is_generator(options["random_state"]):
            options = {**options, "random_state": draw_seed(options["random_state"])}
        if options["latent_dim"] is None:
            options = {**options, "latent_dim": dimensions_for(len(data.cell_names))}
        check_named_early(options, len(data.gene_names), len(data.batch_categories))
        if data.size_factor is not None and not options["use_observed_lib_size"]:
            raise UserError(
                f"Size factors (adata.obs[{data.setup.size_factor_key!r}]) say what the library sizes are, and ",
                Option("use_observed_lib_size", False),
                " infers them: leave one of the two out.",
            )
        sizes = np.bincount(data.batch, minlength=len(data.batch_categories))
        modality = cls(
            options,
            data.setup,
            allow_non_counts,
            data.gene_names,
            data.categories,
            data.batch_categories,
            CovariateEncoding.of(data, observed_library=bool(options["use_observed_lib_size"])),
            sizes / sizes.sum(),
        )
        return modality, modality.encoding.observations(data)

    def read(self, data: AnnData | Paths | CellCounts) -> Observations:
        """Read cells with the model's genes and known batches, or take those that :meth:`read_cells` gave."""
        return self.encoding.observations(data if isinstance(data, CellCounts) else self.read_cells(data))

    def read_cells(self, adata: AnnData | Paths, *, batch_free: bool = False) -> CellCounts:
        """Read and check cells; ``batch_free`` does not read their batches, and all codes are 0."""
        return read_counts(
            adata,
            replace(self.setup, batch_key=None) if batch_free else self.setup,
            allow_non_counts=self.allow_non_counts,
            categories=self.categories,
            gene_names=self.gene_names,
        )

    @built_in_single_precision
    def build(
        self, observations: Observations | None, num_components: int
    ) -> tuple[LatentMixtureModel, AmortizedNormal]:
        """Make the model and its guide; placeholders take the place of starting values where no observations are given."""
        options, widths = self.options, self.encoding.widths
        num_genes, num_batches = len(self.gene_names), len(self.batch_categories)
        likelihood = count_likelihood(options, num_genes, num_batches)
        start = self._starting_values(observations)
        num_outputs = AmortizedNormal.num_outputs(options["latent_dim"], options["covariance"])
        encoder = count_encoder(options, num_genes, num_outputs, widths)
        decoder = count_decoder(options, likelihood, start, widths)
        guide = count_guide(options, encoder, num_genes, widths)
        if options["low_precision"]:
            lower_precision(encoder, spare_the_last=True)
            lower_precision(decoder)

        def pseudo_inputs() -> PseudoInputs:
            return PseudoInputs(
                self._initial_pseudo_inputs(observations, num_components),
                domain="positive",
                covariates=self.encoding.categories,
                continuous=self.encoding.continuous,
            )

        prior = make_prior(options, num_components, guide, pseudo_inputs)
        if options["use_observed_lib_size"]:
            model = LatentMixtureModel(prior, decoder, likelihood)
            model.needed_covariates = ("library_size", *widths)
        else:
            model = CountMixtureModel(prior, decoder, likelihood, start.library_loc, start.library_scale)
            model.needed_covariates = tuple(widths)
        return model, guide

    def _starting_values(self, observations: Observations | None) -> StartingValues:
        if observations is None:
            return StartingValues.placeholders(len(self.gene_names), len(self.batch_categories))
        batches = observations.groups.get("batch")
        codes = np.zeros(len(observations), dtype=np.int64) if batches is None else batches.codes
        return StartingValues.of(sparse_blocks(observations), codes, len(self.batch_categories))

    def _initial_pseudo_inputs(self, observations: Observations | None, number: int) -> torch.Tensor:
        if observations is None:
            return torch.ones(number, len(self.gene_names))
        cells = len(observations)
        if number > cells:
            raise UserError(
                f"is more than the {cells} cells trained on, from which pseudo-inputs start: choose at most {cells}, or ",
                Option("prior", "gaussian-mixture"),
                ".",
                option=Option("num_components", number),
            )
        chosen = np.random.default_rng(self.options["random_state"]).choice(cells, number, replace=False)
        return observations.minibatch(torch.from_numpy(chosen), torch.device("cpu")).x

    def settle(self, num_observations: int, new_prior: Prior | None) -> dict[str, Any]:
        """Patience and the steps under a standard normal are left to the data, too."""
        settled = super().settle(num_observations, new_prior)
        if settled["normalization"] == "batch":
            _check_batch_normalisation(settled["batch_size"], num_observations)
        steps = self.steps_per_epoch(num_observations)
        if not settled["early_stopping"]:
            settled["patience"] = None
        elif settled["patience"] is None:
            settled["patience"] = max(LEAST_PATIENCE, -(-STEPS_OF_PATIENCE // steps))
        if settled["standard_normal_steps"] is None:
            learns = new_prior is not None and new_prior.fitted_by == "empirical-bayes"
            most = settled["max_epochs"] * steps // 2
            settled["standard_normal_steps"] = (
                min(STANDARD_NORMAL_STEPS, most) if learns and self.encoding.widths else 0
            )
        return settled

    @property
    def options_of_model(self) -> dict[str, Any]:
        """Options of the model, without those of its training, as :class:`pyro_vmm.SingleCellVMM` calls them."""
        entries = [
            entry for entry in self.entries() if entry.part in ("model", "clusters") or entry.name == "random_state"
        ]
        options = of_face(self.options, self.entries(), SINGLE_CELL)
        return {name: options[name] for entry in entries if (name := entry.of_face(SINGLE_CELL).name) in options}

    @property
    def num_layers(self) -> int:
        """``n_layers``."""
        return int(self.options["n_layers"])

    def draw_seed(self) -> int:
        """The seed that was given, as it is, or drawn when the model was made."""
        return int(self.options["random_state"])

    def profiles(self, evaluation: Evaluation, observations: Observations, clusters: NDArray[np.int64]) -> GeneProfiles:
        """Denoised expression and marker genes."""
        return GeneProfiles(evaluation, observations, clusters, self.gene_names)

    # ---- storing -----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Genes, categories, setup and the encoding of covariates."""
        return super().to_dict() | {
            "setup": self.setup.to_dict(),
            "categories": {column: list(names) for column, names in self.categories.items()},
            "batch_categories": list(self.batch_categories),
            "encoding": self.encoding.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], options: Mapping[str, Any]) -> Self:
        """Read back what :meth:`to_dict` gave."""
        batches = tuple(values["batch_categories"])
        shares = np.asarray(values["batch_shares"], dtype=np.float64)
        if shares.shape != (len(batches),) or not (shares >= 0.0).all():
            raise ValueError("shares of other batches")
        return cls(
            options,
            CountSetup.from_dict(values["setup"]),
            bool(values["allow_non_counts"]),
            np.array(values["gene_names"], dtype=np.str_),
            {column: tuple(names) for column, names in values["categories"].items()},
            batches,
            CovariateEncoding.from_dict(values["encoding"]),
            shares,
        )

    @property
    def feature_names(self) -> NDArray[np.str_]:
        """``[G]``."""
        return self.gene_names


def _check_batch_normalisation(batch_size: int, num_observations: int) -> None:
    if batch_size < 2:
        raise UserError(
            f"is {batch_size}: batch normalisation needs at least 2 cells",
            InPython(", or normalization='layer'"),
            ".",
            option="batch_size",
        )
    if num_observations < 2:
        raise UserError("There is one cell to train on: batch normalisation needs at least 2.")
