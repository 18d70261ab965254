"""How ``pyro-vmm fit`` reads a file, whatever is in it; in Python a path, a memory map or a backed AnnData says it."""

from pyro_vmm.option_checks import check_boolean
from pyro_vmm.options.entry import Entry, Flag

HOW_DATA_ARE_READ: tuple[Entry, ...] = (
    Entry(
        "from_disk",
        False,
        "leave the data in the file, and read minibatches from there (by itself where the file is larger than half of the free "
        "memory)",
        "data",
        check_boolean,
        Flag(type=bool),
    ),
)
