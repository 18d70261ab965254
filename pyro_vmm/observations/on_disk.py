"""Observations that are read while they are used, a window of blocks at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.observations.base import Groups, Minibatch
from pyro_vmm.observations.fingerprint import arrays_of, digest_of
from pyro_vmm.observations.orders import minibatches_by_blocks, rows_of_blocks
from pyro_vmm.observations.sparse_rows import Covariate, dense_rows, made_dense

if TYPE_CHECKING:
    from scipy.sparse import csr_array

ROWS_IN_A_BLOCK = 16
"""Neighbours that are read together."""
BLOCKS_IN_A_WINDOW = 2048
"""Blocks in memory at a time: with 8 in a minibatch of 256 or fewer, its mix of batches is nearly that of rows drawn one by one."""
BLOCKS_IN_A_FINGERPRINT = 64


class Room:
    """Memory for the values of a window, kept for the next one."""

    def __init__(self) -> None:
        self._values, self._columns = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int32)

    def of(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Room for so many values and their columns, ``[number]`` each; what was there before is lost."""
        if number > len(self._values):
            # Given up before more is asked for.
            self._values, self._columns = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int32)
            enough = number + number // 8
            self._values, self._columns = np.empty(enough, dtype=np.float32), np.empty(enough, dtype=np.int32)
        return self._values[:number], self._columns[:number]


class ReadRows(NamedTuple):
    """Rows that have been read, perhaps with others between them."""

    matrix: csr_array | NDArray[np.float32]
    """``[R, F]``, float32, sparse or dense."""
    places: NDArray[np.int64]
    """Where in it the rows asked for are, ``[B]``."""

    def take(self, which: NDArray[np.int64]) -> csr_array | NDArray[np.float32]:
        """Those of the rows asked for that have these numbers among them."""
        return self.matrix[self.places[which]]


class StoredRows(Protocol):
    """A matrix ``[N, F]`` that lies elsewhere, sparse or dense: what :class:`OnDisk` needs of a format."""

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, F)``."""
        ...

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Values that are stored of each row, ``[N]``."""
        ...

    def read(self, rows: NDArray[np.int64], room: Room | None = None) -> ReadRows:
        """Read the rows ``[B]``, in any order.

        Raises
        ------
        UserError
            If they cannot be read, or are no longer what they were.
        """
        ...

    def __getitem__(self, rows: NDArray[np.int64]) -> Self:
        """These rows, in the order given, not read yet."""
        ...


@dataclass(eq=False)
class OnDisk:
    """Observations of which a window of blocks is in memory; see :class:`~pyro_vmm.observations.Observations`.

    Attributes
    ----------
    x
        ``[N, F]``.
    covariates
        By name, N rows each, in memory.
    groups
        Known groups by name.
    rows_in_a_block, blocks_in_a_window
        How much is read at a time. The order of an epoch is random among the rows of a window, and where all rows make one window
        it is that of :class:`~pyro_vmm.observations.InMemory`.
    """

    x: StoredRows
    covariates: Mapping[str, Covariate] = field(default_factory=dict)
    groups: Mapping[str, Groups] = field(default_factory=dict)
    rows_in_a_block: int = ROWS_IN_A_BLOCK
    blocks_in_a_window: int = BLOCKS_IN_A_WINDOW
    _epoch: _Epoch | None = field(default=None, init=False, repr=False)
    _room: Room = field(default_factory=Room, init=False, repr=False)

    @property
    def num_features(self) -> int:
        """``F``."""
        return self.x.shape[1]

    def __len__(self) -> int:
        return self.x.shape[0]

    def minibatch(self, rows: Tensor, device: torch.device) -> Minibatch:
        """The rows ``[B]`` as tensors on ``device``."""
        beside = {name: dense_rows(values, rows, device) for name, values in self.covariates.items()}
        return Minibatch(made_dense(self.taken(rows.cpu().numpy()), device), beside)

    def sparse(self, rows: NDArray[np.int64]) -> csr_array:
        """The rows ``[B]`` as a SciPy array ``[B, F]`` in canonical form."""
        from scipy import sparse

        return sparse.csr_array(self.taken(rows))

    def taken(self, rows: NDArray[np.int64]) -> csr_array | NDArray[np.float32]:
        """The rows ``[B]`` as they are stored: ``[B, F]``, dense, or a SciPy array in canonical form."""
        from scipy import sparse

        epoch, parts, taken = self._epoch, [], []
        left = np.arange(len(rows))
        while epoch is not None and len(left):
            held = epoch.holds(rows[left])
            if held.any():
                parts.append(epoch.take(rows[left[held]]))
                taken.append(left[held])
                left = left[~held]
            if not (len(left) and epoch.move_on(rows[left], self.x, self._room)):
                break
        if len(left) or not parts:
            read = self.x.read(rows[left])
            parts.append(read.take(np.arange(len(left))))
            taken.append(left)
        found = parts[0]
        if len(parts) > 1:
            pieces: list[Any] = parts
            dense = isinstance(found, np.ndarray)
            together = np.concatenate(pieces) if dense else sparse.csr_array(sparse.vstack(pieces))
            found = together[np.argsort(np.concatenate(taken))]
        if not isinstance(found, np.ndarray):
            found.sum_duplicates()
        return found

    def order(self, epoch: int, batch_size: int, seed: int) -> Sequence[Tensor]:
        """Blocks in an order drawn anew, shuffled by windows; see :func:`~pyro_vmm.observations.orders.minibatches_by_blocks`."""
        # A checkpoint of a training whose file has changed names the file as it was.
        assert self._fingerprint
        asked = (epoch, batch_size, seed)
        if self._epoch is None or self._epoch.asked != asked:
            batches, windows = minibatches_by_blocks(
                len(self),
                batch_size,
                seed=seed,
                epoch=epoch,
                rows_in_a_block=self.rows_in_a_block,
                blocks_in_a_window=self.blocks_in_a_window,
            )
            earlier = self._epoch
            self._epoch = _Epoch(asked, batches, windows, self.rows_in_a_block, len(self))
            if earlier is not None and len(windows) == 1:
                self._epoch.keep_window_of(earlier)
        return self._epoch.batches

    def subset(self, rows: NDArray[np.int64]) -> OnDisk:
        """The observations ``rows [B]``; nothing is read."""
        numbers = torch.as_tensor(rows)
        return replace(
            self,
            x=self.x[numbers.numpy()],
            covariates={name: values[numbers.to(values.device)] for name, values in self.covariates.items()},
            groups={name: groups.of(numbers.numpy()) for name, groups in self.groups.items()},
        )

    def fingerprint(self) -> str:
        """SHA-256 of the lengths of all rows, of the values of some blocks evenly spaced, and of the covariates."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        blocks = -(-len(self) // self.rows_in_a_block)
        some = np.unique(np.linspace(0, blocks - 1, min(blocks, BLOCKS_IN_A_FINGERPRINT)).astype(np.int64))
        looked_at = self.sparse(rows_of_blocks(some, self.rows_in_a_block, len(self)))
        parts: list[Any] = [np.array(self.x.shape), self.x.lengths]
        parts += [looked_at.indptr.astype(np.int64), looked_at.indices.astype(np.int64), looked_at.data]
        return digest_of([*parts, *arrays_of(self.covariates)])

    def with_covariates(self, **covariates: Covariate) -> OnDisk:
        """The same observations with these covariates in place of those of the same name."""
        return replace(self, covariates={**self.covariates, **covariates})


class _Epoch:
    """The order of an epoch, and the window of it that is in memory."""

    def __init__(
        self,
        asked: tuple[int, int, int],
        batches: Sequence[Tensor],
        windows: Sequence[NDArray[np.int64]],
        rows_in_a_block: int,
        num_rows: int,
    ) -> None:
        self.asked, self.batches = asked, batches
        self._windows, self._rows_in_a_block, self._num_rows = windows, rows_in_a_block, num_rows
        self._window_of = np.empty(-(-num_rows // rows_in_a_block), dtype=np.int32)
        # Where a block's rows begin among those of its window.
        self._starts = np.empty(len(self._window_of), dtype=np.int64)
        for number, blocks in enumerate(windows):
            self._window_of[blocks] = number
            sizes = np.minimum(rows_in_a_block, num_rows - blocks * rows_in_a_block)
            self._starts[blocks] = np.cumsum(sizes) - sizes
        self._held = -1
        self._read: ReadRows | None = None

    def holds(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the rows ``[B]`` are in memory, ``[B]``."""
        held: NDArray[np.bool_] = self._window_of[rows // self._rows_in_a_block] == self._held
        return held

    def take(self, rows: NDArray[np.int64]) -> csr_array | NDArray[np.float32]:
        """Rows that are in memory, ``[B, F]``."""
        assert self._read is not None
        block, place = np.divmod(rows, self._rows_in_a_block)
        return self._read.take(self._starts[block] + place)

    def move_on(self, rows: NDArray[np.int64], x: StoredRows, room: Room) -> bool:
        """Read the window that all of the rows ``[B]`` lie in, if that comes after the present one; says whether it did.

        Rows of several windows, or of an earlier one, are not what comes next in the order: somebody looks at a sample.
        """
        windows = self._window_of[rows // self._rows_in_a_block]
        wanted = int(windows[0])
        if wanted <= self._held or (windows != wanted).any():
            return False
        self._held, self._read = -1, None
        rows = rows_of_blocks(self._windows[wanted], self._rows_in_a_block, self._num_rows)
        self._read, self._held = x.read(rows, room), wanted
        return True

    def keep_window_of(self, earlier: _Epoch) -> None:
        """Of an order that has one window, as this one: what is in memory already."""
        self._held, self._read = earlier._held, earlier._read
