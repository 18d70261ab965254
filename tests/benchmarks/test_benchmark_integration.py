"""The integration benchmark by the common command, with methods that stand in for the slow ones."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData

from benchmarks.tables import integration as table
from pyro_vmm.command_line.main import main
from pyro_vmm.single_cell import simulate_cells

sys.path.insert(0, str(table.FOLDER))
import integration
import integration_methods
from integration_methods import Fitted


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with one file of cells, under the name of one of the benchmark's."""
    cells = simulate_cells(60, 12, num_groups=3, num_batches=2)
    cells.obs["cell_type"] = cells.obs["group"]
    del cells.layers["share"], cells.layers["unbatched_share"]
    cells.write_h5ad(tmp_path / "starmap_mpfc_spatial.h5ad")
    return tmp_path


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[AnnData]:
    """What a method that stands in for the others was given."""
    given: list[AnnData] = []

    def stub(adata: AnnData, seed: int) -> Fitted:
        given.append(adata)
        return Fitted(np.random.default_rng(seed).normal(size=(adata.n_obs, 2)), clusters=np.arange(adata.n_obs) % 4)

    methods = {"stub": stub, "seurat": integration_methods.seurat}
    monkeypatch.setattr(integration_methods, "METHODS", methods)
    monkeypatch.setattr(integration, "METHODS", methods)
    monkeypatch.setattr(integration, "load", lambda method, adata: None)
    monkeypatch.setattr(integration, "versions", lambda method: {"numpy": np.__version__})
    monkeypatch.setattr(integration, "leiden", lambda embedding, seed: np.arange(len(embedding)) % 2)
    monkeypatch.setattr(table, "NEEDED", ())
    # No Rscript on this path, whatever the machine has.
    monkeypatch.setenv("PATH", "")
    integration_methods.seurat_version.cache_clear()
    monkeypatch.setattr(table, "QUICK", {"files": ("starmap_mpfc_spatial",), "methods": ("stub", "seurat")})
    return given


def test_all_stages(data: Path, seen: list[AnnData], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fits see counts and batches; Seurat is said to be absent and nothing fails; a second call fits nothing."""
    arguments = ["benchmark", "integration", "--quick", "--data-root", str(data), "--output", str(tmp_path / "runs")]
    assert main(arguments) == 0, "".join(capsys.readouterr())
    assert [list(adata.obs.columns) for adata in seen] == [["batch"]]
    page = (tmp_path / "runs" / "integration-quick.md").read_text()
    assert "| stub | 1 |" in page
    assert "`seurat` is not in it: Rscript with the package Seurat is not installed here." in page
    assert "left out" in capsys.readouterr().out
    assert main(arguments) == 0
    assert len(seen) == 1
    assert main([*arguments, "--seeds", "2", "--list", "--only", "stub"]) == 0
    listed = capsys.readouterr().out.splitlines()[-2:]
    assert listed == ["done   starmap_mpfc_spatial/stub/seed0", "to do  starmap_mpfc_spatial/stub/seed1"]


def test_a_fit_of_another_definition_is_kept_and_told_of(
    data: Path,
    seen: list[AnnData],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ["benchmark", "integration", "--quick", "--data-root", str(data), "--output", str(tmp_path / "runs")]
    for state, told in (("one", False), ("one", False), ("other", True)):
        monkeypatch.setattr(integration, "definition", lambda method, state=state: state)
        assert main(arguments) == 0
        assert ("1 fits were made by another definition" in capsys.readouterr().out) == told
    assert len(seen) == 1


def test_the_definition_is_of_the_file_and_for_ours_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for state in ("one", "other"):
        integration_methods.definition.cache_clear()
        monkeypatch.setattr(integration_methods, "source_digest", lambda state=state: state)
        found.append({method: integration_methods.definition(method) for method in ("pca", "scvi", "vmm", "normal")})
    integration_methods.definition.cache_clear()
    assert [name for name in found[0] if found[0][name] != found[1][name]] == ["vmm", "normal"]


def test_mistakes(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    monkeypatch.setattr(table, "NEEDED", ("no_such_package",))
    for arguments, told in (
        (["--jobs", "2"], "--jobs"),
        (["--jobs", "-3"], "--jobs"),
        (["--data-root", str(data), "--only", "nosuch"], "--only nosuch"),
        ([], "--data-root"),
        (["--data-root", str(empty)], "h5ad"),
        (["--data-root", str(data)], "no_such_package"),
    ):
        assert main(["benchmark", "integration", *arguments]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1


def test_each_prior_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard normal alone has no clusters of its own."""
    fitted: list[Any] = []

    class Model:
        def predict(self) -> np.ndarray:
            return np.zeros(3)

    def single_cell_vmm(adata: AnnData, seed: int, **options: Any) -> Any:
        fitted.append(options.get("prior", "vamp-mixture"))
        return Model(), Fitted(np.zeros((3, 2)))

    monkeypatch.setattr(integration_methods, "single_cell_vmm", single_cell_vmm)
    own = {name: integration_methods.METHODS[name](None, 0).clusters is not None for name in integration_methods.OURS}
    assert own == {"normal": False, "vamp-prior": True, "dp-gmm": True, "vmm": True}
    assert fitted == ["standard-normal", "vamp-prior", "gaussian-mixture", "vamp-mixture"]


def test_time_of_a_method_in_another_process_counts() -> None:
    """R works in a process of its own, whose time this one's clock does not know."""
    before = integration.cpu_seconds()
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert integration.cpu_seconds() - before >= 0.25


def test_of_two_processes_at_one_fit_the_second_leaves_the_first_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integration, "leiden", lambda embedding, seed: np.zeros(len(embedding)))
    for number in (1.0, 2.0):
        integration.save(tmp_path / "fit", Fitted(np.full((3, 2), number)), {"seed": 0})
    assert np.load(tmp_path / "fit" / "embedding.npy")[0, 0] == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]
