"""The facade for single-cell counts, in scverse's manners."""

from pyro_vmm.single_cell.model import SingleCellVMM

__all__ = ["SingleCellVMM"]
