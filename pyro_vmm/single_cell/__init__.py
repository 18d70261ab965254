"""The facade for single-cell counts, in scverse's manners."""

from pyro_vmm.single_cell.annotation import annotate
from pyro_vmm.single_cell.model import SingleCellVMM
from pyro_vmm.single_cell.simulation import simulate_cells

__all__ = ["SingleCellVMM", "annotate", "simulate_cells"]
