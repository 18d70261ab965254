"""What a finished fit leaves behind, part by part: none that fails takes another with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyro_vmm.command_line.printing import warn
from pyro_vmm.errors import UserError


class ResultsMissing(Exception):
    """The model is stored, but something that goes with it could not be written; the message says how to go on."""


@contextmanager
def storing_the_model() -> Iterator[None]:
    """Within, a full disk is what it is: the advice to choose another folder, as in Python, would mean to fit again."""
    try:
        yield
    except UserError as error:
        raise error.__cause__ if isinstance(error.__cause__, OSError) else error from None


class Results:
    """A context manager that writes the parts of a fit whose model is stored, and says at its end which are missing.

    Parameters
    ----------
    directory
        The fit's folder.
    how_to_go_on
        The command that would write the missing ones.

    Raises
    ------
    ResultsMissing
        At the end, where a part that is no picture could not be written.
    """

    def __init__(self, directory: Path, how_to_go_on: str) -> None:
        self.directory, self.how_to_go_on = directory, how_to_go_on
        self._missing: list[str] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Within, ``name`` is made and written; what goes wrong is noted."""
        try:
            yield
        except Exception as error:
            self._missing.append(f"{name} could not be written ({_reason(error)})")

    @contextmanager
    def pictures(self) -> Iterator[None]:
        """As :meth:`part`, for what a fit is complete without."""
        try:
            yield
        except Exception as error:
            warn(
                f"The figures could not be drawn ({_reason(error)}): the fit is complete without them, and "
                f"{self.how_to_go_on} draws them without training again."
            )

    def finish(self) -> None:
        """Raise :class:`ResultsMissing` if a part is."""
        if self._missing:
            raise ResultsMissing(
                f"The model is stored in {self.directory}, but {'; '.join(self._missing)}. Fix that; then "
                f"{self.how_to_go_on} writes what is missing without training again."
            )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return "not enough memory"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
