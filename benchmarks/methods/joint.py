"""Joint instead of alternating optimisation: the prior's parameters follow the ELBO's own gradient, as VampPrior's do."""

from typing import Any

import pyro
from torch import Tensor

from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.models import LatentMixtureModel


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


class JointVMM(VMM):
    """``VMM`` without the alternation."""

    def _build(self, *arguments: Any, **options: Any) -> Any:
        model, guide = super()._build(*arguments, **options)
        optimise_jointly(model)
        return model, guide


class JointSingleCellVMM(SingleCellVMM):
    """``SingleCellVMM`` without the alternation."""

    def _build(self, training: Any) -> Any:
        module, guide = super()._build(training)
        optimise_jointly(module)
        return module, guide
