"""Numbers and names of NumPy and torch as Python's own: what a user may give, what JSON holds and what messages show."""

from typing import Any


def plain(value: Any) -> Any:
    """``value`` as Python's own, if it is a scalar, a one-dimensional array or a device of NumPy or torch.

    An array becomes a tuple, and what lists, tuples and dictionaries hold is converted alike. Anything else is returned as
    it is, and so is what is plain already.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    # The command line reads the table of options without NumPy and torch, which take a second.
    import numpy as np
    import torch
    from torch import Tensor

    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | Tensor) and value.ndim == 0:
        return plain(value.item())
    if isinstance(value, np.ndarray | Tensor) and value.ndim == 1:
        return tuple(map(plain, value.tolist()))
    if isinstance(value, torch.device):
        return str(value)
    if type(value) in (list, tuple):
        items = type(value)(map(plain, value))
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, dict):
        entries = {plain(name): plain(entry) for name, entry in value.items()}
        return value if all(entries.get(name) is entry for name, entry in value.items()) else entries
    return value
