"""Shapes of tensors in signatures: ``Float[Tensor, "B F"]`` is a tensor of floating-point numbers, ``B`` rows of ``F``.

The string names the axes as jaxtyping does: a name stands for one size throughout a call, ``*batch`` for any number of
leading axes, ``*#batch`` for leading axes that are broadcast, ``_`` and ``...`` for one axis and any number of them that nothing
else repeats, and a number for itself. To Python and to type checkers the annotation is the plain type. The tests put jaxtyping's
types in the place of these names and check every call.
"""

from typing import Annotated as Bool
from typing import Annotated as Float
from typing import Annotated as Int
from typing import Annotated as Real

__all__ = ["Bool", "Float", "Int", "Real"]
