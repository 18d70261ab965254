"""What a fit leaves for the score."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fitted:
    """What a fit leaves for the score.

    Attributes
    ----------
    clusters, probability
        Cluster of each observation and how sure of it the method is, ``[N]`` each; None where nothing was clustered.
    numbers
        What can be said without labels.
    embedding
        ``[N, D]``, where it is to be scored as well.
    versions
        Of packages that gave it and that :func:`pyro_vmm.fit.config.versions` does not name.
    """

    clusters: Any = None
    probability: Any = None
    numbers: dict[str, float] = field(default_factory=dict)
    embedding: Any = None
    versions: dict[str, str] = field(default_factory=dict)


class Absent(Exception):
    """What a trial needs is not here: a package, a program or a file. The trial is left out, and the table says so."""
