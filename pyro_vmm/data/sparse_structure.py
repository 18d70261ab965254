"""Whether the parts of a sparse matrix fit its shape, looked at before any library computes with them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.errors import UserError

COMPRESSED = {"csr": ("row", "column"), "csc": ("column", "row"), "bsr": ("block row", "block column")}
"""What the pointers and the indices of SciPy's compressed formats count."""


def check_sparse_structure(matrix: Any, source: str) -> None:
    """Refuse a SciPy sparse matrix whose indices, pointers or lengths do not fit its shape.

    SciPy itself does not check them when it computes: it answers wrongly, or reads and writes beyond its arrays. Unsorted
    and repeated indices are allowed, and so are indices and pointers of different integer types.

    Parameters
    ----------
    matrix
        ``[N, F]``, of any sparse format. It is only looked at, in memory for a few thousand numbers.
    source
        What the message calls it.

    Raises
    ------
    UserError
        If it is damaged.
    """
    num_rows, num_columns = matrix.shape
    if matrix.format in COMPRESSED:
        lines, entries = COMPRESSED[matrix.format]
        num_values = _num_values(matrix, source)
        height, width = matrix.blocksize if matrix.format == "bsr" else (1, 1)
        sizes = (num_rows // height, num_columns // width)
        num_lines, num_entries = sizes[::-1] if matrix.format == "csc" else sizes
        check_compressed(
            matrix.indptr,
            matrix.indices,
            num_values,
            num_lines=num_lines,
            num_entries=num_entries,
            lines=lines,
            entries=entries,
            source=source,
        )
    elif matrix.format == "coo":
        num_values = _num_values(matrix, source)
        for indices, size, noun in ((matrix.row, num_rows, "row"), (matrix.col, num_columns, "column")):
            _check_same_length(len(indices), num_values, source)
            _check_range(indices, size, noun, source)
    elif matrix.format == "lil":
        if any(len(columns) != len(values) for columns, values in zip(matrix.rows, matrix.data, strict=True)):
            _refuse(source, "has a row with different numbers of indices and of values")
        for columns in matrix.rows:
            _check_range(np.asarray(columns, dtype=np.int64), num_columns, "column", source)
    elif matrix.format == "dok":
        keys = np.array(list(matrix.keys()), dtype=np.int64).reshape(-1, 2)
        _check_range(keys[:, 0], num_rows, "row", source)
        _check_range(keys[:, 1], num_columns, "column", source)


def check_sparse_tensor(tensor: Any, source: str) -> None:
    """As :func:`check_sparse_structure`, of a PyTorch tensor ``[N, F]`` in the layout COO, CSR, CSC, BSR or BSC.

    Tensors of other shapes are left to PyTorch.

    Raises
    ------
    UserError
        If it is damaged.
    """
    import torch

    if tensor.ndim != 2 or tensor.dense_dim() > 0:
        return
    num_rows, num_columns = tensor.shape
    if tensor.layout == torch.sparse_coo:
        indices = tensor._indices().detach().cpu().numpy()
        _check_same_length(indices.shape[1], len(tensor._values()), source)
        _check_range(indices[0], num_rows, "row", source)
        _check_range(indices[1], num_columns, "column", source)
        return
    by_row = tensor.layout in (torch.sparse_csr, torch.sparse_bsr)
    in_blocks = tensor.layout in (torch.sparse_bsr, torch.sparse_bsc)
    height, width = tensor.values().shape[1:3] if in_blocks else (1, 1)
    sizes, names = (num_rows // height, num_columns // width), COMPRESSED["bsr" if in_blocks else "csr"]
    (num_lines, num_entries), (lines, entries) = (sizes, names) if by_row else (sizes[::-1], names[::-1])
    check_compressed(
        (tensor.crow_indices() if by_row else tensor.ccol_indices()).detach().cpu().numpy(),
        (tensor.col_indices() if by_row else tensor.row_indices()).detach().cpu().numpy(),
        len(tensor.values()),
        num_lines=num_lines,
        num_entries=num_entries,
        lines=lines,
        entries=entries,
        source=source,
    )


def check_compressed(
    pointers: NDArray[Any],
    indices: NDArray[Any],
    num_values: int,
    *,
    num_lines: int,
    num_entries: int,
    lines: str,
    entries: str,
    source: str,
) -> None:
    """Refuse compressed rows or columns that do not fit their shape.

    Parameters
    ----------
    pointers
        Where each line starts, and where the last one ends, ``[num_lines + 1]``.
    indices
        Place of each stored value in its line, ``[nnz]``, within ``0 .. num_entries - 1``.
    num_values
        Number of stored values, which must be nnz.
    num_lines, num_entries
        The shape.
    lines, entries
        What the message calls a line and a place: ``"row"`` and ``"column"``, for example.
    source
        What the message calls the matrix.

    Raises
    ------
    UserError
        If they do not fit.
    """
    for name, numbers in (("pointers", pointers), ("indices", indices)):
        if not isinstance(numbers, np.ndarray):
            _refuse(source, f"has {name} of type {type(numbers).__name__}, not an array of whole numbers")
        check_list(numbers, name, source)
    check_pointers(pointers, len(indices), num_values, num_lines=num_lines, lines=lines, source=source)
    _check_range(indices, num_entries, entries, source)


def check_list(numbers: Any, name: str, source: str) -> None:
    """Refuse what is no list of whole numbers, an array or a dataset of a file."""
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        _refuse(source, f"has {name} of dtype {numbers.dtype} and shape {numbers.shape}, not a list of whole numbers")


def check_pointers(
    pointers: NDArray[Any], num_indices: int, num_values: int, *, num_lines: int, lines: str, source: str
) -> None:
    """Refuse pointers that do not fit the shape or the stored values; see :func:`check_compressed`."""
    if len(pointers) != num_lines + 1:
        _refuse(source, f"has {len(pointers)} {lines} pointers, but {num_lines} {lines}s need {num_lines + 1}")
    _check_same_length(num_indices, num_values, source)
    if pointers[0] != 0:
        _refuse(source, f"has {int(pointers[0])} as its first {lines} pointer, which must be 0")
    falls = pointers[1:] < pointers[:-1]
    if falls.any():
        line = int(np.argmax(falls))
        _refuse(
            source,
            f"has {lines} pointers that fall, from {int(pointers[line])} to {int(pointers[line + 1])} at {lines} {line} "
            "(counting from 0)",
        )
    if pointers[-1] != num_indices:
        _refuse(
            source,
            f"has {num_indices} stored values, but its {lines} pointers end at {int(pointers[-1])}",
            "" if pointers[-1] > num_indices else ", or drop values that belong nowhere with its method prune()",
        )


def _num_values(matrix: Any, source: str) -> int:
    if np.ndim(matrix.data) != (3 if matrix.format == "bsr" else 1):
        _refuse(source, f"has stored values of shape {np.shape(matrix.data)}, not one list")
    return len(matrix.data)


def _check_same_length(num_indices: int, num_values: int, source: str) -> None:
    if num_indices != num_values:
        _refuse(source, f"has {num_indices} indices for {num_values} stored values")


def _check_range(indices: NDArray[Any], size: int, noun: str, source: str) -> None:
    if not len(indices):
        return
    check_extremes(int(indices.min()), int(indices.max()), size, noun, source)


def check_extremes(least: int, most: int, size: int, noun: str, source: str) -> None:
    """Refuse indices that go from ``least`` to ``most`` where they must lie within ``0 .. size - 1``."""
    if least < 0 or most >= size:
        wrong = least if least < 0 else most
        hint = ", as though counted from 1" if least == 1 and most == size else ""
        _refuse(source, f"has the {noun} index {wrong}, outside 0 .. {size - 1}{hint}")


def _refuse(source: str, fault: str, otherwise: str = "") -> None:
    raise UserError(
        f"{source} is a damaged sparse matrix: it {fault}. Make or read it again from its original{otherwise}."
    )
