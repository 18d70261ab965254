"""The same fit with other seeds."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

from sklearn.base import clone

from pyro_vmm.diagnosis.stability import Stability, stability
from pyro_vmm.errors import UserError
from pyro_vmm.plain_values import plain

if TYPE_CHECKING:
    from pyro_vmm.single_cell.model import SingleCellVMM
    from pyro_vmm.vmm import VMM


def refit_arrays(model: VMM, X: Any, num_seeds: int) -> Stability:
    """Clusters of ``X`` in this fit and in ``num_seeds - 1`` others; see :meth:`pyro_vmm.VMM.stability`."""
    # A seed that is no whole number (None, a generator) cannot be counted on from; 0 stands for it.
    first = int(model.random_state) if isinstance(model.random_state, Integral) else 0
    seeds = _seeds(first, num_seeds)
    runs = [model.predict(X)]
    for seed in seeds[1:]:
        other = clone(model).set_params(random_state=seed).fit(X)
        _raise_if_interrupted(other)
        runs.append(other.predict(X))
    return stability(runs, seeds)


def refit_cells(model: SingleCellVMM, num_seeds: int, train_options: Mapping[str, Any]) -> Stability:
    """Clusters of the cells fitted in this fit and in ``num_seeds - 1`` others; see :meth:`pyro_vmm.SingleCellVMM.stability`."""
    seeds = _seeds(model.random_state, num_seeds)
    runs = [model.predict()]
    for seed in seeds[1:]:
        other = type(model)._of_cells(model.cells, model.options | {"random_state": seed}, model.allow_non_counts)
        other.train(**train_options)
        _raise_if_interrupted(other)
        runs.append(other.predict())
    return stability(runs, seeds)


def _raise_if_interrupted(model: VMM | SingleCellVMM) -> None:
    """One Ctrl-C ends all the fits: clusters of half a fit are not to be compared with the others."""
    if model.interrupted_:
        raise KeyboardInterrupt


def _seeds(first: int, number: Any) -> list[int]:
    """The fit's own seed and those counted on from it."""
    number = plain(number)
    if isinstance(number, bool) or not isinstance(number, int) or number < 2:
        raise UserError(f"num_seeds is {number!r}: give at least 2, this fit and another.")
    return [first + place for place in range(number)]
