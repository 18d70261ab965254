"""Every option, written once: its name, default, check, meaning and flag.

The signatures and docstrings of the faces, and the flags of the command, are held against these tables by a test. Nothing here
imports NumPy or torch, so that the command can show its help at once.
"""

from pyro_vmm.options.arrays import OF_ARRAYS, WHERE_ARRAYS_ARE
from pyro_vmm.options.counts import OF_COUNTS, WHERE_COUNTS_ARE
from pyro_vmm.options.entry import ARRAYS, SINGLE_CELL, Check, Entry, Flag, Otherwise, Part
from pyro_vmm.options.every_modality import COMMON
from pyro_vmm.options.faces import (
    begun_with_earlier_defaults,
    by_name,
    canonical,
    checked,
    defaults,
    may_differ,
    names_in,
    of_earlier_versions,
    of_face,
)
from pyro_vmm.options.reading import HOW_DATA_ARE_READ

ALL = (*COMMON, *OF_ARRAYS, *WHERE_ARRAYS_ARE, *OF_COUNTS, *WHERE_COUNTS_ARE, *HOW_DATA_ARE_READ)
"""The options of all modalities of the package."""

__all__ = [
    "ALL",
    "ARRAYS",
    "COMMON",
    "HOW_DATA_ARE_READ",
    "OF_ARRAYS",
    "OF_COUNTS",
    "SINGLE_CELL",
    "WHERE_ARRAYS_ARE",
    "WHERE_COUNTS_ARE",
    "Check",
    "Entry",
    "Flag",
    "Otherwise",
    "Part",
    "begun_with_earlier_defaults",
    "by_name",
    "canonical",
    "checked",
    "defaults",
    "may_differ",
    "names_in",
    "of_earlier_versions",
    "of_face",
]
