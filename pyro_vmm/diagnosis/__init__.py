"""Whether a fit went well, in words; whether seeds agree; whether probabilities mean what they say."""

from pyro_vmm.diagnosis.calibration import Reliability, reliability
from pyro_vmm.diagnosis.finding import Diagnosis, Finding
from pyro_vmm.diagnosis.pareto_k import pareto_k
from pyro_vmm.diagnosis.simulation_based import SimulationBasedCalibration, simulation_based_calibration
from pyro_vmm.diagnosis.stability import Stability, stability

__all__ = [
    "Diagnosis",
    "Finding",
    "Reliability",
    "SimulationBasedCalibration",
    "Stability",
    "pareto_k",
    "reliability",
    "simulation_based_calibration",
    "stability",
]
