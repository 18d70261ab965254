"""What a fit is asked for, on the command line or by another command."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyro_vmm.command_line.flags import as_flag, flags_of, given, is_given, values_of_flags
from pyro_vmm.errors import UserError
from pyro_vmm.modalities import Input, Modality, known, recognised
from pyro_vmm.options import checked

MOST_THREADS = max(256, os.cpu_count() or 1)
"""More than a process may start crash it."""


@dataclass(frozen=True)
class FitRequest:
    """A fit to make, or to go on with.

    Attributes
    ----------
    modality
        What the data are.
    input
        What the user called them.
    output
        The folder to write.
    options
        Those given, by name; the others have the defaults of the input and of the modality.
    arguments
        How the input is read: values of its flags.
    threads, deterministic, checkpoint_seconds, resume
        As the flags of these names.
    overwrite
        Whether a fit that the folder holds is replaced.
    data_sha256
        What the data must be; None for any.
    command, how_to_go_on
        The command as it is noted for readers, and what messages say goes on with it.

    Raises
    ------
    UserError
        For numbers that cannot be used.
    """

    modality: type[Modality]
    input: str
    output: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    threads: int | None = None
    deterministic: bool = False
    checkpoint_seconds: float = 60.0
    resume: bool = False
    overwrite: bool = False
    data_sha256: str | None = None
    command: str = ""
    how_to_go_on: str = "the same command"

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise UserError(f"--threads is {self.threads}: it must be at least 1 and at most {MOST_THREADS}.")
        if not self.checkpoint_seconds >= 0:
            raise UserError(f"--checkpoint-seconds is {self.checkpoint_seconds}: it must be a number of at least 0.")

    @property
    def reader(self) -> type[Input]:
        """What reads the input."""
        reader = self.modality.input
        assert reader is not None  # it was recognised by one, or stored by a fit that had read it
        return reader

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> FitRequest:
        """What ``pyro-vmm fit`` was given.

        Raises
        ------
        UserError
            For an input that nothing reads, flags of another kind of input, and options that cannot be used.
        """
        modality = recognised(arguments.input)
        _refuse_flags_of_others(arguments, modality)
        options = given(arguments, modality.entries()) | {"verbose": not arguments.quiet}
        assert modality.input is not None
        return cls(
            modality,
            arguments.input,
            arguments.output,
            checked(options, modality.entries()),
            values_of_flags(arguments, modality.input.flags),
            threads=arguments.threads,
            deterministic=arguments.deterministic,
            checkpoint_seconds=arguments.checkpoint_seconds,
            resume=arguments.resume,
            command=shlex.join(["pyro-vmm", *arguments.command_line]),
            how_to_go_on=arguments.how_to_go_on,
        )


def _refuse_flags_of_others(arguments: argparse.Namespace, modality: type[Modality]) -> None:
    """Raise :class:`UserError` for flags that mean nothing with this input."""
    assert modality.input is not None
    own = values_of_flags(arguments, (*modality.entries(), *modality.input.flags))
    for other in known().values():
        if other.input is None:
            continue
        entries = flags_of(other)
        foreign = dict.fromkeys(
            as_flag(entry.flag_name) for entry in entries if is_given(arguments, entry) and entry.flag_name not in own
        )
        if foreign:
            *first, last = foreign
            flags = f"{', '.join(first)} and {last} are" if first else f"{last} is"
            raise UserError(
                f"{flags} for {other.input.described} only, not for {arguments.input}: leave {'them' if first else 'it'} out."
            )
