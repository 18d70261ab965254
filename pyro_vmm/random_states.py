"""What scikit-learn calls a random state: a seed, a generator, or None."""

from typing import Any

from pyro_vmm.option_checks import check_seed

SEEDS = 2**31 - 1
"""Seeds are drawn from 0 up to this number, not included."""


def is_generator(random_state: Any) -> bool:
    """Whether it is one of NumPy's generators, old or new."""
    import numpy as np

    return isinstance(random_state, np.random.RandomState | np.random.Generator)


def check_state(random_state: Any, name: str = "random_state", *, or_none: bool = True) -> Any:
    """Return it if it is a seed that all generators take, a generator of NumPy's, or where ``or_none``, None.

    Raises
    ------
    UserError
        If it is anything else.
    """
    if (random_state is None and or_none) or is_generator(random_state):
        return random_state
    return check_seed(random_state, name)


def draw_seed(random_state: Any) -> int:
    """The seed that a random state stands for; a generator is advanced by one draw."""
    import numpy as np
    from sklearn.utils import check_random_state

    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(SEEDS))
    return int(check_random_state(random_state).randint(SEEDS))
