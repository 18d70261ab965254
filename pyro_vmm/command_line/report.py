"""``pyro-vmm report``: one page of HTML for whoever is to read about a fit."""

import shlex
from pathlib import Path

from pyro_vmm.command_line.printing import say


def report(directory: Path, labels: str | None = None, batch_key: str | None = None) -> Path:
    """Write ``report.html`` into the folder of a fit, say where it is, and return its path.

    Raises
    ------
    UserError
        If the folder holds no fit, files in it are damaged, or labels or batches cannot be read.
    """
    from pyro_vmm.report import write_report

    path = write_report(directory, labels=labels, batch_key=batch_key)
    say(f"The report is in {path} ({path.stat().st_size / 1e6:.1f} MB); it can be sent as it is.")
    return path


def how_to_report(directory: Path) -> str:
    """The command that writes a report of the fit in a folder."""
    return shlex.join(["pyro-vmm", "report", str(directory)])
