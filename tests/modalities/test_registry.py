"""Which modalities are known, and by whom."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from pyro_vmm import UserError
from pyro_vmm.modalities import Modality, known, named, register, registry
from pyro_vmm.modalities.arrays import Arrays


@pytest.fixture
def of_packages(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands in for the entry points of installed packages."""

    def installed(*points: tuple[str, str]) -> None:
        made = [EntryPoint(name, value, registry.GROUP) for name, value in points]
        monkeypatch.setattr(registry, "entry_points", lambda group: made)
        registry._of_other_packages.cache_clear()

    yield installed
    registry._of_other_packages.cache_clear()


def test_an_installed_package_makes_its_modalities_known(of_packages: Any) -> None:
    of_packages(("another", "pyro_vmm.modalities.arrays:Arrays"))
    assert named("another") is Arrays


def test_one_that_cannot_be_imported_is_left_out_with_a_warning(of_packages: Any) -> None:
    of_packages(("broken", "no_such_package:Thing"), ("another", "pyro_vmm.modalities.arrays:Arrays"))
    with pytest.warns(UserWarning, match="'broken' of no_such_package:Thing cannot be imported") as caught:
        assert {"another", "arrays", "single-cell"} <= set(known())
    assert caught[0].filename == __file__
    with pytest.raises(UserError, match="'broken' is not known"):
        named("broken")


def test_a_name_is_given_once() -> None:
    @dataclass(frozen=True, eq=False)
    class Tables(Modality):
        name = "arrays"

    with pytest.raises(UserError, match="'arrays' exists already"):
        register(Tables)
