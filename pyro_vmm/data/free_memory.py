"""How much memory there is to take."""

import os
from contextlib import suppress
from pathlib import Path

from pyro_vmm.data.unchanged_files import FileState
from pyro_vmm.errors import UserError

_GROUP = Path("/sys/fs/cgroup")
"""Where a container's limit is."""


def free_memory() -> int:
    """Bytes that this process can take: what the system calls available, within a container's limit.

    All of the machine's memory where the system does not say.
    """
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else free
    with suppress(OSError, ValueError):  # "max" where there is no limit
        limit, taken = (int((_GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, max(0, limit - taken))
    return free


def is_large(path: Path) -> bool:
    """Whether a file or a folder has more than half as many bytes as there is free memory; False where there is none."""
    try:
        return FileState.of(path).size > free_memory() // 2
    except (OSError, UserError):
        return False
