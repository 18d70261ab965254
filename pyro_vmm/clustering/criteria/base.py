"""What every criterion answers."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pyro_vmm.clustering.utilised_components import UtilisedComponents
from pyro_vmm.shapes import Float


class PairCosts(ABC):
    """What it costs to join two of the clusters of the moment, updated as they merge.

    The clusters are called by their positions among the U utilised components. Those with the smallest cost are joined first.

    Parameters
    ----------
    components
        What may be read; at first each of its utilised components is a cluster.
    """

    reads_latents: ClassVar[bool] = False
    """Whether the latents need to be given."""

    joined_below: ClassVar[float] = 0.0
    """The cost below which two clusters are one by this criterion."""

    @abstractmethod
    def __init__(self, components: UtilisedComponents) -> None: ...

    @abstractmethod
    def costs(self) -> Float[NDArray[np.float64], "U U"]:
        """``[U, U]``, of which the upper triangle is read; rows and columns of absorbed clusters hold anything."""

    @abstractmethod
    def merge(self, kept: int, absorbed: int) -> None:
        """Add cluster ``absorbed`` to cluster ``kept``; ``kept < absorbed``."""
