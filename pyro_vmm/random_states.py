"""What scikit-learn calls a random state: a seed, a generator, or None."""

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from pyro_vmm.option_checks import check_seed

SEEDS = 2**31 - 1
"""Seeds are drawn from 0 up to this number, not included."""


def is_generator(random_state: Any) -> bool:
    """Whether it is one of NumPy's generators, old or new."""
    return isinstance(random_state, np.random.RandomState | np.random.Generator)


def check_state(random_state: Any, name: str = "random_state") -> None:
    """Raise :class:`UserError` unless it is a seed that all generators take, a generator of NumPy's, or None."""
    if not (random_state is None or is_generator(random_state)):
        check_seed(random_state, name)


def draw_seed(random_state: Any) -> int:
    """The seed that a random state stands for; a generator is advanced by one draw."""
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(SEEDS))
    return int(check_random_state(random_state).randint(SEEDS))
