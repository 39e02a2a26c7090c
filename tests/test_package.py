"""The package as a library: its names, its version, what it needs, and the wheel made of it."""

import ast
import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import ttfs

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]


def run(code: str, folder: Path, path: Path) -> str:
    """Return what a new Python says that starts in one folder and finds modules in another."""
    command = [sys.executable, "-c", code]
    env = os.environ | {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.strip()


def test_importing_and_listing_the_package_imports_no_other():
    code = "import sys\nbefore = set(sys.modules)\nimport ttfs\ndir(ttfs), ttfs.InputError\n"
    code += "found = {name.split('.')[0] for name in set(sys.modules) - before}\n"
    code += "print(*sorted(found - sys.stdlib_module_names))"
    assert run(code, ROOT, ROOT) == "ttfs"


@pytest.mark.parametrize("name", ttfs.__all__)
def test_a_name_is_what_its_module_defines_under_it(name):
    module = f"ttfs.{ttfs._MODULE_OF[name]}" if name in ttfs._MODULE_OF else "ttfs"
    found = getattr(ttfs, name)
    assert found is getattr(importlib.import_module(module), name)
    assert (found.__module__, found.__name__) == (module, name)


def test_no_module_has_the_name_of_something_else():
    """For importing a module sets the package's attribute of that name to the module."""
    modules = {path.stem for path in (ROOT / "ttfs").iterdir()}
    assert "windows" in modules and not modules & set(ttfs.__all__)


def test_names_are_listed_and_come_with_a_star():
    assert {*ttfs.__all__, "__version__", "__doc__"} <= set(dir(ttfs))
    assert len(ttfs.__all__) == len(set(ttfs.__all__))
    names = {}
    exec("from ttfs import *", names)
    names.pop("__builtins__")
    assert names == {name: getattr(ttfs, name) for name in ttfs.__all__}


def test_an_unknown_name_is_refused_in_pythons_own_words():
    with pytest.raises(AttributeError) as plain:
        types.ModuleType("ttfs").quantil  # noqa: B018
    with pytest.raises(AttributeError) as found:
        ttfs.quantil  # noqa: B018
    assert str(found.value) == str(plain.value)
    assert (found.value.name, found.value.obj) == ("quantil", ttfs)  # "Did you mean ...?"
    with pytest.raises(ImportError, match="cannot import name 'quantil' from 'ttfs'"):
        exec("from ttfs import quantil")


def test_the_version_stands_in_the_package_and_the_citation_repeats_it():
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    assert re.fullmatch(r"\d+\.\d+\.\d+", ttfs.__version__)
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited[1] == ttfs.__version__


def imported(statements) -> set[str]:
    """Return the packages that import statements name, less Python's own."""
    names = set()
    for node in statements:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"ttfs"}


def test_the_package_declares_what_it_imports():
    """At once: its dependencies. When it is needed, in a function: those of the extra ``data``."""
    at_once, all_in_all = set(), set()
    for path in [*(ROOT / "ttfs").glob("*.py"), *(ROOT / "ttfs" / "formats").glob("*.py")]:
        tree = ast.parse(path.read_text())
        at_once |= imported(tree.body)
        all_in_all |= imported(ast.walk(tree))
    extra = {name.replace("sklearn", "scikit-learn") for name in all_in_all - at_once}
    assert at_once == {Requirement(text).name for text in PROJECT["dependencies"]}
    assert extra == {Requirement(text).name for text in PROJECT["optional-dependencies"]["data"]}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Return a copy of the checkout, less what is large, so that building leaves nothing here."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    for name in ("ttfs", "experiments", "tests"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory) -> Path:
    """Return the wheel that the copy makes."""
    for requirement in map(Requirement, ["pip", *SETTINGS["build-system"]["requires"]]):
        try:
            met = requirement.specifier.contains(importlib.metadata.version(requirement.name))
        except importlib.metadata.PackageNotFoundError:
            met = False
        if not met:
            pytest.skip(f"the package is built by {requirement}, which is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder]
    command = [sys.executable, "-m", "pip", "wheel", *options, tree]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.iterdir()
    assert path.name == f"ttfs-{ttfs.__version__}-py3-none-any.whl"
    return path


def test_the_wheel_holds_the_package_without_what_scripts_share(tree, wheel):
    sources = {path.relative_to(tree) for path in (tree / "ttfs").rglob("*.py")}
    expected = {path.as_posix() for path in sources if path.parts[1] != "stages"}
    about = f"ttfs-{ttfs.__version__}.dist-info/"
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if not name.startswith(about)} == expected
    assert f"{about}licenses/LICENSE" in names and "ttfs/formats/npz.py" in names


EVERY_MODULE_AND_A_CONVERSION = """
import importlib, importlib.metadata, pkgutil
import torch, ttfs

for module in pkgutil.walk_packages(ttfs.__path__, "ttfs."):
    importlib.import_module(module.name)
network = ttfs.ReluNetwork([[[0.5], [-2.0]], [[1.0, 3.0]]], [[0.25], [0.0, -1.0]])
pixels = ttfs.decode(ttfs.encode(torch.tensor([[0.5, 0.0], [1.0, 0.25]])))
snn = ttfs.convert(network, ttfs.calibrated(network, pixels))
print(ttfs.__file__, importlib.metadata.version("ttfs"))
print(ttfs.event_driven(snn, pixels).logits.tolist())
"""


def test_the_wheel_works_from_any_folder(wheel, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    zipfile.ZipFile(wheel).extractall(tmp_path / "unpacked")
    where, logits = run(
        EVERY_MODULE_AND_A_CONVERSION, tmp_path / "elsewhere", tmp_path / "unpacked"
    ).splitlines()
    file = tmp_path / "unpacked" / "ttfs" / "__init__.py"
    assert where == f"{file} {ttfs.__version__}"
    assert logits == "[[0.5, 0.5], [0.25, -0.25]]"
