"""The same fit with other seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.diagnosis.stability import Stability, stability
from pyro_vmm.errors import UserError
from pyro_vmm.fit import Fit
from pyro_vmm.fit.fitting import train
from pyro_vmm.modalities import Modality
from pyro_vmm.observations import Observations
from pyro_vmm.plain_values import plain
from pyro_vmm.training import Watcher


def refit(
    first: NDArray[np.int64],
    modality: Modality,
    observations: Observations,
    num_seeds: int,
    watchers: Sequence[Watcher] = (),
) -> Stability:
    """Clusters of the observations in a first fit and in ``num_seeds - 1`` others.

    Parameters
    ----------
    first
        Clusters of the observations in the first fit, ``[N]``, which had the seed that the modality's options name.
    modality, observations
        What the others are fitted to, with all options.
    num_seeds
        Runs in all.
    watchers
        Objects that are called after every step and epoch of the others.

    Raises
    ------
    UserError
        If ``num_seeds`` is below 2.
    KeyboardInterrupt
        If Ctrl-C ended one of them: clusters of half a fit are not to be compared with the others.
    """
    seeds = _seeds(modality.options["random_state"], num_seeds)
    runs = [first]
    for seed in seeds[1:]:
        found: list[Fit] = []
        other = replace(modality, options={**modality.options, "random_state": seed})
        train(other, observations, found.append, watchers=watchers)
        if found[0].interrupted:
            raise KeyboardInterrupt
        assert found[0].labels is not None
        runs.append(found[0].labels)
    return stability(runs, seeds)


def _seeds(random_state: Any, number: Any) -> list[int]:
    """The fit's own seed and those counted on from it."""
    number = plain(number)
    if isinstance(number, bool) or not isinstance(number, int) or number < 2:
        raise UserError(f"num_seeds is {number!r}: give at least 2, this fit and another.")
    # A seed that is no whole number (None, a generator) cannot be counted on from; 0 stands for it.
    first = int(random_state) if isinstance(random_state, Integral) else 0
    return [first + place for place in range(number)]
