"""How many components and clusters some of the observations make, looked at while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.infer.empirical_bayes_svi import EmpiricalBayesSVI
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.observations import Observations

NumberOfClusters = Callable[[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64]], int]
"""From responsibilities ``[n, K]``, posterior means ``[n, D]`` and mixture weights ``[K]`` to the number of clusters."""


@dataclass(frozen=True, eq=False)
class Assigned:
    """Components in use, and the posterior means ``[n, D]`` and responsibilities ``[n, K]`` that say so, if there are several."""

    components: int
    latents: Tensor | None = None
    responsibilities: Tensor | None = None

    @classmethod
    def of(cls, svi: EmpiricalBayesSVI, observations: Observations, rows: Tensor, rows_at_once: int) -> Assigned:
        """Assign the observations ``rows [n]`` to components."""
        guide, prior = svi.guide, svi.model.prior
        if prior.num_components == 1:
            return cls(1)
        device = next(iter(svi.partition.elbo.values())).device
        with torch.no_grad(), evaluation_mode(guide):
            means = torch.cat(
                [
                    guide.posterior(minibatch.x, **minibatch.covariates).mean
                    for minibatch in (observations.minibatch(some, device) for some in rows.split(rows_at_once))
                ]
            )
            responsibilities = prior.responsibilities(means)
        return cls(len(responsibilities.argmax(-1).unique()), means, responsibilities)

    def clusters(self, svi: EmpiricalBayesSVI, number_of_clusters: NumberOfClusters | None) -> float:
        """How many clusters the components make; NaN where nobody says how to count them, or a number is not finite."""
        if self.latents is None or self.responsibilities is None:
            return 1.0
        finite = self.latents.isfinite().all() and self.responsibilities.isfinite().all()
        if number_of_clusters is None or not finite:
            return float("nan")
        weights = svi.model.prior.weights.detach().cpu().double().numpy()
        shares = self.responsibilities.cpu().double().numpy()
        return float(number_of_clusters(shares, self.latents.cpu().float().numpy(), weights))
