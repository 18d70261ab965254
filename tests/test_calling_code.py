"""Warnings point at the line of the user's code."""

import warnings

import pytest

from pyro_vmm.calling_code import warn_caller


@pytest.mark.parametrize(
    ("module", "is_users"), [("pyro_vmm_study", True), ("__main__", True), ("pyro_vmm.inner", False)]
)
def test_only_modules_of_the_package_are_passed_over(module: str, is_users: bool) -> None:
    """Not what has a name that begins so."""
    known = {"warn_caller": warn_caller, "__name__": module}
    exec(compile("def ask():\n    warn_caller('few')", "study.py", "exec"), known)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        known["ask"]()
    assert caught[0].filename == ("study.py" if is_users else __file__)
