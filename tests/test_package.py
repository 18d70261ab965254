"""What importing costs, what is public, and that imports point one way."""

import ast
import graphlib
import importlib
import inspect
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

import pyro_vmm

ROOT = Path(pyro_vmm.__file__).parent
SUBPACKAGES = sorted(name for name in pyro_vmm.__all__ if (ROOT / name / "__init__.py").is_file())

# Each layer may import the ones before it, and itself; what is named together does not know each other.
LAYERS = [
    ["errors", "shapes", "process_lock", "interrupts", "atomic_writing"],
    ["local_module", "process_settings", "random_numbers"],
    ["option_checks"],
    ["options"],
    ["networks"],
    ["distributions"],
    ["priors", "likelihoods"],
    ["guides"],
    ["models"],
    ["infer"],
    ["observations"],
    ["training"],
    ["modalities"],
    ["fit"],
    ["answers", "vmm", "command_line"],
]
BESIDE = {
    "clustering",
    "data",
    "diagnosis",
    "expression",
    "plotting",
    "ppc",
    "report",
    "scoring",
    "single_cell",
    "testing",
    "benchmarks",
}
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}
METHOD = [name for layer in LAYERS[: LAYERS.index(["modalities"])] for name in layer]
FOREIGN = {"pandas", "sklearn", "matplotlib", "tqdm", "anndata", "torchvision", "safetensors", "h5py", "zarr"}
ALLOWED = {
    "training": {"tqdm", "safetensors"},
    "models/vade.py": {"sklearn"},  # VaDE starts from scikit-learn's Gaussian mixture, imported when asked for
}

MOST_LINES = 400


def loaded_by(statement):
    """Top-level modules that a fresh interpreter has loaded after the statement."""
    script = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    return set(done.stdout.split())


def sources(name):
    path = ROOT / name
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def imports_of(path):
    """Absolute names of all that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            # "from pyro_vmm import vmm" is an import of pyro_vmm.vmm.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_import_is_quick():
    heavy = {"torch", "pyro", "numpy", "scipy", "torchvision"} | FOREIGN
    assert not loaded_by("import pyro_vmm") & heavy


def test_the_command_shows_its_help_without_numpy_and_torch():
    loaded = loaded_by("from pyro_vmm.command_line.main import parser\nparser().format_help()")
    assert not loaded & ({"torch", "pyro", "numpy", "scipy"} | FOREIGN)


def test_the_method_needs_no_tables_files_or_plots():
    loaded = loaded_by("import pyro_vmm\npyro_vmm.models, pyro_vmm.guides, pyro_vmm.infer")
    assert "torch" in loaded
    assert not loaded & FOREIGN - {"tqdm"}  # which Pyro itself imports


def test_public_names():
    assert set(pyro_vmm.__all__) <= set(dir(pyro_vmm))
    assert len(pyro_vmm.__all__) == len(set(pyro_vmm.__all__))
    for name in pyro_vmm.__all__:
        assert getattr(pyro_vmm, name) is not None
    assert pyro_vmm.UserError is importlib.import_module("pyro_vmm.errors").UserError
    for name in ("priors", "likelihoods", "guides", "models", "infer", "distributions"):
        assert name in SUBPACKAGES
    with pytest.raises(AttributeError, match="module 'pyro_vmm' has no attribute 'prior'"):
        _ = pyro_vmm.prior


@pytest.mark.parametrize("name", [*SUBPACKAGES, "testing"])
def test_every_public_thing_is_documented(name):
    package = importlib.import_module(f"pyro_vmm.{name}")
    assert package.__doc__
    for public in package.__all__:
        thing = getattr(package, public)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        assert thing.__doc__, f"{name}.{public} has no docstring"
        if not inspect.isclass(thing):
            continue
        assert not thing.__doc__.startswith(f"{public}("), f"{name}.{public} has only a generated docstring"
        for member, value in vars(thing).items():
            if not member.startswith(("_", "test_")) and (inspect.isfunction(value) or isinstance(value, property)):
                assert inspect.getdoc(getattr(thing, member)), f"{name}.{public}.{member} has no docstring"


@pytest.mark.parametrize("name", [name for layer in LAYERS for name in layer])
def test_imports_point_one_way(name):
    for path in sources(name):
        for imported in imports_of(path):
            package, _, rest = imported.partition(".")
            other = rest.partition(".")[0]
            if package != "pyro_vmm" or other not in HEIGHT or other == name:
                continue
            within_facade = name in LAYERS[-1] and other in LAYERS[-1]
            assert HEIGHT[other] < HEIGHT[name] or within_facade, f"{path.relative_to(ROOT)} imports {imported}"


@pytest.mark.parametrize("name", METHOD)
def test_the_method_knows_no_tables_files_bars_or_plots(name):
    facade = {*BESIDE, *(name for layer in LAYERS for name in layer if name not in METHOD)} - {"testing"}
    for path in sources(name):
        for imported in imports_of(path):
            top, _, rest = imported.partition(".")
            allowed = ALLOWED.get(name, set()) | ALLOWED.get(path.relative_to(ROOT).as_posix(), set())
            assert top not in FOREIGN - allowed, f"{path.relative_to(ROOT)} imports {imported}"
            assert not (top == "pyro_vmm" and rest.partition(".")[0] in facade), f"{path.relative_to(ROOT)}: {imported}"


def test_every_subpackage_of_the_method_has_a_layer():
    """A new subpackage must be given its place here."""
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found <= set(HEIGHT) | BESIDE


def test_no_file_is_named_for_nothing():
    for path in [*ROOT.rglob("*.py"), *Path(__file__).parent.rglob("*.py")]:
        assert path.stem not in {"utils", "helpers", "common", "misc"}, path.name


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements_at_import(body):
    """Statements of a module that run when it is imported, those in blocks among them; not what only type checkers read."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        of_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for block in () if of_types else ("body", "handlers", "cases", "finalbody"):
            yield from statements_at_import(getattr(node, block, ()))
        yield from statements_at_import(getattr(node, "orelse", ()))


def loaded_first(name, source, modules):
    """The modules of the package that are loaded before module ``name`` can be."""
    for node in statements_at_import(source.body):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            packages = list(itertools.accumulate(target.split("."), "{}.{}".format))
            known = [module for module in packages if module in modules]
            # A package is being loaded already where its own modules are; what they take from it has to be there.
            yield from (module for module in known[:-1] if not f"{name}.".startswith(f"{module}."))
            yield from known[-1:]


def test_no_modules_import_each_other():
    sources = {module_name(path): ast.parse(path.read_text()) for path in ROOT.rglob("*.py")}
    graph = {name: set(loaded_first(name, source, sources)) for name, source in sources.items()}
    assert "pyro_vmm.priors.base" in graph["pyro_vmm.priors.mixture"]
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_files_are_short():
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
    long = {name for name, length in lengths.items() if length > MOST_LINES}
    assert not long, f"more than {MOST_LINES} lines: {sorted(long)}"
