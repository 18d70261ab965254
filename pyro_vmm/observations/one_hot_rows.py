"""Categories kept as codes, of which each minibatch is made one-hot where it is used."""

from typing import Any

import torch
from torch import Tensor


class OneHotRows:
    """One-hot ``[N, C]``, float32, kept as codes ``[N]``: a million cells of 500 batches take 8 MB rather than 2 GB.

    Networks and likelihoods take it as they take the tensor ``one_hot_rows.to("cpu")``.

    Parameters
    ----------
    codes
        Categories of N rows, int64, within ``0 .. number - 1``.
    number
        Number of categories ``C``.
    """

    ndim = 2

    def __init__(self, codes: Tensor, number: int) -> None:
        self.codes, self.number = codes, number

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, C)``."""
        return len(self.codes), self.number

    @property
    def device(self) -> torch.device:
        """Where the codes are."""
        return self.codes.device

    def __getitem__(self, rows: Any) -> "OneHotRows":
        """These rows (anything that indexes the first dimension of a tensor), still as codes."""
        return OneHotRows(self.codes[rows], self.number)

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """All rows as a tensor ``[N, C]`` of ones and zeros; arguments as for :meth:`torch.Tensor.to`."""
        return (self.codes.unsqueeze(1) == torch.arange(self.number, device=self.device)).float().to(*args, **kwargs)

    def dense(self, rows: Tensor, device: torch.device) -> Tensor:
        """Rows ``[B]`` (numbers from 0) as one-hot ``[B, C]`` on ``device``: only codes travel."""
        return OneHotRows(self.codes[rows.to(self.device)].to(device), self.number).to(device)
