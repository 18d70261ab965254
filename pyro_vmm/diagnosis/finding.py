"""What a look at a fit found, in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["fine", "notice", "warning"]
_GRAVEST_FIRST: tuple[Severity, ...] = ("warning", "notice", "fine")
_WIDTH = 110
MOST_SHOWN = 5
"""Findings that ``print`` shows."""


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
    severity: Severity
    sentence: str
    advice: str = ""
    value: float = float("nan")


@dataclass(frozen=True)
class Diagnosis:
    """All findings of one fit, the gravest first."""

    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Diagnosis:
        """Put findings in order: the gravest first, and as they came among equals."""
        return cls(tuple(sorted(findings, key=lambda finding: _GRAVEST_FIRST.index(finding.severity))))

    @property
    def healthy(self) -> bool:
        """Whether there is no warning."""
        return all(finding.severity != "warning" for finding in self.findings)

    def __getitem__(self, name: str) -> Finding:
        """The finding of that name.

        Raises
        ------
        KeyError
            If nothing of that name was looked at.
        """
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(name)

    def to_dict(self) -> list[dict[str, Any]]:
        """A list of plain dictionaries, ready for JSON."""
        return [dict(vars(finding)) for finding in self.findings]

    def __str__(self) -> str:
        return self.text(most=MOST_SHOWN)

    def text(self, most: int | None = None) -> str:
        """How many findings there are of each severity, and the gravest of them, a paragraph each; None for all."""
        severities = [finding.severity for finding in self.findings]
        warnings, notices = severities.count("warning"), severities.count("notice")
        lines = [
            f"{warnings or 'No'} warning{'' if warnings == 1 else 's'}, {notices} notice{'' if notices == 1 else 's'}, "
            f"{severities.count('fine')} fine."
        ]
        for finding in self.findings[:most]:
            told = f"{finding.severity:>7}  {finding.name}: {finding.sentence}"
            told += f" {finding.advice}" if finding.advice else ""
            lines.append(textwrap.fill(told, _WIDTH, subsequent_indent=" " * 9, break_long_words=False))
        if most is not None and len(self.findings) > most:
            lines.append(f"         {len(self.findings) - most} more: print(diagnosis.text()).")
        return "\n".join(lines)
