import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from pyro_vmm.plotting import figures, save_figures


def _fit(image_shape, count=3, truncation=10, observations=60):
    generator = np.random.default_rng(0)
    clusters = np.arange(observations) % count + 2
    weights = np.full(truncation, 0.01)
    weights[2 : 2 + count] = (1 - 0.01 * (truncation - count)) / count
    return {
        "history": pd.DataFrame({"step": [1, 2, 3], "elbo": [-9.0, -8, -7], "clusters_in_use": [9, 5, count]}),
        "latent": generator.normal(size=(observations, 4)),
        "clusters": clusters,
        "responsibilities": np.eye(truncation)[clusters],
        "weights": weights,
        "image_shape": image_shape,
        "centres": generator.random((count, 12)),
        "typical": generator.random((count, 5, 12)),
        "samples": generator.random((count, 5, 12)),
        "component_ids": np.arange(2, 2 + count),
        "method": "pca",
    }


@pytest.mark.parametrize("image_shape", [(3, 4), None])
@pytest.mark.parametrize("count", [1, 3])
def test_every_picture_is_written_and_none_is_blank(tmp_path, image_shape, count):
    fit = _fit(image_shape, count)
    paths = save_figures(tmp_path / "new" / "figures", **fit, labels=fit["clusters"] % 2)
    names = ["training.png", "latent.png", "components.png", "weights.png", "entropy.png", "labels.png"]
    assert [path.name for path in paths] == names
    for path in paths:
        assert imread(path)[..., :3].std() > 0.02


def test_no_labels_no_picture_of_labels(tmp_path):
    save_figures(tmp_path, **_fit((3, 4)))
    assert not (tmp_path / "labels.png").exists()


def test_pictures_are_the_same_on_every_run(tmp_path):
    first, second = (save_figures(tmp_path / name, **_fit((3, 4))) for name in ("a", "b"))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(imread(one), imread(other))


def test_neither_pyplot_nor_a_backend_is_touched_and_the_library_itself_leaves_matplotlib_alone():
    program = """
import sys
import pyro_vmm
assert not any(name.startswith("matplotlib") for name in sys.modules), "import pyro_vmm loads matplotlib"
import numpy as np
from pyro_vmm.plotting import latent_space, merge_tree, mixture_weights
from pyro_vmm.plotting.figures import save_figure
latent_space(np.eye(4), [0, 1, 1, 0], method="pca")
mixture_weights([1.0], [True])
merge_tree([(0, 1, 0.5)])
assert "matplotlib.pyplot" not in sys.modules, "pyplot was imported"
"""
    subprocess.run([sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", program], check=True)


def test_pictures_agree_on_what_is_in_use_and_on_the_colour_of_a_component(tmp_path, monkeypatch):
    seen = {}

    def record(name):
        original = getattr(figures, name)

        def recorded(*arguments, **options):
            seen[name] = arguments, options
            return original(*arguments, **options)

        monkeypatch.setattr(figures, name, recorded)

    for name in ("latent_space", "component_gallery", "mixture_weights"):
        record(name)
    save_figures(tmp_path, **_fit((3, 4)))
    _, in_use = seen["mixture_weights"][0]
    assert np.flatnonzero(in_use).tolist() == [2, 3, 4]
    assert seen["latent_space"][1]["colours"] == seen["component_gallery"][1]["colours"]
    assert set(seen["latent_space"][1]["colours"]) == {2, 3, 4}
    np.testing.assert_allclose(seen["component_gallery"][0][3], 0.31)
