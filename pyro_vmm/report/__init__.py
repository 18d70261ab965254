"""One page of HTML that tells what a fit was of, what it found and whether it went well."""

from pyro_vmm.report.writing import write_report

__all__ = ["write_report"]
