"""Which state of the source gave a result."""

import functools
import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def source_digest(folder: str = "pyro_vmm") -> str:
    """First 16 digits of the SHA-256 of all Python files of a folder: results of other states of the code can be told apart."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / folder).rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]
