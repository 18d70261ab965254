"""What a look at a fit found, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """One thing looked at, and what to do about it.

    Attributes
    ----------
    name
        What was looked at, in a few lower-case words: ``"posterior collapse"``.
    severity
        ``"fine"``, ``"notice"`` (worth knowing) or ``"warning"`` (the fit should not be used as it is).
    sentence
        What was found, with its numbers, in one sentence.
    advice
        What to do; empty where there is nothing to mend.
    value
        The number that decided, in the unit the sentence names.
    """

    name: str
    severity: Literal["fine", "notice", "warning"]
    sentence: str
    advice: str = ""
    value: float = float("nan")


@dataclass(frozen=True)
class Diagnosis:
    """All findings of one fit, the gravest first."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether there is no warning."""
        return all(finding.severity != "warning" for finding in self.findings)

    def to_dict(self) -> list[dict[str, Any]]:
        """A list of plain dictionaries, ready for JSON."""
        return [dict(vars(finding)) for finding in self.findings]

    def __str__(self) -> str:
        lines = (
            f"{finding.severity:>7}  {finding.name}: {finding.sentence}"
            + (f" {finding.advice}" if finding.advice else "")
            for finding in self.findings
        )
        return "\n".join(lines)
