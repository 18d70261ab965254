"""What is committed in notebooks/: outputs that are there, small and clean. ``make test`` also runs them (nbmake)."""

import ast
import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|usr|opt|mnt|var|Users)/|[A-Z]:\\\\Users|site-packages")
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path):
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def python_of(cell):
    """The cell's source without IPython's magics."""
    return "".join(line for line in cell["source"] if not line.lstrip().startswith("%"))


def texts_of(output):
    """All that a reader sees of an output but pictures."""
    texts = [
        output.get("text", []),
        *(v for kind, v in output.get("data", {}).items() if not kind.startswith("image/")),
    ]
    return "".join("".join(text) for text in texts)


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_the_folder_is_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 3_000_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_begins_with_what_one_will_be_able_to_do(self, path):
        first = read(path)["cells"][0]
        assert first["cell_type"] == "markdown"
        text = "".join(first["source"])
        assert text.startswith("# ")
        assert "**After this notebook you can**" in text

    def test_was_run_from_top_to_bottom(self, path):
        counts = [cell["execution_count"] for cell in code_cells(path)]
        assert counts == list(range(1, len(counts) + 1))
        assert any("image/png" in output.get("data", {}) for cell in code_cells(path) for output in cell["outputs"])

    def test_outputs_hold_no_warning_error_path_or_address(self, path):
        for cell in code_cells(path):
            for output in cell["outputs"]:
                assert output["output_type"] != "error"
                assert output.get("name") != "stderr", texts_of(output)
                for litter in (MACHINE_PATH, ADDRESS):
                    assert not litter.search(texts_of(output)), texts_of(output)

    def test_has_stable_names_and_no_metadata(self, path):
        notebook = read(path)
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"
        assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
        assert set(notebook["metadata"]["language_info"]) == {"name"}  # no version of whoever ran it last
        names = [cell["id"] for cell in notebook["cells"]]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z0-9-]+", name) and not re.fullmatch(r"[0-9a-f]{8}", name) for name in names)
        assert not any(cell["metadata"] for cell in notebook["cells"])

    def test_labels_are_read_after_their_heading_only(self, path):
        scoring = False
        for cell in read(path)["cells"]:
            if cell["cell_type"] == "markdown":
                scoring = scoring or any(line.startswith("## Labels, for the score only") for line in cell["source"])
                continue
            for node in ast.walk(ast.parse(python_of(cell))):
                reads = isinstance(node, ast.Name) and node.id == "labels" and isinstance(node.ctx, ast.Load)
                assert scoring or not reads, python_of(cell)
