"""What a training that goes on from a fit leaves as it was: the modules that the user has, and the history so far."""

from copy import deepcopy
from dataclasses import replace

import pandas as pd

from pyro_vmm.fit import Fit


def in_modules_of(earlier: Fit, fit: Fit) -> Fit:
    """The fit with its parameters in the modules of an earlier one, which is left with copies of them."""
    model, guide = earlier.model, earlier.guide
    earlier.model, earlier.guide = deepcopy((model, guide))
    for mine, trained in ((model, fit.model), (guide, fit.guide)):
        mine.to(next(fit.guide.parameters()).device)
        mine.load_state_dict(trained.state_dict())
        mine.eval()
    return replace(fit, model=model, guide=guide)


def continued(before: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """One history of two trainings, its epochs counted on."""
    return pd.concat([before, new.assign(epoch=new["epoch"] + len(before))], ignore_index=True)
