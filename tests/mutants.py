"""Change a module, a token at a time, and list the changes that no test notices.

    python tests/mutants.py ttfs/coding.py
    python tests/mutants.py ttfs/coding.py tests/test_coding.py tests/test_events.py

``make mutants`` installs what it needs. SAMPLE=5 in the environment tries one change in five,
the first of each function among them.

Every change is tried with the tests that are named, or else with all that import the module or
bear its name, less the slow ones. mutmut makes the changes, below mutants/; it leaves decorated
functions and properties as they are. README.md tells which changes may go unnoticed.
"""

import os
import shutil
import sys
from pathlib import Path

from mutmut.__main__ import _run
from mutmut.configuration import config

# These train, or start other programs.
SLOW = ("claims", "codes", "experiments", "learning", "notebook", "package", "pages", "peers")
SLOW += ("published_loss", "readme", "recipe", "running", "scripts", "storage_hostile")

# Patterns of the changes' names, which end in a number that starts at 1 in every function
SAMPLES = {"1": ["*"], "5": ["*[16]"], "10": ["*1"]}


def tests_of(module: Path) -> list[str]:
    """Return the files of tests that are a module's."""
    package, name = module.parent.as_posix().replace("/", "."), module.stem
    words = (f"from {package}.{name} import", f"from {package} import {name}")
    found = []
    for path in sorted(Path("tests").glob("test_*.py")):
        subject = path.stem.removeprefix("test_")
        text = path.read_text(encoding="utf-8")
        its_own = subject.startswith(name) or any(word in text for word in words)
        if its_own and not subject.startswith(SLOW):
            found.append(str(path))
    return found


def main(module: str, *tests: str) -> None:
    """Try every change of a module."""
    shutil.rmtree("mutants", ignore_errors=True)
    config().only_mutate = [module]
    config().also_copy += Path().glob("*.py")
    config().pytest_add_cli_args_test_selection = list(tests) or tests_of(Path(module))
    if not config().pytest_add_cli_args_test_selection:
        sys.exit(f"mutants.py: no tests are {module}'s alone; name some")
    _run(SAMPLES[os.environ.get("SAMPLE", "1")], max_children=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
