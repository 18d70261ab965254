"""A checkpoint is whole or it is not there: damage of every kind is found, named, and passed over."""

import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_vmm import UserError
from pyro_vmm.atomic_writing import write_atomically
from pyro_vmm.training import Trainer, read_checkpoint, write_checkpoint

FACTS = {"history": [{"elbo": -0.1, "validation_elbo": float("nan")}], "best": -float("inf"), "seed": 3}


def tensors(step: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {
        "weight": torch.randn(40, 3, generator=generator),
        "half": torch.randn(4, generator=generator).to(torch.bfloat16),
        "step": torch.tensor(float(step)),
        "random": torch.get_rng_state(),
    }


def write(directory: Path, step: int) -> Path:
    return write_checkpoint(directory, tensors(step), FACTS | {"steps_taken": step}, step=step)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two checkpoints, of steps 10 and 20."""
    write(tmp_path / "checkpoint", 10)
    write(tmp_path / "checkpoint", 20)
    return tmp_path / "checkpoint"


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = tensors(7)
    # A view of a larger tensor, and one that needs a gradient.
    written["view"] = torch.arange(12.0).reshape(3, 4).T
    written["leaf"] = torch.ones(2, requires_grad=True)
    write_checkpoint(tmp_path, written, FACTS, step=7)
    read, facts, faults = read_checkpoint(tmp_path)
    assert read.keys() == written.keys()
    for name, tensor in written.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)
    assert faults == []
    assert repr(facts) == repr(FACTS)


def test_the_newest_is_read_and_only_two_are_kept(tmp_path: Path) -> None:
    for step in (5, 90, 100, 1000):
        write(tmp_path, step)
        assert read_checkpoint(tmp_path)[1]["steps_taken"] == step
    assert names(tmp_path) == [f"state-{step:010d}.{kind}" for step in (100, 1000) for kind in ("json", "safetensors")]


def test_writing_the_same_step_again_replaces_it(folder: Path) -> None:
    write_checkpoint(folder, {"weight": torch.zeros(2)}, {"steps_taken": 20}, step=20)
    assert torch.equal(read_checkpoint(folder)[0]["weight"], torch.zeros(2))
    assert len(names(folder)) == 4


def flip(path: Path, position: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def change_header(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DAMAGE: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "tensors cut short": (lambda t, j: t.write_bytes(t.read_bytes()[:-1]), r"state-0000000020\.safetensors is damaged"),
    "tensors empty": (lambda t, j: t.write_bytes(b""), r"state-0000000020\.safetensors is damaged"),
    "a bit of a tensor": (lambda t, j: flip(t, -5, 3), r"state-0000000020\.safetensors is damaged"),
    "a bit of the header": (lambda t, j: flip(t, 12), r"state-0000000020\.safetensors is damaged"),
    "tensors missing": (lambda t, j: t.unlink(), r"state-0000000020\.safetensors is missing"),
    "JSON cut short": (lambda t, j: j.write_bytes(j.read_bytes()[:-10]), r"state-0000000020\.json is damaged"),
    "JSON empty": (lambda t, j: j.write_bytes(b""), r"state-0000000020\.json is damaged"),
    "JSON of zeros": (lambda t, j: j.write_bytes(bytes(200)), r"state-0000000020\.json is damaged"),
    "JSON of other bytes": (lambda t, j: j.write_bytes(b"\xff\xfe" * 50), r"state-0000000020\.json is damaged"),
    "JSON nested too deeply": (lambda t, j: j.write_text("[" * 200_000), r"state-0000000020\.json is damaged"),
    "JSON a list": (lambda t, j: j.write_text("[1, 2]"), r"state-0000000020\.json is damaged"),
    "JSON without checksum": (
        lambda t, j: j.write_text('{"format": "pyro-vmm-checkpoint", "version": 1, "facts": {}}'),
        r"state-0000000020\.json is damaged",
    ),
    "a number in the facts": (
        lambda t, j: j.write_text(j.read_text().replace('"elbo": -0.1', '"elbo": -0.3')),
        r"state-0000000020\.json is damaged",
    ),
    "foreign": (lambda t, j: change_header(j, format="other-model"), r"state-0000000020\.json is no checkpoint"),
    "newer": (lambda t, j: change_header(j, version=99), r"state-0000000020\.json was written by a newer .*format 99"),
}


@pytest.fixture(params=list(DAMAGE))
def damage(request: pytest.FixtureRequest) -> tuple[Callable[[Path, Path], object], str]:
    return DAMAGE[request.param]


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(folder: Path, damage: Any) -> None:
    harm, message = damage
    harm(folder / "state-0000000020.safetensors", folder / "state-0000000020.json")
    read, facts, faults = read_checkpoint(folder)
    assert facts["steps_taken"] == 10
    assert torch.equal(read["weight"], tensors(10)["weight"])
    assert len(faults) == 1
    assert re.search(message, faults[0])


def test_every_single_flipped_bit_of_the_facts_is_noticed(folder: Path) -> None:
    path = folder / "state-0000000020.json"
    whole = path.read_bytes()
    start = whole.index(b'"facts"') + 8
    believed = json.loads(whole)["facts"]
    for position in range(start, len(whole)):
        flip(path, position, bit=position % 7)
        facts = read_checkpoint(folder)[1]
        assert facts["steps_taken"] == 10 or repr(facts) == repr(believed), whole[position - 10 : position + 10]
        path.write_bytes(whole)


def test_none_whole_is_the_users_to_mend(folder: Path) -> None:
    (folder / "state-0000000010.safetensors").unlink()
    flip(folder / "state-0000000020.safetensors", 200)
    with pytest.raises(UserError, match=r"(?s)state-0000000020\.safetensors is damaged.*state-0000000010.*is missing"):
        read_checkpoint(folder)


@pytest.mark.parametrize("content", [[], ["notes.txt", "state-12.json", "state-0000000001.safetensors"]])
def test_a_folder_without_checkpoints_says_so(tmp_path: Path, content: list[str]) -> None:
    for name in content:
        (tmp_path / name).write_text("{}")
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="holds no checkpoint"):
            read_checkpoint(directory)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_pickle_in_disguise_is_refused_and_not_run(folder: Path, tmp_path: Path) -> None:
    exploded = tmp_path / "exploded"
    for content in (pickle.dumps(Bomb(exploded)), b""):
        if not content:
            torch.save({"weight": Bomb(exploded)}, tmp_path / "pickle")
            content = (tmp_path / "pickle").read_bytes()
        # Even with a checksum that fits.
        (folder / "state-0000000020.safetensors").write_bytes(content)
        change_header(folder / "state-0000000020.json", sha256=hashlib.sha256(content).hexdigest())
        _, facts, faults = read_checkpoint(folder)
        assert facts["steps_taken"] == 10
        assert faults == ["state-0000000020.safetensors is no safetensors file."]
        assert not exploded.exists()
        pickle.loads(pickle.dumps(Bomb(exploded)))
        assert exploded.exists()
        exploded.unlink()


@pytest.mark.parametrize("failing_call", [1, 2], ids=["tensors", "JSON"])
def test_a_failure_while_writing_leaves_the_checkpoint_before(
    folder: Path, failing_call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, calls = os.replace, []

    def failing(source: Any, target: Any) -> None:
        calls.append(target)
        if len(calls) == failing_call:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="No space left"):
        write(folder, 30)
    monkeypatch.undo()
    assert not [name for name in names(folder) if name.endswith(".partial")]
    read, facts, faults = read_checkpoint(folder)
    assert (facts["steps_taken"], faults) == (20, [])
    assert torch.equal(read["weight"], tensors(20)["weight"])
    (folder / ".state-0000000030.json.1234.partial").write_bytes(b"{")  # what a killed process leaves
    (folder / "notes.txt").write_text("not ours")
    write(folder, 31)
    assert read_checkpoint(folder)[1]["steps_taken"] == 31
    pairs = [f"state-{step:010d}.{kind}" for step in (20, 31) for kind in ("json", "safetensors")]
    assert names(folder) == ["notes.txt", *pairs]


def test_a_file_is_the_old_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    seen = []
    replace = os.replace

    def looking(source: Any, target: Any) -> None:
        seen.append((path.read_bytes(), Path(source).read_bytes()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", looking)
    write_atomically(path, b"new")
    assert seen == [(b"old", b"new")]
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_a_training_begun_anew_replaces_the_later_steps_of_the_one_given_up(folder: Path) -> None:
    assert write(folder, 5).exists()
    assert read_checkpoint(folder)[1]["steps_taken"] == 5
    write(folder, 8)
    write(folder, 9)
    assert read_checkpoint(folder)[1]["steps_taken"] == 9
    assert len(names(folder)) == 4


def test_going_on_after_damage_keeps_a_whole_checkpoint_at_every_moment(folder: Path) -> None:
    flip(folder / "state-0000000020.safetensors", 200)
    write(folder, 15)
    assert read_checkpoint(folder)[1]["steps_taken"] == 15
    assert read_checkpoint(folder)[2] == []
    (folder / "state-0000000015.safetensors").unlink()
    assert read_checkpoint(folder)[1]["steps_taken"] == 10


def test_a_checkpoint_without_a_checksum_of_its_facts_is_read(folder: Path) -> None:
    header = json.loads((folder / "state-0000000020.json").read_text())
    del header["facts_sha256"]
    (folder / "state-0000000020.json").write_text(json.dumps(header))
    assert read_checkpoint(folder)[1]["steps_taken"] == 20


def test_a_state_of_another_model_is_refused(build_svi: Any, make_data: Any) -> None:
    """Where nobody says what a training was begun with, the shapes of its parameters do."""
    begun = Trainer(build_svi("gaussian-mixture"), make_data(40), max_epochs=1, batch_size=20)
    begun.run()
    other = Trainer(build_svi("standard-normal"), make_data(40), max_epochs=2, batch_size=20)
    with pytest.raises(UserError, match=r"made with another model: model\.prior\..* Resume with the same options"):
        other.load_state_dict(*begun.state_dict())
