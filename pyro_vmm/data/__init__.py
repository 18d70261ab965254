"""What users give, read and checked: arrays, files, built-in data sets, labels and single-cell counts."""

from pyro_vmm.data.arrays import validate_array
from pyro_vmm.data.cell_counts import CellCounts
from pyro_vmm.data.count_setup import CountSetup
from pyro_vmm.data.counts import read_counts
from pyro_vmm.data.data_warning import DataWarning
from pyro_vmm.data.inputs import Dataset, load_input
from pyro_vmm.data.labels import load_labels
from pyro_vmm.data.supports import check_range
from pyro_vmm.data.torchvision_images import default_data_root

__all__ = [
    "CellCounts",
    "CountSetup",
    "DataWarning",
    "Dataset",
    "check_range",
    "default_data_root",
    "load_input",
    "load_labels",
    "read_counts",
    "validate_array",
]
