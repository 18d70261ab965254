"""Whether the fit learned the training observations by heart."""

import numpy as np
import pandas as pd

from pyro_vmm.diagnosis.finding import Finding

NAME = "over-fitting"
FEWEST_EPOCHS = 5
NOTICE, WARNING = 0.3, 0.6
"""Share of the training ELBO's rise that the validation ELBO did not share, up to the epoch that was kept. Small tables fitted
well lose a tenth or two; above 0.6 the fit is more about the observations it saw than about any others."""


def over_fitting(history: pd.DataFrame) -> Finding | None:
    """Compare how far the training and the validation ELBO rose until the best epoch, whose state was kept.

    Rises and not levels are compared, since a few held-out observations may be easier or harder than the rest. It cannot
    see over-fitting within the first epoch, nor of observations that are copies of each other.

    Parameters
    ----------
    history
        A row an epoch: ``elbo``, ``validation_elbo``.

    Returns
    -------
    Finding or None
        None where there are too few epochs.
    """
    training = history["elbo"].to_numpy(dtype=np.float64)
    validation = history["validation_elbo"].to_numpy(dtype=np.float64)
    if not np.isfinite(validation).all():
        return Finding(
            NAME,
            "notice",
            "No observations were held out, so over-fitting cannot be seen.",
            "Hold some out (validation_fraction, or train_size below 1).",
        )
    best = int(validation.argmax())
    if len(training) < FEWEST_EPOCHS:
        return None
    if best < 2:
        return Finding(
            NAME,
            "warning",
            f"The validation ELBO was best at epoch {best + 1} of {len(validation)}, and fell from there.",
            "Lower the learning rate, take narrower networks or fewer latent dimensions, or more observations.",
            1.0,
        )
    # The training ELBO is a mean over an epoch, the validation ELBO is taken at its end.
    middle = (validation[1:] + validation[:-1]) / 2
    risen, shared = float(training[best] - training[1]), float(middle[best - 1] - middle[0])
    share = 1.0 - shared / risen if risen > 0 else 0.0
    sentence = (
        f"Until epoch {best + 1}, whose state was kept, the ELBO of training observations rose by {risen:.3g} nats and that of "
        f"held-out ones by {shared:.3g}."
    )
    if share <= NOTICE:
        return Finding(NAME, "fine", sentence, value=share)
    return Finding(
        NAME,
        "warning" if share > WARNING else "notice",
        sentence,
        "More observations, narrower networks, dropout or fewer latent dimensions would narrow the gap.",
        share,
    )
