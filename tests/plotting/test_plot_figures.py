import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from pyro_vmm import VMM, SingleCellVMM, UserError
from pyro_vmm.plotting import figures, save_figures
from pyro_vmm.single_cell import simulate_cells

NAMES = ["training.png", "latent.png", "components.png", "weights.png", "entropy.png"]


@pytest.fixture(scope="module")
def images():
    """Three kinds of images of 3 x 4 pixels."""
    generator = np.random.default_rng(0)
    kinds = generator.random((3, 12)) > 0.5
    return (kinds[np.arange(90) % 3] ^ (generator.random((90, 12)) < 0.05)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(images):
    options = {"hidden": (8,), "batch_size": 30, "max_epochs": 3, "device": "cpu", "random_state": 0}
    return VMM(3, 6, image_shape=(3, 4), **options).fit(images)


@pytest.fixture(scope="module")
def table_fit(images):
    frame = pd.DataFrame(images, columns=[f"column {i}" for i in range(12)])
    options = {"hidden": (8,), "batch_size": 30, "max_epochs": 2, "device": "cpu", "random_state": 0}
    return VMM(3, 6, **options).fit(frame), frame


def test_every_picture_of_images_is_written_and_none_is_blank(tmp_path, fitted, images):
    paths = save_figures(str(tmp_path / "new" / "figures"), fitted, images, labels=np.arange(90) % 3)
    assert [path.name for path in paths] == [*NAMES, "labels.png"]
    for path in paths:
        assert imread(path)[..., :3].std() > 0.02


def test_of_a_table_components_are_profiles_by_the_names_of_its_columns(tmp_path, table_fit, monkeypatch):
    fit, frame = table_fit
    given = []
    original = figures.component_profiles

    def recorded(*arguments, **options):
        given.append(options["feature_names"])
        return original(*arguments, **options)

    monkeypatch.setattr(figures, "component_profiles", recorded)
    assert [path.name for path in save_figures(tmp_path, fit, frame)] == NAMES
    save_figures(tmp_path, fit, frame, feature_names=list("abcdefghijkl"))
    assert given == [list(frame.columns), list("abcdefghijkl")]


@pytest.mark.parametrize("observed_library", [True, False])
def test_of_cells_nothing_but_the_model_is_needed(tmp_path, observed_library):
    adata = simulate_cells(80, 12, seed=0)
    SingleCellVMM.setup_anndata(adata)
    options = {"n_latent": 3, "num_components": 5, "n_hidden": 8}
    model = SingleCellVMM(adata, **options, use_observed_lib_size=observed_library)
    with pytest.raises(UserError, match="call train"):
        save_figures(tmp_path, model)
    model.train(max_epochs=1, accelerator="cpu")
    names = [name for name in NAMES if name != "components.png"]
    assert [path.name for path in save_figures(tmp_path, model)] == names
    assert [path.name for path in save_figures(tmp_path, model, adata[:40].copy())] == names


def test_a_fit_and_one_that_observes_already_have_the_pictures_of_their_face(tmp_path, fitted, images):
    expected = save_figures(tmp_path / "face", fitted, images)
    of_fit = save_figures(tmp_path / "fit", fitted.fit_, images)
    of_observed = save_figures(tmp_path / "observed", fitted.observe(images))
    for several in zip(expected, of_fit, of_observed, strict=True):
        assert len({path.read_bytes() for path in several}) == 1
    with pytest.raises(UserError, match="leave data out"):
        save_figures(tmp_path, fitted.observe(images), images)


def test_what_cannot_be_drawn(tmp_path, fitted, images):
    with pytest.raises(UserError, match="keeps no data"):
        save_figures(tmp_path, fitted)
    with pytest.raises(UserError, match="fit is a ndarray: give a fitted VMM, SingleCellVMM or Fit"):
        save_figures(tmp_path, images)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path, table_fit, images):
    taken = tmp_path / "file"
    taken.touch()
    with pytest.raises(UserError, match=r"file cannot be written .*: choose another folder"):
        save_figures(taken, *table_fit)
    with pytest.raises(UserError, match="directory is None: give the path of a folder"):
        save_figures(None, *table_fit)


def test_principal_components_are_drawn_unless_another_projection_is_asked_for(tmp_path, fitted, images, monkeypatch):
    asked = []
    original = figures.latent_space

    def recorded(*arguments, **options):
        asked.append(options["method"])
        return original(*arguments, **options | {"method": "pca"})

    monkeypatch.setattr(figures, "latent_space", recorded)
    save_figures(tmp_path, fitted, images)
    save_figures(tmp_path, fitted, images, method="umap")
    assert asked == ["pca", "umap"]


def test_pictures_are_the_same_on_every_run(tmp_path, fitted, images):
    first, second = (save_figures(tmp_path / name, fitted, images) for name in ("a", "b"))
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


def test_pictures_agree_on_what_is_in_use_and_on_the_component_and_colour_of_a_cluster(
    tmp_path, fitted, images, monkeypatch
):
    seen = {}

    def record(name):
        original = getattr(figures, name)

        def recorded(*arguments, **options):
            seen[name] = arguments, options
            return original(*arguments, **options)

        monkeypatch.setattr(figures, name, recorded)

    for name in ("latent_space", "component_gallery", "mixture_weights"):
        record(name)
    save_figures(tmp_path, fitted, images)
    _, in_use = seen["mixture_weights"][0]
    ids = np.arange(fitted.n_clusters_)
    assert np.flatnonzero(in_use).tolist() == ids.tolist()
    (centres, _, _, weights, shown), options = seen["component_gallery"]
    assert seen["latent_space"][1]["colours"] == options["colours"]
    assert set(options["colours"]) == set(shown) == set(ids)
    np.testing.assert_array_equal(centres, fitted.decoded_centres()[shown])
    np.testing.assert_array_equal(options["pseudo_inputs"], fitted.pseudo_inputs()[shown])
    np.testing.assert_array_equal(weights, fitted.weights_[shown])
    assert (np.diff(weights) <= 0).all()
