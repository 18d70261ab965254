"""Joint instead of alternating optimisation: the prior's parameters follow the ELBO's own gradient, as VampPrior's do."""

from typing import Any

import pyro
from torch import Tensor

from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.modalities.arrays import Arrays
from pyro_vmm.modalities.counts import Counts
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.observations import Observations


def optimise_jointly(model: LatentMixtureModel) -> None:
    """Move prior, networks and likelihood by one update of the ELBO plus, during training, the hyper-prior.

    The hyper-prior enters with the weight that it has in the empirical-Bayes step: ``1 / M`` an observation.
    """
    model.prior.fitted_by = "elbo"
    story = model.fitted

    def with_hyper_prior(x: Tensor | None = None, **options: Any) -> Tensor:
        if model.training and x is not None:
            pyro.factor("hyper_prior", model.prior.hyper_log_prob() * len(x) / model.prior.prior_weight)
        return story(x, **options)

    model.fitted = with_hyper_prior


class JointArrays(Arrays):
    """Arrays whose model is optimised jointly."""

    def build(self, observations: Observations | None, num_components: int) -> Any:
        """As there, and then optimised jointly."""
        model, guide = super().build(observations, num_components)
        optimise_jointly(model)
        return model, guide


class JointCounts(Counts):
    """Counts whose model is optimised jointly."""

    def build(self, observations: Observations | None, num_components: int) -> Any:
        """As there, and then optimised jointly."""
        model, guide = super().build(observations, num_components)
        optimise_jointly(model)
        return model, guide


class JointVMM(VMM):
    """``VMM`` without the alternation."""

    modality_class = JointArrays


class JointSingleCellVMM(SingleCellVMM):
    """``SingleCellVMM`` without the alternation."""

    modality_class = JointCounts
