"""Files that are whole or not there."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that it is, at every moment, either the old one or the whole new one, also after a power cut."""
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes | memoryview]) -> None:
    """Write files of one folder that belong together, each as :func:`write_atomically`.

    None replaces its old one before all are on disk, so that a full disk leaves all the old ones.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.partial") for path in contents}
    path = next(iter(contents))
    try:
        for path, content in contents.items():
            with temporary[path].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in contents:
            os.replace(temporary[path], path)
        # Until the folder is on disk, too, a power cut may undo the renaming, but not what is removed after it.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        # A write that fails does not say of what.
        error.filename = str(path)
        raise
    finally:
        for left in temporary.values():
            with suppress(OSError):
                left.unlink(missing_ok=True)
