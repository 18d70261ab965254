"""Posterior predictive checks: whether data replicated from a fit look like the data."""

__all__: list[str] = []
