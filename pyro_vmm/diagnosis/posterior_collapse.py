"""Whether there are latent dimensions that say nothing of the observations."""

import numpy as np

from pyro_vmm.diagnosis.finding import Finding
from pyro_vmm.diagnosis.posteriors import Posteriors
from pyro_vmm.diagnosis.sampled_rows import told

NAME = "posterior collapse"
ACTIVE = 0.01
"""A dimension is active if this share of its variance is between observations: the threshold of Burda, Grosse and Salakhutdinov
(2016), who found the two kinds of dimensions to lie far from it on either side."""
LEAST_INFORMATION = 0.1
"""Nats: where no direction tells so much of the observations, all of them have collapsed, though sampling lets their means vary."""
MOST_IDLE = 0.5
"""Share of idle dimensions from which it is worth knowing; some are only spare room."""


def posterior_collapse(posteriors: Posteriors, num_observations: int, *, standard_normal: bool = False) -> Finding:
    """Count the directions in which posterior means vary between observations, and give the information in each.

    Directions need not be axes: see :meth:`~pyro_vmm.diagnosis.posteriors.Posteriors.along_directions`. An active direction
    does not have to say anything that the decoder reads; the reconstruction says that.

    Parameters
    ----------
    posteriors
        Of the rows looked at.
    num_observations
        Of how many observations they were drawn.
    standard_normal
        Whether the prior is ``Normal(0, I)``: then the KL of each dimension is told, too.

    References
    ----------
    Y. Burda, R. Grosse and R. Salakhutdinov (2016), "Importance weighted autoencoders".
    """
    dimensions = posteriors.loc.shape[1]
    directions = posteriors.along_directions()
    active = directions.informed_share() > ACTIVE
    # An estimate from draws, which may fall below nothing.
    information = np.maximum(directions.information_by_dimension(), 0.0)
    idle = np.flatnonzero(posteriors.informed_share() <= ACTIVE)
    sentence = (
        f"{int(active.sum())} of {dimensions} latent dimensions vary between observations, with {information.min():.2f} to "
        f"{information.max():.2f} nats of information each"
    )
    if standard_normal:
        kl = posteriors.standard_normal_kl()
        sentence += f" and a KL from the prior of {kl.min():.2f} to {kl.max():.2f}"
    sentence += f" ({told(len(posteriors), num_observations)})"
    share = float(1.0 - active.mean())
    if share and len(idle) == (~active).sum():
        sentence += f"; idle: {', '.join(map(str, idle[:10]))}" + (" ..." if len(idle) > 10 else "")
    elif share:
        sentence += "; the idle ones are oblique to the axes"
    if not active.any() or information.max() < LEAST_INFORMATION:
        advice = "Warm the KL term up (kl_warmup_steps), lower the learning rate, or take a less powerful likelihood."
        return Finding(NAME, "warning", sentence + ".", advice, share)
    if share >= MOST_IDLE:
        advice = "Fewer latent dimensions would do; if clusters are lost, warm the KL term up (kl_warmup_steps)."
        return Finding(NAME, "notice", sentence + ".", advice, share)
    return Finding(NAME, "fine", sentence + ".", value=share)
