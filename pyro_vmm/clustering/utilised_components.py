"""The components that own observations, and what a criterion for joining them may read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.clustering.row_blocks import RowBlocks
from pyro_vmm.errors import UserError
from pyro_vmm.shapes import Float, Int


@dataclass(frozen=True, eq=False)
class UtilisedComponents:
    """The U components that are the arg-max of at least one observation, and the observations.

    Attributes
    ----------
    blocks
        Responsibilities ``[N, K]``, float32 or float64, a block of rows at a time; not to be changed.
    masses
        ``[K]``: their sums over the observations.
    gram
        ``[K, K]``: their products, summed over the observations.
    assigned
        ``[N]``: the arg-max component of each observation.
    utilised
        ``[U]``, ascending.
    representatives
        ``[K]``: the utilised component that has each one's mass; itself where it is utilised.
    evidence_weight
        As it was given; None for the criterion's own rule.
    """

    blocks: RowBlocks
    masses: NDArray[np.float64]
    gram: NDArray[np.float64]
    assigned: NDArray[np.int64]
    utilised: NDArray[np.int64]
    representatives: NDArray[np.int64]
    evidence_weight: float | None
    _latents: ArrayLike | None

    @classmethod
    def of(
        cls,
        responsibilities: ArrayLike | RowBlocks,
        latents: ArrayLike | None = None,
        evidence_weight: float | None = None,
    ) -> UtilisedComponents:
        """Of responsibilities ``[N, K]``, which are read once, and, for criteria that read them, latents ``[N, D]``.

        Raises
        ------
        UserError
            If the responsibilities are no probabilities. Latents and weight are checked where they are read.
        """
        blocks = responsibilities if isinstance(responsibilities, RowBlocks) else _blocks_of(responsibilities)
        number = blocks.shape[1]
        masses, gram = np.zeros(number), np.zeros((number, number))
        owners = []
        for block in blocks:
            _check_responsibilities(block)
            rows = block.astype(np.float64)
            # Row after row, so that the digits do not depend on where blocks end.
            masses = np.concatenate([masses[None], rows]).sum(axis=0)
            gram += rows.T @ rows
            owners.append(block.argmax(axis=1))
        assigned = np.concatenate(owners)
        utilised = np.unique(assigned)
        representatives = _attach_unused(gram, masses, utilised)
        return cls(blocks, masses, gram, assigned, utilised, representatives, evidence_weight, latents)

    @property
    def positions(self) -> Int[NDArray[np.int64], "N"]:
        """The arg-max component of each observation, ``[N]``, by its position in :attr:`utilised`."""
        return np.searchsorted(self.utilised, self.assigned)

    @property
    def membership(self) -> Float[NDArray[np.float64], "K U"]:
        """``[K, U]``: 1 where a component's mass belongs to the utilised one."""
        return (self.representatives[:, None] == self.utilised).astype(np.float64)

    @cached_property
    def responsibilities(self) -> NDArray[np.floating[Any]]:
        """All :attr:`blocks` at once, ``[N, K]``."""
        return self.blocks.whole()

    @property
    def summed(self) -> Float[NDArray[np.floating[Any]], "N U"]:
        """Responsibilities of the utilised components with those that go with them, ``[N, U]``."""
        return np.concatenate(list(self.summed_blocks()))

    def summed_blocks(self) -> Iterator[NDArray[np.floating[Any]]]:
        """As :attr:`summed`, blocks ``[B, U]`` from the first row to the last."""
        for block in self.blocks:
            yield block @ self.membership.astype(block.dtype)

    @cached_property
    def latents(self) -> NDArray[np.float64]:
        """Posterior means of the observations, ``[N, D]``.

        Raises
        ------
        UserError
            If they are no finite table of numbers with one row for each observation.
        """
        return _checked_latents(self._latents, len(self.blocks))


def _attach_unused(
    gram: NDArray[np.float64], masses: NDArray[np.float64], utilised: NDArray[np.int64]
) -> NDArray[np.int64]:
    representatives = np.arange(len(masses))
    heaviest = utilised[masses[utilised].argmax()]
    # The unused component's own norm scales its whole row alike, so it is left out: no division by zero.
    similarity = gram[:, utilised] / np.sqrt(np.diagonal(gram)[utilised])
    for component in np.setdiff1d(representatives, utilised):
        row = similarity[component]
        representatives[component] = utilised[row.argmax()] if row.any() else heaviest
    return representatives


def _checked_latents(latents: ArrayLike | None, number: int) -> NDArray[np.float64]:
    try:
        array = np.asarray(latents, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError("latents are no table of numbers: give [N, D], the posterior means of a fit.") from None
    if array.ndim != 2 or len(array) != number or not array.shape[1]:
        raise UserError(
            f"latents have shape {list(array.shape)}: give [{number}, D], a row for each of responsibilities."
        )
    if not np.isfinite(array).all():
        raise UserError("latents are not finite everywhere: give the posterior means of a sound fit.")
    return array


def _blocks_of(responsibilities: ArrayLike) -> RowBlocks:
    array = np.asarray(responsibilities)
    if array.ndim != 2 or 0 in array.shape:
        raise UserError(f"responsibilities have shape {list(array.shape)}: give [N, K], with at least one of each.")
    if array.dtype not in (np.float32, np.float64):
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise UserError(f"responsibilities have dtype {array.dtype}: give probabilities.") from None
    return RowBlocks.of(array)


def _check_responsibilities(block: NDArray[np.floating[Any]]) -> None:
    sums = block.sum(axis=1, dtype=np.float64)
    # Half a percent is far above float32 rounding and far below what log-probabilities or counts would show.
    if not (np.abs(sums - 1.0) < 5e-3).all() or block.min() < 0.0:
        raise UserError("responsibilities must be finite, non-negative and sum to one in each row: give probabilities.")
