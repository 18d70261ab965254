"""Novelty of observations: how unlike the reference they are, as p-values calibrated on held-out reference observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.errors import UserError
from pyro_vmm.evaluation import Evaluation

if TYPE_CHECKING:
    from pyro_vmm.observations import Observations

FEWEST_HELD_OUT = 100
"""With fewer held-out observations no useful p-value can be given: the smallest is about one divided by their number."""


class NotCalibratedError(UserError):
    """There are too few held-out observations to calibrate p-values on, or it is not known which they are."""


@dataclass(frozen=True, eq=False)
class Novelty:
    """Conformal p-values against V held-out reference observations.

    An observation has two scores: ``-log p(z)`` under the mixture at its posterior mean, and ``-log p(x | z)``, compared with
    what the reference has at the same size. Each is ranked among the held-out observations'; the smaller of the two p-values is
    ranked once more, so that the result is uniform where an observation is exchangeable with the held-out ones.

    Attributes
    ----------
    evaluation
        The fitted model and guide.
    scores
        Of the held-out observations, ``[V, 2]``.
    level, spread
        Polynomials in the logarithm of the size: the mean reconstruction score and its mean absolute deviation; None where
        observations have no size.
    sizes
        Smallest and largest logarithm of the reference's sizes.

    References
    ----------
    S. Bates et al., "Testing for outliers with conformal p-values", Annals of Statistics 51, 2023.
    """

    evaluation: Evaluation
    scores: NDArray[np.float64]
    level: NDArray[np.float64] | None
    spread: NDArray[np.float64] | None
    sizes: tuple[float, float]

    @classmethod
    def of(
        cls, evaluation: Evaluation, held_out: Observations, size: NDArray[np.floating[Any]] | None = None
    ) -> Novelty:
        """Score the held-out observations.

        Parameters
        ----------
        evaluation
            The fitted model and guide.
        held_out
            V observations that the model was not trained on.
        size
            ``[V]``, positive: on which the reconstruction depends, as on a cell's total count; None for none.

        Raises
        ------
        NotCalibratedError
            For fewer than :data:`FEWEST_HELD_OUT` observations.
        """
        if len(held_out) < FEWEST_HELD_OUT:
            raise NotCalibratedError(
                f"Novelty is calibrated on held-out observations, of which there are {len(held_out)}: hold out at least "
                f"{FEWEST_HELD_OUT}, by more data or a larger share of them."
            )
        raw = _raw_scores(evaluation, held_out)
        if size is None:
            return cls(evaluation, raw, None, None, (0.0, 0.0))
        logs = np.log(size)
        level = np.polyfit(logs, raw[:, 1], 2)
        deviation = np.abs(raw[:, 1] - np.polyval(level, logs))
        found = cls(evaluation, raw, level, np.polyfit(logs, deviation, 1), (float(logs.min()), float(logs.max())))
        return cls(evaluation, found._standardized(raw, size), level, found.spread, found.sizes)

    def p_values(
        self, observations: Observations, size: NDArray[np.floating[Any]] | None = None
    ) -> NDArray[np.float64]:
        """P-values of N observations, ``[N]``, in (0, 1]; ``size [N]`` as for :meth:`of`."""
        return self.p_values_of(self._standardized(_raw_scores(self.evaluation, observations), size))

    def p_values_of(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """P-values ``[N]`` of scores ``[N, 2]``."""
        reference = self._smaller_p(self.scores, own=True)
        found = self._smaller_p(scores, own=False)
        at_most = np.searchsorted(np.sort(reference), found, side="right")
        return np.asarray((1.0 + at_most) / (len(reference) + 1.0), dtype=np.float64)

    def _smaller_p(self, scores: NDArray[np.float64], *, own: bool) -> NDArray[np.float64]:
        """The smaller of both scores' p-values, ``[N]``; ``own`` for the held-out observations, each among them already."""
        number = len(self.scores)
        columns = []
        for column in range(scores.shape[1]):
            reference = np.sort(self.scores[:, column])
            at_least = number - np.searchsorted(reference, scores[:, column], side="left")
            columns.append((at_least + (0 if own else 1)) / (number + 1.0))
        return np.asarray(np.minimum(*columns), dtype=np.float64)

    def _standardized(self, raw: NDArray[np.float64], size: NDArray[np.floating[Any]] | None) -> NDArray[np.float64]:
        if self.level is None or self.spread is None or size is None:
            return raw
        logs = np.clip(np.log(size, dtype=np.float64), *self.sizes)
        # A straight line may fall below zero at the ends of the range.
        least = 0.1 * float(np.polyval(self.spread, np.mean(self.sizes)))
        spread = np.maximum(np.polyval(self.spread, logs), least)
        reconstruction: NDArray[np.float64] = (raw[:, 1] - np.polyval(self.level, logs)) / spread
        return np.column_stack([raw[:, 0], reconstruction])


def _raw_scores(evaluation: Evaluation, observations: Observations) -> NDArray[np.float64]:
    """``-log p(z)`` and ``-log p(x | z)`` at posterior means, ``[N, 2]``."""
    model, guide = evaluation.model, evaluation.guide

    def of_block(x: Tensor, **covariates: Tensor) -> Tensor:
        z = guide.posterior(x, **covariates).mean
        given = dict(covariates)
        if "library_size" not in given and hasattr(guide, "library_posterior"):
            given["library_size"] = guide.library_posterior(x, **covariates).mean
        return -torch.stack((model.prior.log_prob(z).double(), model.log_likelihood(x, z, **given).double()), -1)

    return evaluation.by_rows(of_block, observations)
