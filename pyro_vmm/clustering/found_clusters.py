"""What a fitted estimator says of the clusters it found."""

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.clustering.clusters import Clusters
from pyro_vmm.clustering.merge_tree import MergeTree
from pyro_vmm.process_settings import undisturbed
from pyro_vmm.shapes import Float, Int


class FoundClusters:
    """Answers of an estimator that leaves its :class:`Clusters` in ``clusters_``; both facades inherit them."""

    @property
    def clusters_(self) -> Clusters:
        """Which components are one cluster."""
        raise NotImplementedError

    @property
    def n_clusters_(self) -> int:
        """Clusters in use among the observations fitted."""
        return self._found.number

    @property
    @undisturbed()
    def component_order_(self) -> Int[NDArray[np.int64], "K"]:
        """The prior's component that each column of ``predict_proba`` is shown by, ``[K]``.

        Of a cluster of several components it is the heaviest. Every component occurs once.
        """
        return self._found.shown(self._prior_weights)

    @property
    def weights_(self) -> Float[NDArray[np.float64], "K"]:
        """Mixture weight of each column, ``[K]``; a cluster of several components has their sum."""
        return self._found.weights

    @property
    def merge_tree_(self) -> MergeTree:
        """How the clusters of the observations fitted would go on joining."""
        return self._found.merge_tree

    @property
    def _prior_weights(self) -> NDArray[np.float64]:
        """Mixture weights of the prior's components, ``[K]``, in the prior's order."""
        raise NotImplementedError

    @property
    def _found(self) -> Clusters:
        return self.clusters_
