"""Models and checkpoints of earlier releases load and predict what they did; the same seed gives the stored numbers.

``stored_models/make_stored_models.py`` wrote them. What is compared with numbers from another machine or another torch is
compared within a tolerance, what is computed twice here bit by bit.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stored_models.make_stored_models import EPOCHS, cells, digits, tiny_cells, tiny_vmm

from pyro_vmm import VMM, SingleCellVMM, UserError
from pyro_vmm.fit import Fit
from pyro_vmm.training import CheckpointWriter, read_checkpoint

RELEASES = sorted(path.parent for path in (Path(__file__).parent / "stored_models").glob("*/expected.json"))
LATEST = RELEASES[-1]
# A rounding error may grow over the steps of training, the more the further apart two versions of torch are.
GOLDEN = {"rtol": 1e-3}


def expected(release: Path, kind: str) -> dict[str, Any]:
    return json.loads((release / "expected.json").read_text())[kind]


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_stored_model_of_arrays_predicts_what_it_did(release: Path) -> None:
    vmm, stored = VMM.load(release / "arrays"), expected(release, "arrays")
    np.testing.assert_allclose(vmm.predict_proba(digits()[:10]), stored["predict_proba"], atol=1e-4)
    np.testing.assert_allclose(vmm.transform(digits()[:10]), stored["transform"], atol=1e-4)
    assert vmm.predict(digits()).tolist() == vmm.labels_.tolist()


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_stored_model_of_cells_predicts_what_it_did(release: Path) -> None:
    model, stored = SingleCellVMM.load(release / "cells", cells(release)), expected(release, "cells")
    np.testing.assert_allclose(model.predict_proba()[:10], stored["predict_proba"], atol=1e-4)
    np.testing.assert_allclose(model.get_latent_representation()[:10], stored["latent"], atol=1e-4)


def test_a_fit_of_cells_that_version_01_stored_is_diagnosed_on_cells() -> None:
    release = next(path for path in RELEASES if path.name.startswith("0.1"))
    with pytest.raises(UserError, match="give cells, diagnose"):
        Fit.load(release / "cells").diagnose()
    assert Fit.load(release / "cells").diagnose(cells(release))["small clusters"].severity


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_stored_checkpoint_is_taken_up(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release / "checkpoint", tmp_path / "checkpoint")
    vmm = tiny_vmm().fit(digits(), resume=tmp_path / "checkpoint")
    stored = expected(release, "arrays")
    assert len(vmm.history_) == EPOCHS
    np.testing.assert_allclose(vmm.history_["validation_elbo"], stored["validation_elbo"], **GOLDEN)
    np.testing.assert_array_equal(vmm.history_["elbo"][:5], stored["elbo"][:5])  # read, not computed


@pytest.mark.parametrize("kind", ["arrays", "cells"])
def test_a_model_of_a_newer_schema_is_refused_by_its_number(kind: str, tmp_path: Path) -> None:
    shutil.copytree(LATEST / kind, tmp_path, dirs_exist_ok=True)
    change(tmp_path / "config.json", version=7)
    with pytest.raises(UserError, match=r"written by a newer pyro-vmm \(format 7\): update pyro-vmm"):
        VMM.load(tmp_path) if kind == "arrays" else SingleCellVMM.load(tmp_path, cells(LATEST))


def test_a_checkpoint_of_a_newer_schema_is_refused_by_its_number(tmp_path: Path) -> None:
    shutil.copytree(LATEST / "checkpoint", tmp_path, dirs_exist_ok=True)
    change(next(tmp_path.glob("*.json")), version=7)
    with pytest.raises(UserError, match=r"state-0000000020\.json was written by a newer pyro-vmm \(format 7"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("kind", ["arrays", "cells"])
def test_weights_that_are_not_those_of_the_config_are_refused(kind: str, tmp_path: Path) -> None:
    shutil.copytree(LATEST / kind, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-6] ^= 4  # in a number: still a safetensors file, of the right shapes
    path.write_bytes(content)

    def load() -> Any:
        return VMM.load(tmp_path) if kind == "arrays" else SingleCellVMM.load(tmp_path, cells(LATEST))

    with pytest.raises(UserError, match=r"model\.safetensors is damaged or of another fit than config\.json"):
        load()
    config = json.loads((tmp_path / "config.json").read_text())
    del config["weights_sha256"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    load()  # of the weeks before checksums


# ---- the same seed, the same numbers ---------------------------------------------------------------------------------


def whole_state(directory: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Everything in the last checkpoint: weights, moments, best state, random numbers; and the facts without times."""
    tensors, facts, _ = read_checkpoint(directory)
    facts["progress"].pop("seconds")
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in facts.pop("history")]
    return tensors, repr((sorted(facts.items()), history))


def assert_same_state(first: Path, second: Path) -> None:
    (tensors, facts), (others, other_facts) = whole_state(first), whole_state(second)
    assert tensors.keys() == others.keys()
    assert "random.cpu" in tensors
    for part in ("guide.encoder.", "model.prior.", "optimizer.elbo.", "optimizer.prior.", "best."):
        assert any(name.startswith(part) for name in tensors), part
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []
    assert facts == other_facts


def test_two_fits_of_arrays_are_the_same_bit_by_bit_and_the_stored_one(tmp_path: Path) -> None:
    fits = [tiny_vmm().fit(digits(), watchers=[CheckpointWriter(tmp_path / name)]) for name in "ab"]
    assert_same_state(tmp_path / "a", tmp_path / "b")
    np.testing.assert_array_equal(fits[0].predict_proba(digits()), fits[1].predict_proba(digits()))
    stored = expected(LATEST, "arrays")
    for name in ("elbo", "validation_elbo"):
        np.testing.assert_allclose(fits[0].history_[name], stored[name], **GOLDEN)
    other = tiny_vmm(random_state=1).fit(digits())
    assert not np.allclose(other.history_["elbo"], stored["elbo"], **GOLDEN)


def test_two_fits_of_cells_are_the_same_bit_by_bit_and_the_stored_one(tmp_path: Path) -> None:
    models = []
    for name in "ab":
        models.append(tiny_cells(cells(LATEST)))
        watchers = [CheckpointWriter(tmp_path / name)]
        models[-1].train(
            max_epochs=EPOCHS, batch_size=20, accelerator="cpu", standard_normal_steps=0, watchers=watchers
        )
    assert_same_state(tmp_path / "a", tmp_path / "b")
    np.testing.assert_array_equal(models[0].predict_proba(), models[1].predict_proba())
    stored = expected(LATEST, "cells")
    written_with = json.loads((LATEST / "cells" / "config.json").read_text())["versions"]["torch"]
    # Releases of torch draw dropout differently.
    tolerance = GOLDEN if torch.__version__.startswith(written_with) else {"rtol": 3e-2}
    for name in ("elbo_train", "elbo_validation"):
        np.testing.assert_allclose(models[0].history[name][name], stored[name], **tolerance)
