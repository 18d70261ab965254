"""The tables by name."""

from collections.abc import Mapping

from benchmarks.harness import Table
from benchmarks.tables import ablation, elbo_surgery, images, scaling, sensitivity, tabular

TABLES: Mapping[str, Table] = {
    module.TABLE.name: module.TABLE for module in (images, ablation, sensitivity, elbo_surgery, tabular, scaling)
}
