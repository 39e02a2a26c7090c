import itertools
import re
from pathlib import Path

import pytest

import convert_all_models
import create_plot
import numerical_exactness_test
import spike_distribution_plot
import time_axis_schematic
import train_mnist_pytorch
from experiments import (
    adaptive_windows,
    degradation_causes,
    early_decision,
    layer_normalisation,
    membrane_traces,
    robustness,
    time_resolution,
    write_readme_tables,
)
from ttfs.certificate import verdict
from ttfs.stages.results import load_results

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
SCRIPTS = {
    "train_mnist_pytorch.py": train_mnist_pytorch,
    "convert_all_models.py": convert_all_models,
    "create_plot.py": create_plot,
    "spike_distribution_plot.py": spike_distribution_plot,
    "time_axis_schematic.py": time_axis_schematic,
    "numerical_exactness_test.py": numerical_exactness_test,
    "experiments/adaptive_windows.py": adaptive_windows,
    "experiments/degradation_causes.py": degradation_causes,
    "experiments/early_decision.py": early_decision,
    "experiments/layer_normalisation.py": layer_normalisation,
    "experiments/membrane_traces.py": membrane_traces,
    "experiments/robustness.py": robustness,
    "experiments/time_resolution.py": time_resolution,
}


def test_tables_are_those_of_the_committed_results():
    assert write_readme_tables.with_tables(README, ROOT / "results") == README


def results(name: str) -> list[dict]:
    return load_results(ROOT / "results" / f"{name}.json", "")["rows"]


def test_the_claim_of_the_first_sentence_is_in_the_results():
    rows = results("conversion")
    assert [row["depth"] for row in rows] == [2, 4, 6, 8]
    assert all(row["agreements"] == row["n_test"] == 10_000 for row in rows)


def test_the_exactness_certificate_covers_every_depth_precision_and_engine():
    rows = results("exactness")
    certified = {
        (row["depth"], row["dtype"], row["engine"])
        for row in rows if row["output"] and row["n_test"] == 10_000
    }  # fmt: skip
    dtypes, engines = (
        ("float64", "float32", "float16", "bfloat16"),
        ("window", "absolute", "events"),
    )
    trained = set(itertools.product((2, 4, 6, 8), dtypes, engines))
    assert certified == trained | {(64, "float64", "window"), (64, "float32", "window")}
    assert not verdict(rows)


def test_each_network_reaches_98_per_cent():
    assert all(row["test_correct"] >= 9800 for row in results("training"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_is_in_the_readme_with_its_command(script):
    assert f"| `python {script}` |" in README


def test_every_script_and_option_in_the_readme_exists():
    for command in re.findall(r"`?python ([\w/]+\.py[^`\n|]*)", README):
        script, *options = command.split()
        assert (ROOT / script).exists()
        parse = SCRIPTS[script].parse if script in SCRIPTS else None
        assert parse is None or parse(options)


def test_every_file_in_the_readme_exists():
    names = re.findall(
        r"(?:\]\(|`)((?:models|results|figures|ttfs|experiments)/[\w./{},]+)", README
    )
    assert len(names) > 10
    for name in names:
        options = re.search(r"\{(.*?)\}", name)
        for choice in options[1].split(",") if options else [""]:
            path = ROOT / re.sub(r"\{.*?\}", choice, name)
            assert path.exists(), path


def test_every_make_target_in_the_readme_exists():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    used = re.findall(r"(?:`|^)make (\w+)", README, re.MULTILINE)
    assert {"reproduce", "test", "figures", "experiments"} <= set(used) <= set(targets)


def test_every_test_that_the_readme_promises_runs_on_the_python_it_names():
    assert "Python 3.11 or newer" in README
    assert "Python 3.11 or newer" in (ROOT / "requirements.txt").read_text()
    assert 'target-version = "py311"' in (ROOT / "pyproject.toml").read_text()


def test_make_experiments_runs_every_experiment_and_no_other():
    makefile = (ROOT / "Makefile").read_text()
    listed = re.search(r"EXPERIMENTS = (.*?)\n\n", makefile, re.DOTALL)[1].replace("\\", "").split()
    assert sorted(listed) == sorted(
        script.split("/")[1].removesuffix(".py") for script in SCRIPTS if "/" in script
    )


def test_every_figure_is_in_the_readme_and_every_result_is_drawn():
    figures = {path.stem for path in (ROOT / "figures").glob("*.png")}
    assert figures == {name for name in re.findall(r"\(figures/(\w+)\.png\)", README)}
    results = {path.stem for path in (ROOT / "results").glob("*.json")}
    assert results == figures - {"depth_comparison"} | {"conversion", "training", "exactness"}
