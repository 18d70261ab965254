"""What is measured of the package itself rather than of its clusters; to the harness each is a fit that leaves numbers alone."""

from collections.abc import Callable, Mapping

from benchmarks.fitted import Fitted
from benchmarks.measurements.faults import measure_faults
from benchmarks.measurements.from_disk import measure_from_disk
from benchmarks.measurements.long_run import measure_long_run
from benchmarks.measurements.mutations import measure_mutation
from benchmarks.measurements.step_cost import measure_step_cost
from benchmarks.measurements.throughput import measure_throughput

MEASUREMENTS: Mapping[str, Callable[..., Fitted]] = {
    "faults": measure_faults,
    "from-disk": measure_from_disk,
    "long-run": measure_long_run,
    "mutation": measure_mutation,
    "step-cost": measure_step_cost,
    "throughput": measure_throughput,
}
"""``(x, options, run) -> Fitted`` without clusters; the harness hands labels to none of them."""
