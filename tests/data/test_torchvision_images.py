import builtins
import gzip
import os
import shutil
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from pyro_vmm.data import default_data_root, load_input
from pyro_vmm.errors import UserError

IMAGE_ROOT = Path(os.environ.get("PYRO_VMM_DATA") or Path(__file__).parents[3] / "shared" / "data")


def images_at_hand(folder):
    files = IMAGE_ROOT / folder / "raw"
    if not (files / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip(f"{folder}/raw/*.gz is not under {IMAGE_ROOT}: set PYRO_VMM_DATA to the folder that holds it")
    return files


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_read_only_files_give_all_70000_images_and_stay_untouched(tmp_path, monkeypatch, name, folder):
    pytest.importorskip("torchvision")
    source = images_at_hand(folder)
    root, cache = tmp_path / "given", tmp_path / "cache"
    raw = root / folder / "raw"
    shutil.copytree(source, raw)
    files = sorted(os.listdir(raw))
    raw.chmod(0o555)
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(cache))
    try:
        data = load_input(name, data_root=root)
        assert sorted(os.listdir(raw)) == files
    finally:
        raw.chmod(0o755)
    assert (cache / "pyro-vmm" / folder / "raw" / "train-images-idx3-ubyte").is_file()
    assert data.x.shape == (70_000, 784)
    assert data.x.dtype == np.float32
    assert (data.x.min(), data.x.max()) == (0.0, 1.0)
    assert (data.image_shape, data.likelihood) == ((28, 28), "bernoulli")
    assert data.ids[69_999] == "69999"
    # Training images come first: both sets are known by how many of each class they hold.
    per_class = [6000] * 10 if name == "fashion-mnist" else [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    np.testing.assert_array_equal(np.bincount(data.labels[:60_000]), per_class)
    first = load_first_image(raw / "train-images-idx3-ubyte.gz")
    np.testing.assert_array_equal(np.rint(data.x[0] * 255), first)


def load_first_image(path):
    with gzip.open(path) as file:
        return np.frombuffer(file.read(16 + 784), dtype=np.uint8)[16:]


def without_network(monkeypatch):
    from torchvision.datasets import mnist

    def refuse(*arguments, **options):
        raise URLError("no network")

    monkeypatch.setattr(mnist, "download_and_extract_archive", refuse)


def test_missing_images_without_a_network_say_which_files_go_where(tmp_path, monkeypatch):
    pytest.importorskip("torchvision")
    without_network(monkeypatch)
    with pytest.raises(UserError) as raised:
        load_input("mnist", data_root=tmp_path)
    assert "\n" not in str(raised.value)
    assert os.fspath(tmp_path / "MNIST" / "raw") in str(raised.value)
    for part in ("train", "t10k"):
        assert f"{part}-images-idx3-ubyte.gz, {part}-labels-idx1-ubyte.gz" in str(raised.value)


def test_data_root_is_the_cache_unless_named(tmp_path, monkeypatch):
    pytest.importorskip("torchvision")
    without_network(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "cache"))
    assert default_data_root() == os.fspath(tmp_path / "cache" / "pyro-vmm")
    with pytest.raises(UserError, match="cache/pyro-vmm/FashionMNIST/raw"):
        load_input("fashion-mnist")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_data_root() == os.path.expanduser("~/.cache/pyro-vmm")


def test_damaged_and_unusable_data_roots_are_refused(tmp_path):
    pytest.importorskip("torchvision")
    raw = tmp_path / "damaged" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte").write_bytes(b"\0\0\x08\x03short")
    with pytest.raises(UserError, match="remove damaged files"):
        load_input("mnist", data_root=tmp_path / "damaged")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not a folder"):
        load_input("mnist", data_root=tmp_path / "file")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with pytest.raises(UserError, match=r"lacks train-images-idx3-ubyte.gz.*cannot be written to"):
        load_input("mnist", data_root=locked)


def test_torchvision_of_another_torch_is_told_in_one_line(monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *arguments, **options):
        if name.partition(".")[0] == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist\nand more")
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=r"^mnist needs a torchvision.*nms does not exist\).*together") as raised:
        load_input("mnist")
    assert "\n" not in str(raised.value)
