"""That the committed pages say what is in the committed results: tables, and numbers in prose.

Not part of ``make test``: who regenerates the results on another machine gets other numbers. Run
with ``make check-pages``.
"""

import importlib
import itertools
import re

import numpy as np
import pytest
from committed import ALL, BOTH, DEPTHS, ROOT, TEXTS, lost, means, rows

import convert_all_models
import numerical_exactness_test
import spike_distribution_plot
import time_axis_schematic
import train_mnist_pytorch
from experiments import __main__ as experiments
from ttfs.certificate import verdict
from ttfs.stages.readme import BLOCK, PAGES, with_tables
from ttfs.stages.results import load_results

pytestmark = pytest.mark.pages

SCRIPTS = {
    "training": train_mnist_pytorch,
    "conversion": convert_all_models,
    "exactness": numerical_exactness_test,
    "spike_time_distributions": spike_distribution_plot,
    "time_axis_schematic": time_axis_schematic,
}


@pytest.mark.parametrize("page", PAGES)
def test_tables_of_the_page_are_the_committed_ones(page):
    assert BLOCK.search(TEXTS[page])
    assert with_tables(TEXTS[page], ROOT / "results") == TEXTS[page]
    assert "{{" not in TEXTS[page]


def modules() -> dict:
    found = {
        name: importlib.import_module(f"experiments.{name}") for name in experiments.questions()
    }
    return SCRIPTS | found


@pytest.mark.parametrize("name", [*SCRIPTS, *experiments.questions()])
def test_committed_table_is_made_of_the_committed_results(name):
    module, path = modules()[name], ROOT / "results" / f"{name}.json"
    record = load_results(path, "", getattr(module, "COLUMNS", {}))
    assert (ROOT / "results" / f"{name}.md").read_text() == module.table(record["rows"]).markdown()
    assert record["dataset"] == "mnist"
    assert not record["arguments"].get("quick") and record["arguments"].get("samples") is None


ELSEWHERE = ("lenet/training", "lenet/conversion", "lenet/exactness")  # other networks and data
ELSEWHERE += ("fashion/training", "fashion/conversion")
ELSEWHERE += ("fashion/lenet/training", "fashion/lenet/conversion", "fashion/records")


@pytest.mark.parametrize("name", ELSEWHERE)
def test_tables_of_other_networks_and_data_are_made_of_their_results(name):
    module, path = modules()[name.rpartition("/")[2]], ROOT / "results" / f"{name}.json"
    record = load_results(path, "", {})
    assert path.with_suffix(".md").read_text() == module.table(record["rows"]).markdown()
    assert record["dataset"] == ("fashion" if "fashion" in name else "mnist")
    assert "lenet/" not in name or record["arguments"]["depths"] == [4]


def test_nothing_else_lies_in_the_folders_of_results():
    found = (path.relative_to(ROOT / "results") for path in (ROOT / "results").glob("*/**/*.json"))
    committed = {
        str(path.with_suffix("")) for path in found if path.parts[0] in ("lenet", "fashion")
    }
    assert committed == set(ELSEWHERE)


def test_committed_results_were_made_with_the_exact_versions():
    exact, beside = (
        dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / file).read_text(), re.MULTILINE))
        for file in ("constraints.txt", "requirements-peers.txt")
    )
    for path in (ROOT / "results").glob("**/*.json"):
        found = load_results(path, "", {})["versions"]
        assert found.pop("python").startswith("3.11.")
        expected = beside if "brian2" in found else exact
        assert found == {name: expected[name] for name in found}, path


def test_lenet_and_fashion_are_as_good_as_the_page_says():
    (lenet,), (fashion,) = rows("lenet/training"), rows("fashion/lenet/training")
    assert fashion["test_correct"] >= 9200
    assert max(row["test_correct"] for row in rows("fashion/training")) >= 8950
    assert lenet["test_correct"] >= 9950


def test_the_claim_of_the_first_sentence_is_in_the_results():
    found = rows("conversion")
    ways = itertools.product((2, 4, 6, 8), ("event-driven", "closed-form"))
    assert [(row["depth"], row["engine"]) for row in found] == list(ways)
    assert all(row["agreements"] == row["n_test"] == 10_000 for row in found)


def test_the_exactness_certificate_covers_every_depth_precision_and_engine():
    found = rows("exactness")
    certified = {
        (row["depth"], row["dtype"], row["engine"])
        for row in found
        if row["output"] and row["n_test"] == 10_000
    }
    dtypes = ("float64", "float32", "float16", "bfloat16")
    engines = ("closed-form", "closed-form:absolute", "event-driven")
    trained = set(itertools.product((2, 4, 6, 8), dtypes, engines))
    assert certified == trained | {(64, dtype, "closed-form") for dtype in dtypes[:2]}
    assert not verdict(found)


def test_each_network_reaches_98_per_cent():
    assert all(row["test_correct"] >= 9800 for row in rows("training"))


def test_committed_networks_lie_within_the_spread_of_their_seeds():
    for row in rows("training"):
        seeds = [r["relu_correct"] for r in rows("training_seeds", depth=row["depth"])]
        assert len(seeds) == 5
        assert abs(row["test_correct"] - np.mean(seeds)) <= 4 * np.std(seeds, ddof=1)


def test_no_label_changes_where_the_page_says_so():
    for keys in (
        {"cause": "precision", "dtype": "float32"},
        {"cause": "preprocessing", "variant": "folded into the first layer, B1"},
        {"cause": "premature", "variant": "guard"},
        {"cause": "premature", "variant": "B1"},
    ):
        found = rows("degradation_causes", **keys)
        assert len(found) >= 12
        assert all(row["agreements"] == row["n_test"] == 10_000 for row in found), keys


def test_losses_that_the_page_calls_growing_grow():
    assert means(**BOTH) == sorted(means(**BOTH))
    shallow, *deep = means(cause="time resolution", variant="ticks", bits=3)
    assert shallow < 50 and 85 < min(deep) and max(deep) < 90  # of 98.5 %: to chance level


def test_automatic_windows_are_at_least_three_times_shorter_at_no_significant_loss():
    for depth in DEPTHS:
        (long,) = rows("adaptive_windows", depth=depth, policy="calibrated")
        (short,) = rows("adaptive_windows", depth=depth, policy="automatic")
        assert long["latency"] >= 3 * short["latency"]
        assert short["mcnemar_p"] >= 0.05


@pytest.mark.parametrize(
    ("depths", "limits"), [((2, 4, 6), {1: 1.5, 2: 0.4, 3: 0.15}), ((8,), {1: 3.0, 2: 0.9, 3: 0.2})]
)
def test_few_time_steps_cost_little(depths, limits):
    for depth in depths:
        for bits, limit in limits.items():
            keys = {"policy": "best quantile per layer", "bits": bits}
            (points,) = lost("time_resolution", depth=depth, **keys)
            assert points <= limit


def test_layer_normalisation_changes_no_label_down_to_depth_64():
    found = rows("layer_normalisation", kind="network")
    assert {row["depth"] for row in found} == {2, 4, 6, 8, 16, 32, 64}
    assert all(row["agreements"] == row["n_test"] == 10_000 for row in found)
    exact = [row for row in rows("adaptive_windows") if row["policy"] == "normalised:calibrated"]
    assert len(exact) == 4
    assert all(row["agreements"] == row["n_test"] == 10_000 for row in exact)


def test_first_page_is_short():
    assert 5_000 < len(TEXTS["README.md"]) < 13_400  # with the pasted tables


def test_every_figure_is_on_a_page_and_every_result_has_its_table():
    figures = {path.stem for path in (ROOT / "figures").glob("*.png")}
    assert figures == set(re.findall(r"\(\S*figures/(\w+)\.png\)", ALL))
    results = {path.stem for path in (ROOT / "results").glob("*.json")}
    assert results == {path.stem for path in (ROOT / "results").glob("*.md")}
    assert results == {*SCRIPTS, *experiments.questions()}
