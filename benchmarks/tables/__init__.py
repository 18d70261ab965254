"""The tables by name."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.harness import Table
from benchmarks.tables import ablation, elbo_surgery, images, integration, scaling, sensitivity, tabular

TABLES: Mapping[str, Table] = {
    module.TABLE.name: module.TABLE for module in (images, ablation, sensitivity, elbo_surgery, tabular, scaling)
}
WITH_STAGES_OF_THEIR_OWN: Mapping[str, Callable[[Any], bool]] = {"integration": integration.run}
"""From the command's options to whether nothing failed."""
