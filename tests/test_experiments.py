"""Every experiment, run quickly on the digits, against an independent calculation."""

import itertools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from pipeline import folders, labels, layers, results, run, train

from experiments import (
    adaptive_windows,
    degradation_causes,
    early_decision,
    layer_normalisation,
    membrane_traces,
    robustness,
    time_resolution,
)
from ttfs.stages.results import chosen, load_results

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENTS = {
    "membrane_traces": (membrane_traces, ["--depth", 3]),
    "degradation_causes": (degradation_causes, ["--depths", 2, 3, "--quick"]),
    "adaptive_windows": (adaptive_windows, ["--depths", 2, 3, "--quick"]),
    "layer_normalisation": (layer_normalisation, ["--depths", 2, 3, "--quick"]),
    "time_resolution": (time_resolution, ["--depths", 2, 3, "--quick"]),
    "robustness": (robustness, ["--depths", 2, 3, "--quick"]),
    "early_decision": (early_decision, ["--depths", 2, 3, "--quick"]),
}
PAIRED = ("n_test", "relu_correct", "snn_correct", "agreements", "relu_alone_correct")


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """Train two networks and run every experiment, once."""
    root = train(tmp_path_factory.mktemp("experiments"))
    places = folders(root, "models", "results", "figures")
    for script, options in EXPERIMENTS.values():
        run(script, "--dataset", "digits", *options, *places)
    return root


def rows(root: Path, name: str, **keys) -> list[dict]:
    """Return the rows of a results file that have these values."""
    return chosen(results(root, name)["rows"], **keys)


def relu_labels(root: Path, depth: int) -> np.ndarray:
    return layers(root, depth, "test")[-1].argmax(1)


def clipped(root: Path, depth: int, windows: list[float]) -> np.ndarray:
    """Return the logits of a network whose activations are clipped at the windows, in NumPy."""
    file = pickle.loads((root / "models" / f"digits_{depth}_layer.pkl").read_bytes())
    x = layers(root, depth, "test")[0]
    for n, (weight, bias) in enumerate(zip(file["weights"], file["biases"], strict=True)):
        x = x @ weight.astype(float) + bias
        if n < depth - 1:
            x = np.clip(x, 0, windows[n])
    return x


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_writes_its_results_and_its_figure(out, name):
    record = results(out, name)
    assert record["made_by"] == f"experiments/{name}.py"
    assert record["dataset"] == "digits"
    figure = (out / "figures" / "digits" / f"{name}.png").read_bytes()
    assert figure.startswith(b"\x89PNG") and len(figure) > 20_000


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_figure_redrawn_from_the_results_alone_has_the_same_bytes(out, tmp_path, name):
    script, options = EXPERIMENTS[name]
    places = [*folders(out, "results"), *folders(tmp_path, "models", "figures")]
    run(script, "--dataset", "digits", "--redraw", *options, *places)
    path = Path("figures") / "digits" / f"{name}.png"
    assert (tmp_path / path).read_bytes() == (out / path).read_bytes()


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name != "membrane_traces"])
def test_paired_counts_are_integers_that_add_up(out, name):
    counted = [row for row in rows(out, name) if "relu_alone_correct" in row]
    assert len(counted) > 1 or name == "early_decision"
    for row in counted:
        assert all(isinstance(row[key], int) for key in PAIRED)
        difference = row["relu_alone_correct"] - row["snn_alone_correct"]
        assert row["relu_correct"] - row["snn_correct"] == difference
        assert row["n_test"] in (300, 100)
        assert 0 <= row["mcnemar_p"] <= 1


@pytest.mark.parametrize("depth", [2, 3])
def test_windows_lose_what_clipping_at_their_length_loses(out, depth):
    relu = relu_labels(out, depth)
    for row in rows(out, "adaptive_windows", depth=depth):
        if row["policy"] == "normalised":
            assert row["windows"] == [1.0] * (depth - 1) and row["latency"] == depth
            continue
        found = clipped(out, depth, row["windows"]).argmax(1)
        # float32 in the script, float64 here: a tie may fall either way
        assert abs(int((found == relu).sum()) - row["agreements"]) <= 1
        assert abs(int((found == labels()).sum()) - row["snn_correct"]) <= 1
        assert row["latency"] == pytest.approx(1 + sum(row["windows"]))


def test_longer_quantiles_take_longer_and_saturate_less(out):
    for depth in (2, 3):
        found = rows(out, "adaptive_windows", depth=depth, policy="quantile")
        latency = [row["latency"] for row in found]
        saturations = [sum(row["saturations"]) for row in found]
        assert latency == sorted(latency) and saturations == sorted(saturations, reverse=True)
        assert saturations[0] > 0


def test_normalised_windows_classify_like_the_automatic_ones(out):
    for depth in (2, 3):
        automatic, normalised = (
            rows(out, "adaptive_windows", depth=depth, policy=policy)[0]
            for policy in ("automatic", "normalised")
        )
        assert automatic["parameter"] == normalised["parameter"]
        for key in ("snn_correct", "agreements", "saturations"):
            assert automatic[key] == normalised[key]


def test_layer_normalisation_is_exact_and_every_window_is_one(out):
    for row in rows(out, "layer_normalisation", kind="network"):
        assert row["agreements"] == row["n_test"] and row["saturations"] == 0
        assert row["relative_error"] < (1e-13 if row["dtype"] == "float64" else 1e-4)
        assert row["latency_after"] == row["depth"]
    for row in rows(out, "layer_normalisation", kind="layer"):
        assert row["window_after"] == pytest.approx(1.0, rel=1e-6)


def test_factor_of_each_sample_is_its_largest_activation(out):
    for depth in (2, 3):
        values = layers(out, depth, "test")[:-1]
        for row, x in zip(
            rows(out, "layer_normalisation", kind="sample", depth=depth), values, strict=True
        ):
            expected = np.quantile(x.max(1) - x.min(1), (0.05, 0.5, 0.95))
            assert row["factor"] == pytest.approx(expected, rel=1e-9)


def test_clock_is_the_network_rounded_to_ticks(out):
    for row in rows(out, "time_resolution", depth=2):
        ticks, shift = 2 ** row["bits"], 0.5 * row["half_tick"]
        pixels, *_ = layers(out, 2, "test")
        rounded = np.clip(np.floor(pixels * ticks + shift), 0, ticks) / ticks
        hidden = logits_after(out, rounded, 0)
        tick = row["windows"][0] / ticks
        hidden = np.clip(np.floor(hidden / tick + shift), 0, ticks) * tick
        found = logits_after(out, hidden, 1).argmax(1)
        # A crossing that lies on a tick up to float32's rounding may fall on either side.
        assert abs(int((found == labels()).sum()) - row["snn_correct"]) <= 3
        assert row["ticks"] == 2 * ticks


def logits_after(root: Path, x: np.ndarray, n: int) -> np.ndarray:
    """Return layer n's preactivations of the 2-layer network, in NumPy."""
    file = pickle.loads((root / "models" / "digits_2_layer.pkl").read_bytes())
    return x @ file["weights"][n].astype(float) + file["biases"][n]


def test_finer_clocks_lose_less(out):
    for depth, policy in itertools.product((2, 3), ("calibrated", "0.99")):
        found = {row["bits"]: row for row in rows(
            out, "time_resolution", depth=depth, policy=policy, half_tick=True)}  # fmt: skip
        assert found[10]["agreements"] >= 297 > found[1]["agreements"]


def test_each_noise_seed_has_its_row_and_a_little_noise_costs_little(out):
    for depth, windows in itertools.product((2, 3), ("calibrated", "automatic")):
        for fault, low, high in (("jitter", 0.001, 0.1), ("loss", 0.01, 0.3)):
            keys = {"depth": depth, "windows": windows, "fault": fault}
            little, much = (rows(out, "robustness", **keys, level=v) for v in (low, high))
            assert [row["noise_seed"] for row in little] == [0, 1]
            assert sum(row["agreements"] for row in little) > sum(r["agreements"] for r in much)


def test_weights_of_8_bits_change_few_labels_and_those_of_2_bits_many(out):
    for depth, scale in itertools.product((2, 3), ("layer", "neuron")):
        keys = {"depth": depth, "fault": f"weights of a {scale}"}
        fine, coarse = (rows(out, "robustness", **keys, level=bits)[0] for bits in (8, 2))
        assert fine["agreements"] > 290 and fine["agreements"] > coarse["agreements"]


def test_last_moment_of_an_early_decision_is_the_final_one(out):
    for depth, windows in itertools.product((2, 3), ("calibrated", "automatic")):
        found = rows(out, "early_decision", depth=depth, windows=windows)
        assert [row["fraction"] for row in found] == pytest.approx(np.linspace(0, 1, 51))
        last = found[-1]
        assert last["potential_correct"] == last["promised_correct"]
        assert last["certain"] == last["promised_final"] == last["n_test"] == 300
        assert all(row["certain_final"] == row["certain"] for row in found)
        certain = [row["certain"] for row in found]
        assert certain == sorted(certain)
    relu = int((relu_labels(out, 3) == labels()).sum())
    assert (
        rows(out, "early_decision", depth=3, windows="calibrated")[-1]["promised_correct"] == relu
    )


def test_every_cause_comes_with_a_remedy_that_loses_nothing(out):
    exact = [
        {"cause": "recipe", "variant": "bias rescaled"}, {"cause": "formula", "variant": "B1"},
        {"cause": "preprocessing", "variant": "folded into the first layer, B1"},
        {"cause": "short windows", "variant": "calibrated"},
        {"cause": "premature", "variant": "guard"}, {"cause": "premature", "variant": "B1"},
        {"cause": "premature", "variant": "safe windows"},
        {"cause": "precision", "variant": "window", "dtype": "float32"},
    ]  # fmt: skip
    for keys, depth in itertools.product(exact, (2, 3)):
        (row,) = rows(out, "degradation_causes", depth=depth, **keys)
        assert row["agreements"] == row["n_test"], keys


def test_causes_are_measured_on_the_committed_network_of_seed_0(out):
    for depth in (2, 3):
        relu = int((relu_labels(out, depth) == labels()).sum())
        for row in rows(out, "degradation_causes", depth=depth, training_seed=0):
            if row["cause"] != "preprocessing":
                assert row["relu_correct"] == relu


def test_published_loss_stands_beside_mnist_alone(out):
    assert rows(out, "degradation_causes", cause="published") == []
    committed = load_results(ROOT / "results" / "degradation_causes.json", "")["rows"]
    found = {r["depth"]: r["points_lost"] for r in committed if r["cause"] == "published"}
    assert found == {2: 0.3, 4: 0.5, 6: 2.8, 8: 4.8}


def test_traces_start_at_rest_and_meet_their_threshold_at_the_spike(out):
    for row in rows(out, "membrane_traces"):
        times, potential = np.array(row["corners"]).T
        assert (np.diff(times) >= 0).all() and times[-1] == pytest.approx(row["t_max"])
        if row["spike"] is not None and row["guard"]:
            met = np.interp(row["spike"], times, potential)
            assert met == pytest.approx(row["threshold"], rel=1e-9)
            assert row["t_min"] <= row["spike"] < row["t_max"]


def test_results_name_the_command_that_makes_them_when_they_are_missing(tmp_path, capsys):
    for script, _ in EXPERIMENTS.values():
        with pytest.raises(SystemExit) as stop:
            script.main(["--dataset", "digits", "--redraw",
                         *folders(tmp_path, "models", "results", "figures")])  # fmt: skip
        assert stop.value.code == 2
        name = script.__name__.split(".")[-1]
        command = f"python experiments/{name}.py --dataset digits"
        assert f"run `{command}` first" in capsys.readouterr().err


def test_committed_results_are_those_of_the_whole_test_set():
    for name in EXPERIMENTS:
        record = load_results(ROOT / "results" / f"{name}.json", "")
        assert record["dataset"] == "mnist" and not record["arguments"].get("quick")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_results_with_a_key_missing_take_one_line_that_names_the_file(out, tmp_path, capsys, name):
    record = results(out, name)
    for row in record["rows"]:
        row.pop("depth", row.pop("t_min", None))
    path = tmp_path / "results" / "digits" / f"{name}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    with pytest.raises(SystemExit) as stop:
        EXPERIMENTS[name][0].main(["--dataset", "digits", "--redraw",
                                   *folders(tmp_path, "models", "results", "figures")])  # fmt: skip
    complaint = capsys.readouterr().err
    assert stop.value.code == 2 and complaint.count("\n") == 1
    assert f"{name}.json lacks results" in complaint
    assert f"run `python experiments/{name}.py --dataset digits` again" in complaint
    assert not list((tmp_path / "figures").rglob("*.png"))


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name != "membrane_traces"])
def test_a_short_look_is_kept_apart_unless_told_otherwise(name):
    parse = EXPERIMENTS[name][0].parse
    look, whole = parse(["--quick"]), parse([])
    assert (look.depths, whole.depths) == ([2, 4], [2, 4, 6, 8])
    for folder in ("results", "figures"):
        assert getattr(look, folder) == getattr(whole, folder) / "quick"
    told = parse(["--quick", "--depths", "8", "8", "--results", str(whole.results)])
    assert (told.depths, told.results) == ([8], whole.results)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_network_without_hidden_layers_is_no_subject(capsys, name):
    option = "--depth" if name == "membrane_traces" else "--depths"
    with pytest.raises(SystemExit) as stop:
        EXPERIMENTS[name][0].parse([option, "1"])
    assert stop.value.code == 2
    assert "'1' is not a whole number, 2 or more" in capsys.readouterr().err
