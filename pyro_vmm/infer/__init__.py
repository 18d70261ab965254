"""Inference: the alternating loop, its parameter partition and its schedules."""

from pyro_vmm.infer.empirical_bayes_svi import EmpiricalBayesSVI, StepLosses
from pyro_vmm.infer.non_finite import NonFiniteError, NonFiniteLossError
from pyro_vmm.infer.optimizers import PRIOR_RATE
from pyro_vmm.infer.partition import Partition, partition_parameters
from pyro_vmm.infer.schedules import Constant, CosineDecay, LinearWarmup, Schedule, named_schedule

__all__ = [
    "PRIOR_RATE",
    "Constant",
    "CosineDecay",
    "EmpiricalBayesSVI",
    "LinearWarmup",
    "NonFiniteError",
    "NonFiniteLossError",
    "Partition",
    "Schedule",
    "StepLosses",
    "named_schedule",
    "partition_parameters",
]
