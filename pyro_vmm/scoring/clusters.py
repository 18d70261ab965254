"""Scores of a clustering against known labels; labels enter here and nowhere earlier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.process_lock import PROCESS_LOCK


def many_to_one_labels(labels: ArrayLike, clusters: ArrayLike) -> NDArray[Any]:
    """Label that each observation gets from its cluster: the one that most of the cluster's observations have.

    Parameters
    ----------
    labels, clusters : array_like, ``[N]``
        Known labels and found clusters, numbers or strings.

    Returns
    -------
    numpy.ndarray, ``[N]``
        One of the values in ``labels`` for each observation. Among equally frequent labels the one that occurs first counts.

    Raises
    ------
    UserError
        If lengths differ or a value is missing.
    """
    table = _contingency_table(labels, clusters)
    classes, columns = _encoded(labels, "labels")[1], _encoded(clusters, "clusters")[0]
    return np.asarray(classes[table.argmax(axis=0)[columns]])


def many_to_one_accuracy(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Share of observations that have the majority label of their cluster; also called purity.

    It can only rise as clusters are split, up to 1 for one cluster an observation: compare it together with their number.

    Parameters
    ----------
    labels, clusters : array_like, ``[N]``
        Known labels and found clusters, numbers or strings.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    UserError
        If lengths differ or a value is missing.
    """
    table = _contingency_table(labels, clusters)
    return float(table.max(axis=0).sum() / table.sum())


def surest_observation_labels(labels: ArrayLike, assignment: ArrayLike | tuple[ArrayLike, ArrayLike]) -> NDArray[Any]:
    """Label that each observation gets from its cluster: that of the cluster's surest observation, as in the released code.

    Parameters
    ----------
    labels : array_like, ``[N]``
        Known labels, numbers or strings.
    assignment : array_like ``[N, K]``, or tuple of two array_like ``[N]``
        Either the responsibilities, or the pair (clusters, probability): the arg-max cluster of each observation and
        its responsibility for it. With responsibilities the surest observation of a cluster is the arg-max of its
        column over all observations, as in the code released with arXiv 2402.04412; with the pair only the cluster's
        own members are looked at, the two being the same unless a cluster's surest observation prefers another.
        Give probabilities at full precision: rounded ones tie, and the order of the observations then decides.

    Returns
    -------
    numpy.ndarray, ``[N]``
        One of the values in ``labels`` for each observation. Among equally sure observations the first one counts.

    Raises
    ------
    UserError
        If lengths differ, labels are missing, or probabilities are not finite.
    """
    codes, classes = _encoded(labels, "labels")
    return np.asarray(classes[_surest_observation_codes(codes, assignment)])


def surest_observation_accuracy(labels: ArrayLike, assignment: ArrayLike | tuple[ArrayLike, ArrayLike]) -> float:
    """Share of observations whose label equals that of the surest observation of their cluster, as in the released code.

    The paper's accuracy. One observation names a whole cluster; :func:`many_to_one_accuracy` takes the majority.

    Parameters
    ----------
    labels : array_like, ``[N]``
        Known labels.
    assignment : array_like ``[N, K]``, or tuple of two array_like ``[N]``
        Responsibilities, or the pair (clusters, probability); see :func:`surest_observation_labels`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    UserError
        If lengths differ, labels are missing, or probabilities are not finite.

    References
    ----------
    A. Stirn and D. Knowles, "The VampPrior Mixture Model", arXiv 2402.04412, released code.
    """
    codes, _ = _encoded(labels, "labels")
    return float(np.mean(_surest_observation_codes(codes, assignment) == codes))


def hungarian_accuracy(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Share of observations that agree under the best one-to-one matching of clusters to labels.

    Where there are more clusters than labels the clusters left over count as wrong, and the other way round.

    Parameters
    ----------
    labels, clusters : array_like, ``[N]``
        Known labels and found clusters, numbers or strings.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    UserError
        If lengths differ or a value is missing.
    """
    from scipy.optimize import linear_sum_assignment

    table = _contingency_table(labels, clusters)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / table.sum())


def purity(labels: ArrayLike, clusters: ArrayLike) -> float:
    """Another name of :func:`many_to_one_accuracy`."""
    return many_to_one_accuracy(labels, clusters)


def cluster_scores(labels: ArrayLike, clusters: ArrayLike, probability: ArrayLike) -> dict[str, float]:
    """All scores of a clustering against known labels.

    Parameters
    ----------
    labels : array_like, ``[N]``
        Known labels, numbers or strings.
    clusters : array_like, ``[N]``
        Arg-max cluster of each observation.
    probability : array_like, ``[N]``
        Responsibility of that cluster for the observation.

    Returns
    -------
    dict of str to float
        ``accuracy_many_to_one`` (by each cluster's majority label, and again as ``purity``), ``accuracy_hungarian``,
        ``nmi`` (arithmetic mean), ``ari``, ``ami``. As in the code released with arXiv 2402.04412, after each cluster
        took the label of its surest observation: ``accuracy_surest_observation`` (the paper's accuracy),
        ``nmi_merged``, ``ari_merged``, ``ami_merged``. What that code calls ARI is ``ami`` here. And the numbers of
        ``clusters`` that own an observation, ``observations`` and ``classes``.

    Raises
    ------
    UserError
        If lengths differ, a value is missing, or probabilities are not finite.
    """
    codes, classes = _encoded(labels, "labels")
    cluster_codes, names = _encoded(clusters, "clusters")
    merged = _surest_observation_codes(codes, (cluster_codes, probability))
    scores = {
        "accuracy_many_to_one": many_to_one_accuracy(codes, cluster_codes),
        "accuracy_hungarian": hungarian_accuracy(codes, cluster_codes),
        "purity": purity(codes, cluster_codes),
    }
    scores |= _agreement(codes, cluster_codes)
    scores |= {"accuracy_surest_observation": float(np.mean(merged == codes))}
    scores |= {f"{name}_merged": value for name, value in _agreement(codes, merged).items()}
    return scores | {
        "clusters": float(len(names)),
        "observations": float(len(codes)),
        "classes": float(len(classes)),
    }


def scores_of_responsibilities(labels: ArrayLike, responsibilities: NDArray[np.floating[Any]]) -> dict[str, float]:
    """:func:`cluster_scores` of responsibilities ``[N, K]``, at the precision that they have."""
    return cluster_scores(labels, responsibilities.argmax(1), responsibilities.max(1))


def by_present_names(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Stored scores by the names that they have now.

    What version 0.1 stored as ``accuracy_many_to_one`` is ``accuracy_surest_observation``, and many-to-one was its
    ``purity``. Anything else is left as it is.
    """
    now = dict(scores)
    if "purity" in now and "accuracy_many_to_one" in now and "accuracy_surest_observation" not in now:
        now["accuracy_surest_observation"] = now["accuracy_many_to_one"]
        now["accuracy_many_to_one"] = now["purity"]
    return now


def _agreement(codes: NDArray[np.int64], clusters: NDArray[np.int64]) -> dict[str, float]:
    import warnings

    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

    with PROCESS_LOCK, warnings.catch_warnings():
        # Clusters of few observations each look like a regression target to scikit-learn; here they are meant.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
        return {
            "nmi": float(normalized_mutual_info_score(codes, clusters, average_method="arithmetic")),
            "ari": float(adjusted_rand_score(codes, clusters)),
            "ami": float(adjusted_mutual_info_score(codes, clusters, average_method="arithmetic")),
        }


def _surest_observation_codes(
    codes: NDArray[np.int64], assignment: ArrayLike | tuple[ArrayLike, ArrayLike]
) -> NDArray[np.int64]:
    """Label codes ``[N]`` that the observations get from the surest observation of their clusters."""
    if isinstance(assignment, tuple):
        if len(assignment) != 2:
            raise UserError(f"The assignment is a tuple of {len(assignment)}: give (clusters, probability).")
        clusters, names = _encoded(assignment[0], "clusters")
        probability = np.asarray(assignment[1], dtype=np.float64)
        if probability.ndim != 1:
            raise UserError(f"probability has shape {list(probability.shape)}: give one value for each observation.")
        _check_lengths(len(codes), clusters=len(clusters), probability=len(probability))
        _check_finite(probability, "probability")
        # Surest first, earlier observation first among equals; the first occurrence of a cluster is then its surest.
        by_sureness = np.argsort(-probability, kind="stable")
        _, first = np.unique(clusters[by_sureness], return_index=True)
        surest = by_sureness[first]
        assert len(surest) == len(names)
    else:
        responsibilities = np.asarray(assignment)
        if responsibilities.ndim != 2 or responsibilities.shape[1] == 0:
            raise UserError(
                f"The assignment has shape {list(responsibilities.shape)}: "
                "give responsibilities [N, K] or the pair (clusters, probability)."
            )
        _check_lengths(len(codes), responsibilities=len(responsibilities))
        _check_finite(responsibilities, "responsibilities")
        clusters = responsibilities.argmax(axis=1)
        surest = responsibilities.argmax(axis=0)
    return np.asarray(codes[surest][clusters])


def _contingency_table(labels: ArrayLike, clusters: ArrayLike) -> NDArray[np.int64]:
    """Count the observations with each label (rows) in each cluster (columns), ``[classes, clusters]``."""
    codes, classes = _encoded(labels, "labels")
    columns, names = _encoded(clusters, "clusters")
    _check_lengths(len(codes), clusters=len(columns))
    flat = np.bincount(codes * len(names) + columns, minlength=len(classes) * len(names))
    return flat.reshape(len(classes), len(names))


def _encoded(values: ArrayLike, name: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Whole-number codes ``[N]`` of the values and the distinct values ``[classes]`` that they stand for."""
    import pandas as pd

    # A pandas column (categorical, nullable) turned into objects keeps its missing values recognisable.
    array = np.asarray(values) if isinstance(values, np.ndarray) else np.asarray(values, dtype=object)
    if array.ndim != 1 or len(array) == 0:
        raise UserError(f"{name} have shape {list(array.shape)}: give one value for each observation.")
    codes, distinct = pd.factorize(array, use_na_sentinel=True)
    missing = int((codes < 0).sum())
    if missing:
        raise UserError(f"{missing} of {len(codes)} {name} are missing: leave those observations out before scoring.")
    return np.asarray(codes, dtype=np.int64), np.asarray(distinct)


def _check_lengths(num_labels: int, **lengths: int) -> None:
    for name, length in lengths.items():
        if length != num_labels:
            raise UserError(
                f"There are {num_labels} labels but {length} {name}: give one of each for every observation."
            )


def _check_finite(values: NDArray[Any], name: str) -> None:
    if not np.isfinite(values).all():
        raise UserError(f"{name} hold values that are not finite: give numbers between 0 and 1.")
