"""Posterior predictive checks: whether data replicated from a fit look like the data."""

from pyro_vmm.ppc.checking import check, replicate
from pyro_vmm.ppc.inference_data import to_inference_data
from pyro_vmm.ppc.result import PredictiveCheck, StatisticCheck
from pyro_vmm.ppc.statistics import NAMED, MeanStatistic, Statistic, intensity_histogram

__all__ = [
    "NAMED",
    "MeanStatistic",
    "PredictiveCheck",
    "Statistic",
    "StatisticCheck",
    "check",
    "intensity_histogram",
    "replicate",
    "to_inference_data",
]
