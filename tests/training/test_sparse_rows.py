import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from pyro_vmm.observations.sparse_rows import dense_rows
from pyro_vmm.training import SparseRows

DENSE = np.random.default_rng(0).poisson(0.3, size=(20, 7)).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_rows_come_out_dense_in_the_order_asked_for(dtype):
    rows = torch.tensor([3, 19, 0, 3])
    sparse = SparseRows(csr_array(DENSE.astype(dtype)))
    assert (len(sparse), sparse.shape) == (20, (20, 7))
    taken = sparse.dense(rows, torch.device("cpu"))
    assert taken.dtype == torch.float32
    np.testing.assert_array_equal(taken.numpy(), DENSE[rows.numpy()])
    np.testing.assert_array_equal(sparse.subset(rows).dense(torch.tensor([1, 2]), torch.device("cpu")), DENSE[[19, 0]])


def test_dense_and_sparse_are_read_alike():
    rows, device = torch.arange(5, 9), torch.device("cpu")
    sparse = dense_rows(SparseRows(csr_array(DENSE)), rows, device)
    assert torch.equal(sparse, dense_rows(torch.from_numpy(DENSE), rows, device))


def test_empty_rows_and_no_rows():
    sparse = SparseRows(csr_array((4, 3), dtype=np.float32))
    assert torch.equal(sparse.dense(torch.tensor([1, 2]), torch.device("cpu")), torch.zeros(2, 3))
    assert sparse.dense(torch.tensor([], dtype=torch.int64), torch.device("cpu")).shape == (0, 3)
