"""Whether a responsibility of 0.9 means that nine in ten are right: for simulated observations of known groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.process_settings import usual_settings

if TYPE_CHECKING:
    import pandas as pd

Matching = Literal["majority", "hungarian"]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy, bin by bin.

    Attributes
    ----------
    edges
        Of the bins of confidence, ``[B + 1]``, from 0 to 1.
    counts
        Observations in each bin, ``[B]``.
    confidence, accuracy
        Mean probability of the most probable group, and share of the observations that are of it, ``[B]``; NaN where a bin
        is empty.
    matched
        Group that each cluster stands for, ``[K]``, as a place in ``groups``; -1 for none.
    groups
        The distinct true groups.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    matched: NDArray[np.int64]
    groups: NDArray[np.object_]

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of confidence and accuracy, bins weighted by their observations (Naeini et al. 2015)."""
        return self._mean(np.abs(self.confidence - self.accuracy))

    @property
    def over_confidence(self) -> float:
        """Mean confidence minus mean accuracy: above 0 over-sure, below 0 too vague."""
        return self._mean(self.confidence - self.accuracy)

    def _mean(self, by_bin: NDArray[np.float64]) -> float:
        there = self.counts > 0
        return float(np.average(by_bin[there], weights=self.counts[there]))

    def to_frame(self) -> pd.DataFrame:
        """The reliability table, a row a bin: ``low``, ``high``, ``observations``, ``confidence``, ``accuracy``."""
        import pandas as pd

        return pd.DataFrame(
            {
                "low": self.edges[:-1],
                "high": self.edges[1:],
                "observations": self.counts,
                "confidence": self.confidence,
                "accuracy": self.accuracy,
            }
        )

    def __str__(self) -> str:
        word = "over-sure" if self.over_confidence > 0 else "too vague"
        table = self.to_frame()[self.counts > 0]
        return (
            f"Expected calibration error {self.expected_calibration_error:.3f}; on the mean {word} by "
            f"{abs(self.over_confidence):.3f} ({self.counts.sum():,} observations).\n"
            + table.to_string(index=False, float_format="{:.3f}".format)
        )


@usual_settings()
def reliability(
    groups: ArrayLike, responsibilities: ArrayLike, *, num_bins: int = 10, matching: Matching = "majority"
) -> Reliability:
    """Compare how sure the responsibilities are with how often they are right.

    Clusters are matched to the true groups first; the probability of a group is the sum over its clusters. The matching reads
    the same truth, which flatters small clusters: give many more observations than clusters.

    Parameters
    ----------
    groups
        True group of each observation, ``[N]``: known where data were simulated. Labels that people gave test the people,
        too.
    responsibilities
        ``[N, K]``, rows summing to one.
    num_bins
        Bins of equal width.
    matching
        ``"majority"``: a cluster stands for the group with most of its responsibility, and several may stand for one.
        ``"hungarian"``: one to one, by the largest total; a cluster left over is always wrong.

    Returns
    -------
    Reliability

    Raises
    ------
    UserError
        If shapes disagree, groups are missing, or ``num_bins`` or ``matching`` is not to be used.

    References
    ----------
    M. P. Naeini, G. Cooper and M. Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian binning";
    C. Guo, G. Pleiss, Y. Sun and K. Weinberger (2017), "On calibration of modern neural networks".
    """
    import pandas as pd

    shares = np.asarray(responsibilities, dtype=np.float64)
    truth = np.asarray(groups, dtype=object)
    if shares.ndim != 2 or truth.shape != shares.shape[:1] or not len(truth):
        raise UserError(
            f"groups {list(truth.shape)} and responsibilities {list(shares.shape)} must be [N] and [N, K] of the same "
            "observations."
        )
    if num_bins < 1:
        raise UserError(f"num_bins is {num_bins}: it must be at least 1.")
    codes, names = pd.factorize(truth, use_na_sentinel=True, sort=False)
    if (codes < 0).any():
        raise UserError(f"{int((codes < 0).sum())} of {len(codes)} groups are missing: leave those observations out.")
    mass = np.zeros((len(names), shares.shape[1]))
    np.add.at(mass, codes, shares)
    matched = _matched(mass, matching)
    # A cluster left over has a column of its own, which is nobody's group.
    column = np.where(matched >= 0, matched, len(names) + np.arange(len(matched)))
    probability = np.zeros((len(truth), len(names) + len(matched)))
    for cluster, group in enumerate(column):
        probability[:, group] += shares[:, cluster]
    confidence, right = probability.max(1), probability.argmax(1) == codes
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    # The right edge belongs to the bin, as a confidence of one does to the last.
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, num_bins - 1)
    counts = np.bincount(place, minlength=num_bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            edges=edges,
            counts=counts.astype(np.int64),
            confidence=np.bincount(place, confidence, minlength=num_bins) / counts,
            accuracy=np.bincount(place, right, minlength=num_bins) / counts,
            matched=matched,
            groups=np.asarray(names, dtype=object),
        )


def _matched(mass: NDArray[np.float64], matching: str) -> NDArray[np.int64]:
    """Group of each cluster from their shared mass ``[groups, K]``; -1 for a cluster without one."""
    matched = np.full(mass.shape[1], -1, dtype=np.int64)
    if matching == "majority":
        matched[:] = mass.argmax(0)
    elif matching == "hungarian":
        from scipy.optimize import linear_sum_assignment

        rows, columns = linear_sum_assignment(mass, maximize=True)
        matched[columns] = rows
    else:
        raise UserError(f"matching={matching!r} is not known: choose 'majority' or 'hungarian'.")
    return matched
