"""Whether the guide is near enough to the posterior for its draws to be trusted."""

import numpy as np
from numpy.typing import ArrayLike

from pyro_vmm.diagnosis.finding import Finding
from pyro_vmm.diagnosis.pareto_k import pareto_k, reliable_up_to
from pyro_vmm.diagnosis.sampled_rows import told

NAME = "guide quality"
DRAWS, MOST_ROWS = 100, 60
"""Draws for each observation (a tail of 20) and observations: a share of them has a standard error of at most 0.07, in a second
or two where there are 2,000 features."""
MANY = 0.5
"""Share of unreliable observations worth a notice. It is no warning: amortised guides of ten and more dimensions are often
there, and neither clusters nor embedding rest on importance weights."""


def guide_quality(log_ratios: ArrayLike, num_observations: int) -> Finding:
    """Say for how many observations the guide's tails are too light for importance sampling.

    It cannot see a mode of the posterior that the guide never visits.

    Parameters
    ----------
    log_ratios
        ``log p(x, z) - log q(z | x)`` of the rows looked at, ``[M, S]``.
    num_observations
        Of how many observations they were drawn.
    """
    k, most = pareto_k(log_ratios), reliable_up_to(np.shape(log_ratios)[1])
    share = float((k > most).mean())
    sentence = (
        f"For {100 * share:.0f} % of the observations the importance ratios have a Pareto k above {most:.2g}, too large for "
        f"{np.shape(log_ratios)[1]} draws (median "
        f"{np.median(k):.2f}; {told(len(k), num_observations)})."
    )
    if share > MANY:
        advice = (
            "Read importance-weighted log p(x) and posterior uncertainty with care; covariance='full' may help where it is "
            "'diagonal'."
        )
        return Finding(NAME, "notice", sentence, advice, share)
    return Finding(NAME, "fine", sentence, value=share)
