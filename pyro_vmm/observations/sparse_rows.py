"""Observations kept sparse, of which each minibatch is made dense where it is used."""

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.observations.one_hot_rows import OneHotRows


class SparseRows:
    """``[N, F]`` float32 in compressed sparse rows, in the computer's memory.

    Parameters
    ----------
    counts
        A SciPy CSR array or matrix ``[M, F]``, in canonical form.
    rows
        Which of its rows these are, ``[N]``; None for all. Parts of the same data share its memory.
    """

    def __init__(self, counts: Any, rows: NDArray[np.int64] | None = None) -> None:
        self.counts = counts.astype(np.float32, copy=False)
        self.rows = rows

    def __len__(self) -> int:
        return int(self.counts.shape[0]) if self.rows is None else len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, F)``."""
        return len(self), int(self.counts.shape[1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Values that are stored of each row, ``[N]``."""
        lengths: NDArray[np.int64] = np.diff(self.counts.indptr).astype(np.int64)
        return lengths if self.rows is None else lengths[self.rows]

    def take(self, rows: NDArray[np.int64]) -> Any:
        """Rows ``[B]`` (numbers from 0) as a SciPy array or matrix ``[B, F]``."""
        return self.counts[rows if self.rows is None else self.rows[rows]]

    def dense(self, rows: Tensor, device: torch.device) -> Tensor:
        """Rows ``[B]`` (numbers from 0) as a dense ``[B, F]``, which is made on ``device``: only non-zeros travel."""
        return made_dense(self.take(rows.cpu().numpy()), device)

    def subset(self, rows: Tensor) -> "SparseRows":
        """The observations ``rows [B]``, still sparse; nothing is copied."""
        numbers = rows.cpu().numpy()
        return SparseRows(self.counts, numbers if self.rows is None else self.rows[numbers])


def made_dense(taken: Any, device: torch.device) -> Tensor:
    """An array ``[B, F]``, or a SciPy CSR array in canonical form, as a dense tensor on ``device``."""
    if isinstance(taken, np.ndarray):
        return torch.from_numpy(taken).to(device)
    if device.type == "cpu":
        return torch.from_numpy(taken.toarray())
    starts, columns, values = (torch.from_numpy(part).to(device) for part in (taken.indptr, taken.indices, taken.data))
    return torch.sparse_csr_tensor(starts, columns, values, size=taken.shape).to_dense()


Rows: TypeAlias = Tensor | SparseRows
"""Observations ``[N, F]``, dense or sparse."""
Covariate: TypeAlias = Tensor | OneHotRows
"""What is known of N observations, one row each: numbers, or categories."""


def dense_rows(x: Rows | Covariate, rows: Tensor, device: torch.device) -> Tensor:
    """Rows ``[B]`` of ``x [N, F]`` as a dense tensor on ``device``."""
    if isinstance(x, SparseRows | OneHotRows):
        return x.dense(rows, device)
    return x[rows.to(x.device)].to(device, non_blocking=True)
