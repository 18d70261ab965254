"""Clusters are alike where their responsibilities are."""

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.clustering.criteria.base import PairCosts
from pyro_vmm.clustering.criteria.pair_matrix import add_row_and_column
from pyro_vmm.clustering.utilised_components import UtilisedComponents
from pyro_vmm.shapes import Float


class OverlapCosts(PairCosts):
    """One minus the cosine of the responsibilities, from their Gram matrix ``[U, U]`` alone."""

    def __init__(self, components: UtilisedComponents) -> None:
        membership = components.membership
        self._gram: NDArray[np.float64] = membership.T @ components.gram @ membership

    def costs(self) -> Float[NDArray[np.float64], "U U"]:
        """``[U, U]``, in [0, 1]."""
        norms = np.sqrt(np.diagonal(self._gram))
        products = np.outer(norms, norms)
        cosine = np.divide(self._gram, products, out=np.zeros_like(products), where=products > 0.0)
        return np.clip(1.0 - cosine, 0.0, 1.0)

    def merge(self, kept: int, absorbed: int) -> None:
        """Products of sums are sums of products."""
        add_row_and_column(self._gram, kept, absorbed)
