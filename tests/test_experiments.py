"""Every experiment, run quickly on the digits, against an independent calculation."""

import itertools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from pipeline import folders, labels, layers, results, run, train

from experiments import __main__ as experiments
from experiments import degradation_causes, lab, running, training_seeds
from experiments.lab import Lab, Setting
from ttfs import windows
from ttfs.conversion import convert
from ttfs.datasets import Split, load_dataset
from ttfs.network import ReluNetwork
from ttfs.simulation import clock_driven, closed_form, event_driven
from ttfs.stages.options import DTYPES
from ttfs.stages.results import rows_with
from ttfs.training import SETTINGS, TARGETS, architecture
from ttfs.training import train as train_network
from ttfs.tuning import QUANTILES

OPTIONS = {name: ["--depths", 2, 3, "--quick"] for name in experiments.questions()}
OPTIONS["membrane_traces"] = ["--depth", 3]
PAIRED = ("n_test", "relu_correct", "snn_correct", "agreements", "relu_alone_correct")


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """Train two networks and run every experiment, once."""
    root = train(tmp_path_factory.mktemp("experiments"))
    places = folders(root, "models", "results", "figures")
    for name, options in OPTIONS.items():
        run(experiments, name, "--dataset", "digits", "--jobs", 1, *options, *places)
    return root


def lab_of(root: Path, quick: bool = True) -> Lab:
    """Return the lab that the experiments work in."""
    return Lab(Setting("digits", str(root), str(root / "models"), (2, 3), quick))


def rows(root: Path, name: str, **keys) -> list[dict]:
    """Return the rows of a results file that have these values."""
    return rows_with(results(root, name)["rows"], **keys)


def parameters(root: Path, depth: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the weights and biases of a network, float64, layer by layer."""
    file = pickle.loads((root / "models" / f"digits_{depth}_layer.pkl").read_bytes())
    pairs = zip(file["weights"], file["biases"], strict=True)
    return [(weight.astype(float), bias.astype(float)) for weight, bias in pairs]


def relu_labels(root: Path, depth: int) -> np.ndarray:
    return layers(root, depth, "test")[-1].argmax(1)


def clipped(root: Path, depth: int, windows: list[float], split: str = "test") -> np.ndarray:
    """Return the logits of a network whose activations are clipped at the windows, in NumPy."""
    images = load_dataset("digits")[1 if split == "validation" else 2].images
    x = images.numpy().astype(float)
    for n, (weight, bias) in enumerate(parameters(root, depth)):
        x = x @ weight + bias
        if n < depth - 1:
            x = np.clip(x, 0, windows[n])
    return x


@pytest.mark.parametrize("name", OPTIONS)
def test_experiment_writes_its_results_its_table_and_its_figure(out, name):
    record = results(out, name)
    assert record["made_by"] == f"experiments {name}"
    assert record["dataset"] == "digits"
    assert (out / "results" / "digits" / f"{name}.md").read_text().startswith("| ")
    figure = (out / "figures" / "digits" / f"{name}.png").read_bytes()
    assert figure.startswith(b"\x89PNG") and len(figure) > 10_000
    assert not list((out / "results" / "digits").glob(".*"))


@pytest.mark.parametrize("name", OPTIONS)
def test_figure_redrawn_from_the_results_alone_has_the_same_bytes(out, tmp_path, name):
    places = [*folders(out, "results"), *folders(tmp_path, "figures")]
    run(experiments, name, "--dataset", "digits", "--redraw", *places)
    path = Path("figures") / "digits" / f"{name}.png"
    assert (tmp_path / path).read_bytes() == (out / path).read_bytes()


CHOICES = ("windows", "windows_after", "window", "window_after", "quantile", "quantiles", "latency")
CHOICES += (
    "validation_agreements",
    "validation_correct",
    "epochs",
    "t_max",
    "thresholds_below_rest",
)


@pytest.mark.parametrize("name", OPTIONS)
def test_nothing_is_chosen_on_test_images(out, tmp_path, monkeypatch, name):
    """Other test images change what is counted on them, and nothing that was chosen."""

    def other(dataset, data_dir):
        training, validation, test = load_dataset(dataset, data_dir)
        generator = torch.Generator().manual_seed(1)
        images = torch.rand(test.images.shape, generator=generator)
        return training, validation, Split(images, test.labels.flip(0))

    monkeypatch.setattr(lab, "load_dataset", other)
    running.lab_of.cache_clear()
    places = [*folders(out, "models"), *folders(tmp_path, "results", "figures")]
    run(experiments, name, "--dataset", "digits", "--jobs", 1, *OPTIONS[name], *places)
    running.lab_of.cache_clear()
    before, after = rows(out, name), rows(tmp_path, name)
    assert before != after
    seen = 0
    for one, two in zip(before, after, strict=True):
        kept = [key for key in CHOICES if key in one]
        assert {key: one[key] for key in kept} == {key: two[key] for key in kept}
        seen += len(kept)
    assert seen or name == "robustness"


def test_lab_hands_out_no_test_images(out):
    own = lab_of(out)
    given = [own.training, own.validation]
    test = load_dataset("digits")[2].images
    assert len(given[0].labels) == 1297 and len(given[1].labels) == 200
    assert not any("test" in name for name in dir(own) if not name.startswith("_"))
    for split in given:
        assert not (split.images[:, None] == test[None, :5]).all(-1).any()
    assert own.shown(3).tolist() == test[3:4].double().tolist()


@pytest.mark.parametrize(
    "name", [n for n in OPTIONS if n not in ("membrane_traces", "training_seeds")]
)
def test_paired_counts_are_integers_that_add_up(out, name):
    counted = [row for row in rows(out, name) if "relu_alone_correct" in row]
    assert len(counted) > 1 or name == "early_decision"
    for row in counted:
        assert all(isinstance(row[key], int) for key in PAIRED)
        difference = row["relu_alone_correct"] - row["snn_alone_correct"]
        assert row["relu_correct"] - row["snn_correct"] == difference
        assert row["n_test"] == 300
        assert 0 <= row["mcnemar_p"] <= 1


@pytest.mark.parametrize("depth", [2, 3])
def test_windows_lose_what_clipping_at_their_length_loses(out, depth):
    relu = relu_labels(out, depth)
    for row in rows(out, "adaptive_windows", depth=depth):
        if row["policy"].startswith("normalised"):
            assert row["windows"] == [1.0] * (depth - 1) and row["latency"] == depth
            continue
        found = clipped(out, depth, row["windows"]).argmax(1)
        # float32 in the experiment, float64 here: a tie may fall either way
        assert abs(int((found == relu).sum()) - row["agreements"]) <= 1
        assert abs(int((found == labels()).sum()) - row["snn_correct"]) <= 1
        assert row["latency"] == pytest.approx(1 + sum(row["windows"]))


@pytest.mark.parametrize("depth", [2, 3])
def test_windows_are_those_of_the_training_images_as_the_policy_says(out, depth):
    activations = layers(out, depth, "training")[1:-1]
    positive = [a[a > 0] for a in activations]
    for row in rows(out, "adaptive_windows", depth=depth):
        name, _, number = row["policy"].partition(":")
        if name == "fixed":
            assert row["windows"] == [float(number)] * (depth - 1)
        if name == "calibrated":
            assert row["windows"] == pytest.approx([1.5 * a.max() for a in activations], rel=1e-5)
        if name == "quantile":
            expected = [np.quantile(values, float(number)) for values in positive]
            assert row["windows"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("depth", [2, 3])
def test_automatic_quantile_is_the_smallest_that_changes_few_validation_labels(out, depth):
    positive = [a[a > 0] for a in layers(out, depth, "training")[1:-1]]
    relu = clipped(out, depth, [np.inf] * depth, "validation").argmax(1)
    for q in QUANTILES:
        lengths = [np.quantile(values, q) for values in positive]
        if (clipped(out, depth, lengths, "validation").argmax(1) != relu).sum() <= 5:
            break
    (row,) = rows(out, "adaptive_windows", depth=depth, policy="automatic")
    assert row["quantile"] == q and row["windows"] == pytest.approx(lengths, rel=1e-5)
    for row in rows(out, "adaptive_windows", depth=depth):
        assert row["n_validation"] == 200
        if not row["policy"].startswith("normalised"):
            found = clipped(out, depth, row["windows"], "validation").argmax(1)
            assert abs(int((found == relu).sum()) - row["validation_agreements"]) <= 1


def test_normalised_windows_classify_like_those_that_they_come_from(out):
    for depth, policy in itertools.product((2, 3), ("automatic", "calibrated")):
        plain, normalised = (
            rows(out, "adaptive_windows", depth=depth, policy=name)[0]
            for name in (policy, f"normalised:{policy}")
        )
        for key in ("snn_correct", "agreements", "saturations", "quantile"):
            assert plain[key] == normalised[key]


def test_layer_normalisation_is_exact_and_every_window_is_one(out):
    for row in rows(out, "layer_normalisation", kind="network"):
        assert row["agreements"] == row["n_test"] and row["saturations"] == 0
        low, high = (0, 1e-13) if row["dtype"] == "float64" else (1e-10, 1e-4)
        assert low <= row["relative_error"] < high
        assert row["latency_after"] == row["depth"]
    for row in rows(out, "layer_normalisation", kind="layer"):
        assert row["window_after"] == pytest.approx(1.0, rel=1e-6)
    for depth in (2, 3):
        found = rows(out, "layer_normalisation", kind="layer", depth=depth, trained=True)
        largest = [1.5 * a.max() for a in layers(out, depth, "training")[1:-1]]
        assert [row["window"] for row in found] == pytest.approx(largest, rel=1e-5)


def test_factor_of_each_sample_is_its_largest_activation(out):
    for depth in (2, 3):
        values = layers(out, depth, "test")[:-1]
        for row, x in zip(
            rows(out, "layer_normalisation", kind="sample", depth=depth), values, strict=True
        ):
            expected = np.quantile(x.max(1) - x.min(1), (0.05, 0.5, 0.95))
            assert row["factor"] == pytest.approx(expected, rel=1e-9)


def scaled_samples(root: Path, depth: int, rescale_bias: bool) -> np.ndarray:
    """Return the classes of the recipe that scales each sample, in NumPy."""
    x, product = layers(root, depth, "test")[0], 1.0
    for n, (weight, bias) in enumerate(parameters(root, depth)):
        low, high = x.min(1, keepdims=True), x.max(1, keepdims=True)
        scale = np.where(high > low, high - low, 1)
        product = product * scale
        x = (x - low) / scale @ weight + bias / (product if rescale_bias else 1)
        if n < depth - 1:
            x = np.clip(x, 0, 15)
    return x.argmax(1)


def test_recipe_is_the_one_that_scales_each_sample(out):
    for depth in (2, 3):
        found = scaled_samples(out, depth, rescale_bias=False)
        (row,) = rows(out, "layer_normalisation", kind="recipe", depth=depth)
        assert row["snn_correct"] == (found == labels()).sum()
        assert row["agreements"] == (found == relu_labels(out, depth)).sum()
        for variant, rescale in (("bias not rescaled", False), ("bias rescaled", True)):
            (row,) = rows(out, "degradation_causes", depth=depth, cause="recipe", variant=variant)
            found = scaled_samples(out, depth, rescale)
            assert row["snn_correct"] == (found == labels()).sum()


@pytest.mark.parametrize("depth", [2, 3])
def test_clock_is_the_network_rounded_to_ticks(out, depth):
    for row in rows(out, "time_resolution", depth=depth):
        ticks, shift = 2 ** row["bits"], 0.5 * row["half_tick"]
        x = np.clip(np.floor(layers(out, depth, "test")[0] * ticks + shift), 0, ticks) / ticks
        for n, (weight, bias) in enumerate(parameters(out, depth)):
            x = x @ weight + bias
            if n < depth - 1:
                tick = row["windows"][n] / ticks
                x = np.clip(np.floor(x / tick + shift), 0, ticks) * tick
        # A crossing that lies on a tick up to float32's rounding may fall on either side.
        assert abs(int((x.argmax(1) == labels()).sum()) - row["snn_correct"]) <= 3
        assert row["ticks"] == depth * ticks


def test_finer_clocks_lose_less(out):
    for depth, policy in itertools.product((2, 3), ("calibrated", "quantile:0.99")):
        keys = {"depth": depth, "policy": policy, "half_tick": True}
        found = {row["bits"]: row for row in rows(out, "time_resolution", **keys)}
        assert found[10]["agreements"] >= 297 > found[1]["agreements"]


def test_best_quantiles_are_alike_for_all_layers_or_each_layers_own(out):
    positive = [a[a > 0] for a in layers(out, 3, "training")[1:-1]]
    own = set()
    for row in rows(out, "time_resolution", depth=3):
        if row["quantiles"] is None:
            continue
        expected = [np.quantile(v, q) for v, q in zip(positive, row["quantiles"], strict=True)]
        assert row["windows"] == pytest.approx(expected, rel=1e-5)
        if row["policy"] == "best quantile":
            assert len(set(row["quantiles"])) == 1
        else:
            own.add(len(set(row["quantiles"])))
    assert max(own) > 1


def noisy(root: Path, row: dict, lengths: list[float]) -> np.ndarray:
    """Return the classes of a network with jitter, lost spikes or unequal thresholds, in NumPy."""
    generator = torch.Generator().manual_seed(row["noise_seed"])
    fault, level, depth = row["fault"], row["level"], row["depth"]

    def drawn(draw, shape):
        return draw(shape, generator=generator, dtype=torch.float32).numpy().astype(float)

    def disturbed(u, length):
        if fault == "jitter":
            moved = np.clip(u - level * length * drawn(torch.randn, u.shape), 0, length)
            return np.where(u > 0, moved, 0)
        return np.where(drawn(torch.rand, u.shape) >= level, u, 0) if fault == "loss" else u

    pairs = parameters(root, depth)
    offsets = [np.zeros(len(bias)) for _, bias in pairs]
    if fault == "mismatch":
        offsets = [
            level * length * drawn(torch.randn, o.shape)
            for o, length in zip(offsets, lengths, strict=False)
        ]
    x = disturbed(layers(root, depth, "test")[0], 1.0)
    for n, (weight, bias) in enumerate(pairs):
        x = x @ weight + bias
        if n < depth - 1:
            x = disturbed(np.clip(x - offsets[n], 0, lengths[n]), lengths[n])
    return x.argmax(1)


@pytest.mark.parametrize("fault", ["jitter", "loss", "mismatch"])
def test_noise_is_drawn_by_its_seed_at_its_level(out, fault):
    windows = {
        (row["depth"], row["policy"]): row["windows"] for row in rows(out, "adaptive_windows")
    }
    found = rows(out, "robustness", fault=fault)
    assert {(row["noise_seed"], row["policy"]) for row in found} == set(
        itertools.product((0, 1), ("calibrated", "automatic"))
    )
    for row in found:
        expected = noisy(out, row, windows[row["depth"], row["policy"]])
        assert abs(int((expected == labels()).sum()) - row["snn_correct"]) <= 1


def test_a_little_noise_costs_little_and_much_costs_much(out):
    for depth, policy in itertools.product((2, 3), ("calibrated", "automatic")):
        for fault, low, high in (("jitter", 0.001, 0.1), ("loss", 0.01, 0.3)):
            keys = {"depth": depth, "policy": policy, "fault": fault}
            little, much = (rows(out, "robustness", **keys, level=v) for v in (low, high))
            assert sum(row["agreements"] for row in little) > sum(r["agreements"] for r in much)


def test_coarse_weights_are_rounded_per_layer_or_per_neuron(out):
    for row in rows(out, "robustness", noise_seed=None):
        top, x = 2 ** (row["level"] - 1) - 1, layers(out, row["depth"], "test")[0]
        for n, (weight, bias) in enumerate(parameters(out, row["depth"])):
            largest = np.abs(weight).max(0) if "neuron" in row["fault"] else np.abs(weight).max()
            x = x @ (np.round(weight / (largest / top)) * largest / top) + bias
            x = np.maximum(x, 0) if n < row["depth"] - 1 else x
        assert abs(int((x.argmax(1) == labels()).sum()) - row["snn_correct"]) <= 2


def test_early_answers_are_those_of_the_spikes_so_far(out):
    for depth, policy in itertools.product((2, 3), ("calibrated", "automatic")):
        found = rows(out, "early_decision", depth=depth, policy=policy)
        assert [row["fraction"] for row in found] == pytest.approx(np.linspace(0, 1, 51))
        lengths = rows(out, "adaptive_windows", depth=depth, policy=policy)[0]["windows"]
        x = layers(out, depth, "test")[0]
        for n, (weight, bias) in enumerate(parameters(out, depth)[:-1]):
            x = np.clip(x @ weight + bias, 0, lengths[n])
        weight, bias = parameters(out, depth)[-1]
        for row in found[5::15]:
            left = lengths[-1] * (1 - row["fraction"])  # until the read-out
            fired = x >= left
            promised = (np.where(fired, x, 0) @ weight + bias).argmax(1)
            so_far = (np.maximum(x - left, 0) @ weight + bias).argmax(1)
            for key, classes in (("promised", promised), ("potential", so_far)):
                assert abs(int((classes == labels()).sum()) - row[f"{key}_correct"]) <= 1
            assert abs(int(fired[x > 0].sum()) - row["spikes"]) <= 1
            assert row["t"] == pytest.approx(row["latency"] - left)


def test_last_moment_of_an_early_decision_is_the_final_one(out):
    for depth, policy in itertools.product((2, 3), ("calibrated", "automatic")):
        found = rows(out, "early_decision", depth=depth, policy=policy)
        last = found[-1]
        assert last["potential_correct"] == last["promised_correct"]
        assert last["certain"] == last["promised_final"] == last["n_test"] == 300
        assert all(row["certain_final"] == row["certain"] for row in found)
        certain = [row["certain"] for row in found]
        assert certain == sorted(certain)


def test_every_cause_comes_with_a_remedy_that_loses_nothing(out):
    exact = [
        {"cause": "recipe", "variant": "bias rescaled"},
        {"cause": "formula", "variant": "B1"},
        {"cause": "preprocessing", "variant": "folded into the first layer, B1"},
        {"cause": "short windows", "variant": "calibrated"},
        {"cause": "premature", "variant": "guard"},
        {"cause": "premature", "variant": "B1"},
        {"cause": "premature", "variant": "safe windows"},
        {"cause": "precision", "variant": "window", "dtype": "float32"},
    ]
    for keys, depth in itertools.product(exact, (2, 3)):
        (row,) = rows(out, "degradation_causes", depth=depth, **keys)
        assert row["agreements"] == row["n_test"], keys


@pytest.mark.parametrize("depth", [2, 3])
def test_causes_are_simulated_as_their_rows_say(out, depth):
    """Windows, neuron, guard, clock, time and precision of each row, set up anew."""
    network = ReluNetwork(*zip(*parameters(out, depth), strict=True))
    training, _, test = load_dataset("digits")
    largest, safe = windows.calibrated(network, training.images, margin=0), windows.safe(network)
    exact = convert(network, windows.calibrated(network, training.images))
    tight, long = convert(network, largest, "alpha"), convert(network, safe, "alpha")
    free = {
        "no guard": (tight, False),
        "guard": (tight, True),
        "safe windows": (long, False),
        "B1": (convert(network, largest), True),
    }
    fitted = convert(network, windows.quantile(network, training.images, 0.99))
    clocks = {
        "ticks": (exact, False),
        "half tick": (exact, True),
        "half tick, 99 % windows": (fitted, True),
    }
    seen = []
    for row in rows(out, "degradation_causes", depth=depth, training="raw pixels"):
        cause, variant, x = row["cause"], row["variant"], test.images.to(DTYPES[row["dtype"]])
        if cause == "premature":
            snn, guard = free[variant]
            simulation = event_driven(snn, x, guard)
            below = [int((layer.threshold <= 0).sum()) for layer in snn.hidden]
            assert row["thresholds_below_rest"] == below
            for key in ("premature", "spurious", "saturations", "held_back"):
                assert row[key] == [getattr(layer, key) for layer in simulation.audit]
        elif cause == "time resolution":
            snn, half_tick = clocks[variant]
            simulation = clock_driven(snn, x, row["bits"], half_tick)
        elif cause in ("window growth", "precision"):
            simulation = closed_form(long if cause == "window growth" else exact, x, variant)
        else:
            continue
        found = simulation.logits.argmax(1).numpy()
        assert row["snn_correct"] == (found == labels()).sum(), row
        seen.append((cause, variant))
    assert len(seen) == 4 + 3 * 10 + 2 * 3 + 2 * 4 and len(set(seen)) == 4 + 3 + 2 + 2


def test_causes_are_measured_on_the_committed_network_of_seed_0(out):
    for depth in (2, 3):
        relu = int((relu_labels(out, depth) == labels()).sum())
        for row in rows(out, "degradation_causes", depth=depth, training="raw pixels"):
            assert (row["training_seed"], row["relu_correct"]) == (0, relu)


def test_short_windows_and_fixed_clocks_lose_what_numpy_says(out):
    for depth in (2, 3):
        for row in rows(out, "degradation_causes", depth=depth, cause="short windows"):
            if row["t_max"]:
                found = clipped(out, depth, [row["t_max"]] * depth).argmax(1)
                assert abs(int((found == labels()).sum()) - row["snn_correct"]) <= 1


def trained(depth: int, seed: int, prepare=lambda split: split):
    """Return the network that one epoch of training with a seed gives."""
    training, validation, _ = (prepare(split) for split in load_dataset("digits"))
    settings = SETTINGS | {"epochs": 1, "target": TARGETS["digits"], "seed": seed}
    return train_network(training, validation, architecture(depth, 400), **settings)[0]


def right(network, images) -> int:
    return int((network.logits(images).argmax(1).numpy() == labels()).sum())


def test_networks_of_other_seeds_are_trained_with_those_seeds(out):
    images = load_dataset("digits")[2].images.double()
    for seed in (1, 2):
        (row, *_) = degradation_causes.measure(lab_of(out), 2, seed, degradation_causes.RAW)
        assert row["relu_correct"] == right(trained(2, seed), images)
    cases = degradation_causes.cases(lab_of(out, quick=False))
    assert {case["training_seed"] for case in cases} == {0, 1, 2, None}
    found = rows(out, "training_seeds", depth=2)
    assert [row["training_seed"] for row in found] == [0, 1]
    assert [row["relu_correct"] for row in found] == [right(trained(2, s), images) for s in (0, 1)]
    assert len(training_seeds.cases(lab_of(out, quick=False))) == 2 * 5


def test_standardised_networks_are_trained_on_standardised_pixels_of_the_training_images(out):
    training, _, test = load_dataset("digits")
    mean, deviation = training.images.mean().item(), training.images.std().item()
    network = trained(2, 0, lambda split: Split((split.images - mean) / deviation, split.labels))
    images = test.images.double()
    keys = {"depth": 2, "training_seed": 0, "cause": "preprocessing"}
    (row,) = rows(out, "degradation_causes", **keys, variant="ReLU on raw pixels")
    assert row["relu_correct"] == right(network, (images - mean) / deviation)
    assert row["snn_correct"] == right(network, images)
    (row,) = rows(out, "degradation_causes", **keys, variant="recipe on raw pixels")
    assert row["relu_correct"] == right(network, images)


def test_reported_loss_stands_beside_mnist_alone(out):
    assert rows(out, "degradation_causes", cause="reported") == []
    mnist = Lab(Setting("mnist", "", "", (2, 8), False))
    found = degradation_causes.measure(mnist, 8, None, degradation_causes.REPORTED)
    counts = {"n_test": 1000, "relu_correct": 968, "snn_correct": 920}
    assert found == [{"cause": "reported", "variant": "as reported", **counts}]
    assert {"depth": 8, "training_seed": None, "training": degradation_causes.REPORTED} in (
        degradation_causes.cases(mnist)
    )


def test_traces_start_at_rest_and_meet_their_threshold_at_the_spike(out):
    for row in rows(out, "membrane_traces"):
        times, potential = np.array(row["corners"]).T
        assert (np.diff(times) >= 0).all() and times[-1] == pytest.approx(row["t_max"])
        assert times[0] <= row["t_start"] and potential[0] == 0
        if row["spike"] is not None and row["guard"]:
            met = np.interp(row["spike"], times, potential)
            assert met == pytest.approx(row["threshold"], rel=1e-9)
            assert row["t_min"] <= row["spike"] < row["t_max"]


def test_typical_neurons_fire_in_the_middle_of_their_layers_spikes(out):
    activations = [a[0] for a in layers(out, 3, "test")[1:-1]]
    typical = [row for row in rows(out, "membrane_traces", why="typical") if row["guard"]]
    assert [row["layer"] for row in typical] == [1, 1, 2, 2]
    for row in typical:
        activation = activations[row["layer"] - 1]
        earlier, fired = (activation > activation[row["neuron"]]).sum(), (activation > 0).sum()
        assert earlier == fired // 2


def test_the_neuron_that_is_asked_for_is_traced_while_it_reads_the_image_that_is_asked_for(
    out, tmp_path
):
    weight, bias = parameters(out, 3)[0]
    image = layers(out, 3, "test")[0][7]
    neuron = int((image @ weight + bias).argmax())
    places = [*folders(out, "models"), *folders(tmp_path, "results", "figures")]
    asked = ["--depth", 3, "--image", 7, "--layer", 1, "--neuron", neuron]
    run(experiments, "membrane_traces", "--dataset", "digits", "--jobs", 1, *asked, *places)
    b1, alpha = rows(tmp_path, "membrane_traces")
    assert (b1["neuron_model"], alpha["neuron_model"]) == ("B1", "alpha")
    for row in (b1, alpha):
        assert (row["layer"], row["neuron"], row["guard"]) == (1, neuron, True)
        left = image @ weight[:, neuron] + bias[neuron]
        assert row["t_max"] - row["spike"] == pytest.approx(left)
        assert sorted(row["input_spikes"]) == pytest.approx(sorted(1 - image[image > 0]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--layer", 1], "--layer and --neuron go together"),
        (["--layer", 9, "--neuron", 0], "no neuron 0 in hidden layer 9"),
        (["--image", 300], "--image 300: the test images are 0 to 299"),
    ],
)
def test_neurons_and_images_that_do_not_exist_are_refused(out, tmp_path, capsys, options, words):
    places = [*folders(out, "models"), *folders(tmp_path, "results", "figures")]
    with pytest.raises(SystemExit) as stop:
        arguments = ["--dataset", "digits", "--depth", 3, "--jobs", 1, *options, *places]
        experiments.main(["membrane_traces", *map(str, arguments)])
    complaint = capsys.readouterr().err
    assert stop.value.code == 2 and words in complaint and complaint.count("\n") == 1


def test_results_name_the_command_that_makes_them_when_they_are_missing(tmp_path, capsys):
    for name in OPTIONS:
        with pytest.raises(SystemExit) as stop:
            places = folders(tmp_path, "results", "figures")
            experiments.main([name, "--dataset", "digits", "--redraw", *places])
        assert stop.value.code == 2
        command = f"python experiments {name} --dataset digits --results {tmp_path / 'results'}"
        assert f"run `{command}` first" in capsys.readouterr().err


@pytest.mark.parametrize("name", OPTIONS)
def test_results_with_a_key_missing_take_one_line_that_names_file_row_and_key(
    out, tmp_path, capsys, name
):
    record = results(out, name)
    key = "t_min" if name == "membrane_traces" else "depth"
    for row in record["rows"][1:]:
        row.pop(key)
    path = tmp_path / "results" / "digits" / f"{name}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    with pytest.raises(SystemExit) as stop:
        places = folders(tmp_path, "results", "figures")
        experiments.main([name, "--dataset", "digits", "--redraw", *places])
    complaint = capsys.readouterr().err
    assert stop.value.code == 2 and complaint.count("\n") == 1
    assert f"{name}.json is not what was written: row 2: it lacks `{key}`" in complaint
    command = f"python experiments {name} --dataset digits --results {tmp_path / 'results'}"
    assert f"run `{command}` again" in complaint
    assert not list((tmp_path / "figures").rglob("*.png"))


def test_the_questions_are_listed_with_the_time_that_each_takes():
    printed = run(experiments)
    assert [line.split()[0] for line in printed.splitlines()] == list(OPTIONS)
    for line in printed.splitlines():
        assert "?" in line and line.endswith(("minutes)", "minute)", "seconds)"))


def test_an_experiment_that_does_not_exist_is_refused_with_those_that_do(capsys):
    with pytest.raises(SystemExit) as stop:
        experiments.main(["nonsense"])
    complaint = capsys.readouterr().err
    assert stop.value.code == 2 and "robustness" in complaint and complaint.count("\n") == 1
