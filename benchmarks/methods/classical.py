"""Clusterings of scikit-learn's, on standardised columns or on an embedding."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import cluster, mixture
from sklearn.preprocessing import StandardScaler

from benchmarks.fitted import Fitted
from benchmarks.run import Run

Clustering = tuple[np.ndarray, np.ndarray]


def kmeans(x: np.ndarray, seed: int, *, num_clusters: int) -> Clustering:
    """k-means, ten starts; the surest member of a cluster is the nearest to its centre."""
    fitted = cluster.KMeans(num_clusters, n_init=10, random_state=seed).fit(x)
    return fitted.labels_, np.exp(-fitted.transform(x).min(1))


def bayesian_gaussian_mixture(x: np.ndarray, seed: int, *, num_components: int, max_iter: int = 500) -> Clustering:
    """Variational Gaussian mixture with a Dirichlet-process prior, told nothing but a truncation."""
    fitted = mixture.BayesianGaussianMixture(
        n_components=num_components,
        weight_concentration_prior_type="dirichlet_process",
        max_iter=max_iter,
        random_state=seed,
    )
    return _of_responsibilities(_quietly(fitted, x).predict_proba(x))


def gaussian_mixture_by_bic(
    x: np.ndarray, seed: int, *, most_components: int, covariances: Sequence[str] = ("full", "diag"), starts: int = 3
) -> tuple[Clustering, dict[str, float]]:
    """The Gaussian mixture, among numbers of components and shapes of covariances, whose BIC is least."""
    candidates = [
        _quietly(
            mixture.GaussianMixture(
                number, covariance_type=covariance, n_init=starts, reg_covar=1e-3, max_iter=300, random_state=seed
            ),
            x,
        )
        for covariance in covariances
        for number in range(1, most_components + 1)
    ]
    criteria = [candidate.bic(x) for candidate in candidates]
    best = candidates[int(np.argmin(criteria))]
    return _of_responsibilities(best.predict_proba(x)), {"components_in_use": float(best.n_components)}


def leiden(x: np.ndarray, seed: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Leiden as scanpy's users run it; it has no probabilities."""
    import scanpy
    from anndata import AnnData

    cells = AnnData(np.zeros((len(x), 1), dtype=np.float32), obsm={"embedding": x})
    scanpy.pp.neighbors(cells, use_rep="embedding", transformer="sklearn", random_state=seed)
    scanpy.tl.leiden(cells, random_state=seed, flavor="igraph", n_iterations=2, directed=False, **options)
    return cells.obs["leiden"].astype(int).to_numpy(), np.ones(len(x))


def fit_kmeans(x: np.ndarray, options: Mapping[str, Any], run: Run) -> Fitted:
    """k-means on standardised columns."""
    return Fitted(*kmeans(_standardised(x), run.seed, **options))


def fit_bayesian_gaussian_mixture(x: np.ndarray, options: Mapping[str, Any], run: Run) -> Fitted:
    """Bayesian Gaussian mixture on standardised columns."""
    return Fitted(*bayesian_gaussian_mixture(_standardised(x), run.seed, **options))


def fit_gaussian_mixture_by_bic(x: np.ndarray, options: Mapping[str, Any], run: Run) -> Fitted:
    """Gaussian mixture chosen by BIC, on standardised columns."""
    clustering, numbers = gaussian_mixture_by_bic(_standardised(x), run.seed, **options)
    return Fitted(*clustering, numbers)


def fit_hdbscan(x: np.ndarray, options: Mapping[str, Any], run: Run) -> Fitted:
    """HDBSCAN on standardised columns; what it calls noise is one cluster more. It has no randomness."""
    fitted = cluster.HDBSCAN(copy=True, **options).fit(_standardised(x))
    return Fitted(fitted.labels_, fitted.probabilities_, {"noise_share": float((fitted.labels_ < 0).mean())})


def _standardised(x: np.ndarray) -> np.ndarray:
    return StandardScaler().fit_transform(x)


def _of_responsibilities(responsibilities: np.ndarray) -> Clustering:
    return responsibilities.argmax(1), responsibilities.max(1)


def _quietly(model: Any, x: np.ndarray) -> Any:
    """Fit without the warning that iterations ran out: what came of them is what is compared."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x)
