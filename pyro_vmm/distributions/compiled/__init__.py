"""What numba compiles: the likelihood of counts.

The package numba is optional: without it, on a GPU and for small arrays everything is done in torch's operations, with the same
results to rounding. This module can be imported without it, the others of the package cannot.
"""

import functools
import importlib.util
import warnings

SMALLEST = 2**16
"""Entries from which on compiled code is used: compiling takes seconds, and few entries would never earn them back."""


@functools.cache
def can_compile() -> bool:
    """Whether numba is installed and allowed to compile (its ``NUMBA_DISABLE_JIT`` forbids it)."""
    if importlib.util.find_spec("numba") is None:
        return False
    try:
        import numba
    except ImportError as error:  # beside a NumPy that is too new for it, say
        warnings.warn(f"numba cannot be imported, so that counts train more slowly: {error}", stacklevel=2)
        return False
    return not numba.config.DISABLE_JIT
