"""The faults that ``benchmarks/mutations.py`` seeds: each finds its place in the present code, and the tests to notice it."""

import importlib.util
from pathlib import Path

import pyro_vmm

PACKAGE = Path(pyro_vmm.__file__).parent
TESTS = Path(__file__).parents[1]


def test_every_seeded_fault_has_one_place_and_tests_that_exist() -> None:
    place = PACKAGE.parent / "benchmarks" / "seeded_faults.py"
    specification = importlib.util.spec_from_file_location("seeded_faults", place)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert len(module.FAULTS) >= 30
    for fault in module.FAULTS:
        assert (PACKAGE / fault.file).read_text().count(fault.right) == 1, fault
        assert fault.right != fault.wrong
        assert all((TESTS / name).exists() for name in fault.tests.split()), fault
