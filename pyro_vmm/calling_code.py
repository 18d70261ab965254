"""Warnings that point at the line of the user's code, however deep below it they are found."""

import sys
import warnings

BETWEEN = {"pyro_vmm", "sklearn", "contextlib"}
"""Packages whose frames lie between a warning and the user's code: this one, scikit-learn's wrappers, and decorators."""


def warn_caller(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn, at the nearest line that is neither this package's nor scikit-learn's."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
