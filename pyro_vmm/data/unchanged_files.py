"""Files and folders that must stay what they are while they are in use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pyro_vmm.errors import UserError

_HOW_TO_GO_ON = "put the file back as it was, and resume from the last checkpoint or fit again."


@dataclass(frozen=True)
class FileState:
    """A file with its size and time, or a folder with those of all files in it.

    Attributes
    ----------
    path
        Of the file or folder.
    size, time
        In bytes, and in nanoseconds, of the last change.
    """

    path: Path
    size: int
    time: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        """As it is now.

        Raises
        ------
        UserError
            If it is not there.
        """
        try:
            return cls(path, *_size_and_time(path))
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}): check the path.") from None

    def check(self) -> None:
        """Raise :class:`UserError` if the file has another size or time now, or has gone."""
        try:
            now = _size_and_time(self.path)
        except OSError:
            raise UserError(f"{self.path} has vanished while it was in use: {_HOW_TO_GO_ON}") from None
        if now != (self.size, self.time):
            raise UserError(f"{self.path} has changed while it was in use: {_HOW_TO_GO_ON}")

    def unreadable(self, reason: str) -> UserError:
        """What to raise where it cannot be read, though it seems to be as it was."""
        self.check()
        return UserError(f"{self.path} cannot be read any more ({reason}): {_HOW_TO_GO_ON}")


def _size_and_time(path: Path) -> tuple[int, int]:
    facts = os.stat(path)
    if not path.is_dir():
        return facts.st_size, facts.st_mtime_ns
    inside = [os.stat(Path(folder, name)) for folder, _, names in os.walk(path) for name in names]
    return sum(each.st_size for each in inside), max((each.st_mtime_ns for each in inside), default=facts.st_mtime_ns)
