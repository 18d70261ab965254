"""What clusters are like, feature by feature, where more can be said than by the centres that the model decodes."""

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray


class ClusterProfiles(Protocol):
    """Of the clusters in use, by number; each answer is worked out when it is asked for."""

    what: str
    """What the values are, as the title of a picture."""
    note: str
    """How they were obtained."""

    @property
    def values(self) -> NDArray[Any]:
        """``[C, F]``."""
        ...

    @property
    def markers(self) -> Mapping[int, tuple[str, ...]]:
        """Names of the features that set each cluster apart, by cluster."""
        ...
