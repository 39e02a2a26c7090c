"""That what the pages name exists: commands, options, files, targets, links, sections."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from oracles import random_network, random_pixels
from torch import nn

import convert_all_models
import create_plot
import numerical_exactness_test
import spike_distribution_plot
import time_axis_schematic
import train_mnist_pytorch
from experiments import __main__ as experiments
from ttfs.simulation import simulator
from ttfs.stages import readme
from ttfs.storage import load_network, save_network
from ttfs.tuning import window_policy

ROOT = Path(__file__).resolve().parent.parent
TEXTS = {page: (ROOT / page).read_text() for page in readme.PAGES}
ALL = "\n".join(TEXTS.values())
SCRIPTS = {
    "train_mnist_pytorch.py": train_mnist_pytorch,
    "convert_all_models.py": convert_all_models,
    "create_plot.py": create_plot,
    "spike_distribution_plot.py": spike_distribution_plot,
    "time_axis_schematic.py": time_axis_schematic,
    "numerical_exactness_test.py": numerical_exactness_test,
}
DOCSTRINGS = {name: script.__doc__ for name, script in SCRIPTS.items()}
for name in experiments.questions():
    DOCSTRINGS[name] = importlib.import_module(f"experiments.{name}").__doc__


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_is_in_the_readme_with_its_command(script):
    assert f"| `python {script}` |" in TEXTS["README.md"]


def commands(text: str) -> list[list[str]]:
    """Return every command that a text shows, from its script's name on."""
    found = re.findall(r"python ((?:\w+\.py|experiments\b)[^`\n|#)]*)", text.replace("\\\n", ""))
    return [command.split() for command in found]


@pytest.mark.parametrize("source", [*readme.PAGES, *DOCSTRINGS])
def test_every_command_and_option_exists(source):
    shown = commands(TEXTS.get(source) or DOCSTRINGS.get(source))
    assert shown or source == "ttfs/README.md" or source in experiments.questions()
    for script, *words in shown:
        options = [word for word in words if word != "--help"]
        if script == "experiments" and options:
            experiments.parse(options[0], options[1:])
        elif script != "experiments":
            args = SCRIPTS[script].parse(options)
            if script == "convert_all_models.py":
                policy, engines = args.windows or "calibrated", args.engine or ["closed-form"]
                assert window_policy(policy) and [simulator(name) for name in engines]


@pytest.mark.parametrize("page", readme.PAGES)
def test_every_file_and_link_exists(page):
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)]+)\)", TEXTS[page]):
        path, _, anchor = target.partition("#")
        file = folder / path if path else ROOT / page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings
            }
    names = re.findall(
        r"`((?:models|results|figures|ttfs|experiments|tests)/[\w./{},]+)`", TEXTS[page]
    )
    for name in names:
        options = re.search(r"\{(.*?)\}", name)
        for choice in options[1].split(",") if options else [""]:
            assert (ROOT / re.sub(r"\{.*?\}", choice, name)).exists() or "look" in name, name


def test_every_make_target_in_the_pages_exists():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    used = re.findall(r"(?:`|^)make ([a-z-]+)", ALL, re.MULTILINE)
    assert {"reproduce", "test", "figures", "experiments", "readme"} <= set(used) <= set(targets)


def test_the_python_that_the_readme_names_is_the_one_that_is_tested():
    assert "Python 3.10 or newer" in TEXTS["README.md"]
    assert "Python 3.10 or newer" in (ROOT / "requirements.txt").read_text()
    for setting in ('requires-python = ">=3.10"', 'target-version = "py310"'):
        assert setting in (ROOT / "pyproject.toml").read_text()
    assert "\nnew_python = python3.10\n" in (ROOT / "Makefile").read_text()


def test_each_experiment_has_a_section_with_its_command_figure_and_table():
    sections = TEXTS["experiments/README.md"].split("\n## ")[1:]
    for name in experiments.questions():
        (section,) = (text for text in sections if f"`python experiments {name}`" in text)
        assert section.splitlines()[0].endswith("?")
        assert f"../figures/{name}.png" in section and f"<!-- {name} -->" in section
        took = re.search(r"\(\d+ (second|minute)s?\)", experiments.questions()[name])[0]
        assert f"`python experiments {name}` {took}" in section


def test_each_file_of_the_package_is_in_its_page():
    named = set(re.findall(r"`(\w+\.py)`", TEXTS["ttfs/README.md"]))
    assert {path.name for path in (ROOT / "ttfs").glob("*.py")} <= named


def test_tables_are_pasted_between_their_markers_and_nowhere_else(tmp_path):
    (tmp_path / "a.md").write_text("| new |\n")
    text = "before\n<!-- a -->\n| old |\n<!-- end -->\nafter\n"
    assert readme.with_tables(text, tmp_path) == (
        "before\n<!-- a -->\n| new |\n<!-- end -->\nafter\n"
    )


def test_a_place_for_a_table_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a place for the table nonsense"):
        readme.with_tables("<!-- nonsense -->\n<!-- end -->\n", tmp_path)


def test_pages_are_rewritten_where_they_are(tmp_path, monkeypatch, capsys):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.md").write_text("| new |\n")
    for page in readme.PAGES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_text(f"{page}\n<!-- a -->\n<!-- end -->\n")
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    readme.main([])
    for page in readme.PAGES:
        assert (tmp_path / page).read_text() == f"{page}\n<!-- a -->\n| new |\n<!-- end -->\n"
    assert str(tmp_path / "README.md") in capsys.readouterr().out


def test_the_code_on_the_page_runs(tmp_path, monkeypatch):
    network, pixels = random_network([12, 8, 4]), random_pixels(9, 12)
    of_files, code = re.findall(r"```python\n(.*?)```", TEXTS["ttfs/README.md"], re.DOTALL)
    monkeypatch.chdir(tmp_path)
    save_network(tmp_path / "models" / "mnist_2_layer.pkl", network)
    (w0, w1), (b0, b1) = ([part.numpy() for part in p] for p in (network.weights, network.biases))
    exec(of_files, {"w0": w0, "w1": w1, "b0": b0, "b1": b1})
    for path in ("mnist_2_layer.npz", "other.npz"):
        found = load_network(path).logits(pixels)  # its weights were kept in float32
        torch.testing.assert_close(found, network.logits(pixels), rtol=1e-5, atol=1e-5)
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)).double()
    names = {"model": model, "input_shape": 12, "training_pixels": pixels, "test_pixels": pixels}
    exec(code, names)
    torch.testing.assert_close(names["simulation"].logits, model(pixels).detach())


def test_the_six_lines_of_the_first_page_work_in_a_fresh_prompt():
    """Line by line, as if they were pasted: a prompt runs each as soon as it is complete."""
    (lines,) = re.findall(r"```python\n(.*?)```", TEXTS["README.md"], re.DOTALL)
    assert len(list(filter(None, lines.splitlines()))) == 6
    code = "import code; prompt = code.InteractiveConsole()\n"
    code += f"assert not any(prompt.push(line) for line in {lines.splitlines()!r})\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    *table, error = done.stdout.split()
    assert "read-out" in table and float(error) < 1e-5


NEEDED_BY_SCRIPTS_ALONE = {"matplotlib", "argparse", "tqdm", "torchvision", "sklearn", "joblib"}


def test_the_package_names_nothing_that_only_scripts_need_in_its_imports():
    for path in [*(ROOT / "ttfs").glob("*.py"), *(ROOT / "ttfs" / "formats").glob("*.py")]:
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not NEEDED_BY_SCRIPTS_ALONE & {name.split(".")[0] for name in names}, path
            assert not any(name.startswith("ttfs.stages") for name in names), path


def test_the_package_imports_nothing_that_only_scripts_need_by_way_of_others():
    """In a new process: the tests have imported everything already, and torch some of it."""
    modules = [path.stem for path in (ROOT / "ttfs").glob("*.py") if path.stem != "__init__"]
    code = f"import sys, {', '.join(f'ttfs.{name}' for name in modules)}\n"
    code += f"heavy = {NEEDED_BY_SCRIPTS_ALONE}\n"
    code += "print(*sorted(heavy & {m.split('.')[0] for m in sys.modules} - before))"
    before = (
        "import sys, torch, numpy, scipy.stats\nbefore = {m.split('.')[0] for m in sys.modules}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", before + code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
