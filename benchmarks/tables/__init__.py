"""The tables by name."""

from collections.abc import Mapping

from benchmarks.harness import Table
from benchmarks.tables import (
    ablation,
    elbo_surgery,
    faults,
    from_disk,
    images,
    integration,
    joining,
    long_run,
    mutations,
    scaling,
    sensitivity,
    step_cost,
    tabular,
    throughput,
)

TABLES: Mapping[str, Table] = {
    module.TABLE.name: module.TABLE
    for module in (
        images,
        ablation,
        sensitivity,
        elbo_surgery,
        tabular,
        scaling,
        integration,
        joining,
        throughput,
        from_disk,
        step_cost,
        faults,
        long_run,
        mutations,
    )
}
