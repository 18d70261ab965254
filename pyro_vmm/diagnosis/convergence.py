"""Whether training had come to its end."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.diagnosis.finding import Finding
from pyro_vmm.training.history import present_names

NAME, FALLING = "convergence", "number of components over time"
FEWEST_EPOCHS = 8
"""With fewer there is no trend to look at."""
AT_THE_END = 0.1
"""The best epoch is among the last tenth: patience, where there is any, has not run out, so ``max_epochs`` ended training."""
LAST_PART = 0.25
"""Share of the epochs over which trends are taken."""
LEAST_RISE = 0.02, 0.1
"""Rise over the last quarter as a share of the whole rise since the first quarter, for a notice and for a warning. An
exponential approach whose time constant is a quarter of the training leaves 0.05, one of half the training 0.14."""
NOISE = 2.0
"""A rise or a fall counts if its slope is this many standard errors: with the eight to twenty epochs of a last quarter, what noise
alone does once in twenty or thirty times."""
LEAST_FALL = 0.1
"""Share of the components lost over the last quarter from which more is likely to come."""
ADVICE = "Train longer: raise max_epochs."


def convergence(history: pd.DataFrame) -> Finding:
    """Say whether the ELBO was still rising when ``max_epochs`` ended the training.

    The validation ELBO where there is one, or else the training ELBO. It cannot see a plateau before another rise, nor a
    poor optimum.

    Parameters
    ----------
    history
        A row an epoch: ``elbo``, ``validation_elbo`` (NaN without held-out observations).
    """
    elbo, kind = _watched(history)
    epochs = len(elbo)
    if epochs < FEWEST_EPOCHS:
        told = f"Training lasted {epochs} epoch{'' if epochs == 1 else 's'}, too few to see a trend."
        return Finding(NAME, "warning", told, ADVICE, float("nan"))
    best = int(elbo.argmax())
    if best < epochs - max(1.0, AT_THE_END * epochs):
        sentence = f"The {kind} ELBO was best at epoch {best + 1} of {epochs}, and has not risen since."
        return Finding(NAME, "fine", sentence, value=0.0)
    window = max(5, round(LAST_PART * epochs))
    slope, error = _slope(elbo[-window:])
    rise = slope * (window - 1)
    whole = float(elbo[best] - np.median(elbo[: max(2, round(LAST_PART * epochs))]))
    share = rise / whole if whole > 0 else 0.0
    if slope <= NOISE * error or share < LEAST_RISE[0]:
        sentence = (
            f"The {kind} ELBO was level over the last {window} of {epochs} epochs, within its noise or nearly so."
        )
        return Finding(NAME, "fine", sentence, value=max(share, 0.0))
    sentence = (
        f"The {kind} ELBO was best at epoch {best + 1} of {epochs} and still rising: by {rise:.3g} nats an observation over "
        f"the last {window} epochs, {100 * share:.0f} % of its whole rise since the first quarter."
    )
    return Finding(NAME, "warning" if share >= LEAST_RISE[1] else "notice", sentence, ADVICE, share)


def falling_clusters(history: pd.DataFrame) -> Finding | None:
    """Say whether the number of components in use was still falling at the end; None where the epochs are too few.

    It cannot see components that will die although none has for a while.

    Parameters
    ----------
    history
        A row an epoch: ``components_in_use``, and ``clusters_in_use`` in epochs in which they were counted.
    """
    history = history.rename(columns=present_names(history.columns))
    used = history["components_in_use"].to_numpy(dtype=np.float64)
    epochs = len(used)
    if epochs < FEWEST_EPOCHS:
        return None
    window = max(5, round(LAST_PART * epochs))
    last = used[-window:]
    slope, error = _slope(last)
    fall = -slope * (window - 1)
    sentence = f"Components in use went from {last[0]:.0f} to {last[-1]:.0f} over the last {window} of {epochs} epochs."
    counted = history.get("clusters_in_use", pd.Series(dtype=float)).dropna()
    if len(counted):
        made = int(counted.iloc[-1])
        sentence += f" Joined, they made {made} cluster{'' if made == 1 else 's'} of at most 1,000 observations."
    # A single component gone may be chance; one that comes and goes is the error of the slope.
    if slope < -NOISE * error and fall > max(1.0, LEAST_FALL * last[0]):
        return Finding(FALLING, "notice", sentence, "Train longer, with a larger patience, if fewer are wanted.", fall)
    return Finding(FALLING, "fine", sentence, value=max(fall, 0.0))


def _watched(history: pd.DataFrame) -> tuple[NDArray[np.float64], str]:
    """The ELBO that says when to stop, ``[epochs]``, and what it is called."""
    validation = history["validation_elbo"].to_numpy(dtype=np.float64)
    if np.isfinite(validation).all():
        return validation, "validation"
    return history["elbo"].to_numpy(dtype=np.float64), "training"


def _slope(values: NDArray[np.float64]) -> tuple[float, float]:
    """Slope of a straight line through values an epoch apart, and its standard error."""
    time = np.arange(len(values)) - (len(values) - 1) / 2
    slope = float(time @ values / (time @ time))
    residuals = values - values.mean() - slope * time
    return slope, float(np.sqrt(residuals @ residuals / (len(values) - 2) / (time @ time)))
