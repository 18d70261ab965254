"""Inference: the alternating loop, its parameter partition and its schedules."""

from pyro_vmm.infer.breakdown import breakdown_told
from pyro_vmm.infer.empirical_bayes_svi import EmpiricalBayesSVI, NonFiniteLossError, StepLosses
from pyro_vmm.infer.partition import Partition, partition_parameters
from pyro_vmm.infer.schedules import Constant, CosineDecay, LinearWarmup, Schedule, named_schedule

__all__ = [
    "Constant",
    "CosineDecay",
    "EmpiricalBayesSVI",
    "LinearWarmup",
    "NonFiniteLossError",
    "Partition",
    "Schedule",
    "StepLosses",
    "breakdown_told",
    "named_schedule",
    "partition_parameters",
]
