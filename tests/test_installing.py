"""Which versions are asked for, and what `make` lets pip install into which environment."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).resolve().parent.parent
ASKED = ("Makefile", "requirements.txt", "requirements-test.txt", "constraints.txt")
PIP = """#!/bin/sh
# A Python that installs nothing: it knows two packages, and notes what it is asked.
echo "$*" >>asked
case "$*" in *list*) echo numpy==1.25.0; echo torch==2.3.1+cpu;; esac
"""


def requirements(*files: str) -> dict[str, Requirement]:
    """Return what files ask for, by package."""
    lines = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in files).splitlines()
    texts = (line.split("#")[0].strip() for line in lines if not line.startswith("-r"))
    return {Requirement(text).name: Requirement(text) for text in texts if text}


FLOORS = requirements("requirements.txt")
ALL_FLOORS = requirements("requirements.txt", "requirements-test.txt")
EXACT = requirements("constraints.txt")


def test_every_requirement_is_a_floor_and_has_one_exact_version_above_it():
    assert all(re.fullmatch(r">=[\d.]+", str(floor.specifier)) for floor in ALL_FLOORS.values())
    assert EXACT.keys() == ALL_FLOORS.keys()
    for name, exact in EXACT.items():
        version = re.fullmatch(r"==([\d.]+)", str(exact.specifier))[1]
        assert ALL_FLOORS[name].specifier.contains(version), name


def test_the_package_asks_for_what_the_scripts_do():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["data"]]:
        assert Requirement(text) == FLOORS[Requirement(text).name]


def test_other_peoples_tools_stand_on_versions_that_are_supported():
    for name, pinned in requirements("requirements-peers.txt").items():
        if name in ALL_FLOORS:
            version = str(pinned.specifier).removeprefix("==")
            assert ALL_FLOORS[name].specifier.contains(version), name


def allowed(folder: Path, *options: str) -> tuple[str, str]:
    """Return what pip is asked last by ``make readme``, and the versions that it may install."""
    environment = options[0].partition("=")[2] if options else ".venv"
    (folder / environment / "bin").mkdir(parents=True)
    python = folder / environment / "bin" / "python"
    python.write_text(PIP)
    python.chmod(0o755)
    for file in ASKED:
        shutil.copy(ROOT / file, folder)
    command = ["make", "--always-make", "--old-file", python.relative_to(folder), "readme"]
    # Whoever runs the tests by make has told it something else.
    env = {k: v for k, v in os.environ.items() if k not in ("VENV", "OLDEST", "MAKEFLAGS")}
    done = subprocess.run([*command, *options], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *_, asked, wrote = (folder / "asked").read_text().splitlines()
    assert wrote == "-m ttfs.stages.readme"
    assert f"--constraint {environment}/versions.txt -r requirements.txt" in asked
    return asked, (folder / environment / "versions.txt").read_text()


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


@needs_make
def test_our_own_environment_gets_the_exact_versions(tmp_path):
    assert allowed(tmp_path)[1] == (ROOT / "constraints.txt").read_text()


@needs_make
def test_an_environment_that_is_named_keeps_every_package_that_it_has(tmp_path):
    asked, found = allowed(tmp_path, "VENV=mine")
    assert found == "numpy==1.25.0\ntorch==2.3.1+cpu\n"
    assert "--upgrade" not in asked


@needs_make
def test_the_oldest_environment_gets_the_floors(tmp_path):
    found = allowed(tmp_path, "VENV=.venv-oldest")[1]
    lines = (line.split("#")[0].strip() for line in found.splitlines())
    expected = [f"{name}{f.specifier}".replace(">=", "==") for name, f in ALL_FLOORS.items()]
    assert sorted(lines) == sorted(expected)
