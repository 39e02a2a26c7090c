"""The suspected causes of a loss, each set up anew; and networks of other seeds."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from pipeline import labels, layers, trained_as_relu
from studied import clipped, lab_of, parameters, relu_labels, rows

from experiments import degradation_causes, training_seeds
from experiments.lab import Lab, Setting
from ttfs import windows
from ttfs.conversion import convert
from ttfs.datasets import Split, load_dataset
from ttfs.network import ReluNetwork
from ttfs.simulation import clock_driven, closed_form, event_driven
from ttfs.stages.options import DTYPES
from ttfs.training import SETTINGS, TARGETS, architecture


def scaled_samples(root: Path, depth: int, rescale_bias: bool) -> np.ndarray:
    """Return the classes of the recipe that scales each sample, in NumPy."""
    x, product = layers(root, depth, "test")[0], 1.0
    for weight, bias in parameters(root, depth):
        low, high = x.min(1, keepdims=True), x.max(1, keepdims=True)
        scale = np.where(high > low, high - low, 1)
        product = product * scale
        x = np.maximum((x - low) / scale @ weight + bias / (product if rescale_bias else 1), 0)
    return x.argmax(1)


def test_recipe_is_the_one_that_scales_each_sample(studied):
    for depth in (2, 3):
        found = scaled_samples(studied, depth, rescale_bias=False)
        (row,) = rows(studied, "layer_normalisation", kind="recipe", depth=depth)
        assert row["snn_correct"] == (found == labels()).sum()
        assert row["agreements"] == (found == relu_labels(studied, depth)).sum()
        for variant, rescale in (("bias not rescaled", False), ("bias rescaled", True)):
            (row,) = rows(
                studied, "degradation_causes", depth=depth, cause="recipe", variant=variant
            )
            found = scaled_samples(studied, depth, rescale)
            assert row["snn_correct"] == (found == labels()).sum()


def test_every_cause_comes_with_a_remedy_that_loses_nothing(studied):
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
        (row,) = rows(studied, "degradation_causes", depth=depth, **keys)
        assert row["agreements"] == row["n_test"], keys


@pytest.mark.parametrize("depth", [2, 3])
def test_causes_are_simulated_as_their_rows_say(studied, depth):
    """Windows, neuron, guard, clock, time and precision of each row, set up anew."""
    network = ReluNetwork(*zip(*parameters(studied, depth), strict=True))
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
    for row in rows(studied, "degradation_causes", depth=depth, training="raw pixels"):
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


def test_causes_are_measured_on_the_committed_network_of_seed_0(studied):
    for depth in (2, 3):
        relu = int((relu_labels(studied, depth) == labels()).sum())
        for row in rows(studied, "degradation_causes", depth=depth, training="raw pixels"):
            assert (row["training_seed"], row["relu_correct"]) == (0, relu)


def test_short_windows_and_fixed_clocks_lose_what_numpy_says(studied):
    for depth in (2, 3):
        for row in rows(studied, "degradation_causes", depth=depth, cause="short windows"):
            if row["t_max"]:
                found = clipped(studied, depth, [row["t_max"]] * depth).argmax(1)
                assert abs(int((found == labels()).sum()) - row["snn_correct"]) <= 1


def trained(depth: int, seed: int, prepare=lambda split: split):
    """Return the network that one epoch of training with a seed gives."""
    training, validation, _ = (prepare(split) for split in load_dataset("digits"))
    settings = SETTINGS | {"epochs": 1, "target": TARGETS["digits"], "seed": seed}
    return trained_as_relu(training, validation, architecture(depth, 400), **settings)[0]


def right(network, images) -> int:
    return int((network.logits(images).argmax(1).numpy() == labels()).sum())


def test_networks_of_other_seeds_are_trained_with_those_seeds(studied):
    images = load_dataset("digits")[2].images.double()
    for seed in (1, 2):
        (row, *_) = degradation_causes.measure(lab_of(studied), 2, seed, degradation_causes.RAW)
        assert row["relu_correct"] == right(trained(2, seed), images)
    cases = degradation_causes.cases(lab_of(studied, quick=False))
    assert {case["training_seed"] for case in cases} == {0, 1, 2, None}
    found = rows(studied, "training_seeds", depth=2)
    assert [row["training_seed"] for row in found] == [0, 1]
    assert [row["relu_correct"] for row in found] == [right(trained(2, s), images) for s in (0, 1)]
    assert len(training_seeds.cases(lab_of(studied, quick=False))) == 2 * 5


def test_standardised_networks_are_trained_on_standardised_pixels_of_the_training_images(studied):
    training, _, test = load_dataset("digits")
    mean, deviation = training.images.mean().item(), training.images.std().item()
    network = trained(2, 0, lambda split: Split((split.images - mean) / deviation, split.labels))
    images = test.images.double()
    keys = {"depth": 2, "training_seed": 0, "cause": "preprocessing"}
    (row,) = rows(studied, "degradation_causes", **keys, variant="ReLU on raw pixels")
    assert row["relu_correct"] == right(network, (images - mean) / deviation)
    assert row["snn_correct"] == right(network, images)
    (row,) = rows(studied, "degradation_causes", **keys, variant="recipe on raw pixels")
    assert row["relu_correct"] == right(network, images)


def test_reported_loss_stands_beside_mnist_alone(studied):
    assert rows(studied, "degradation_causes", cause="reported") == []
    mnist = Lab(Setting("mnist", "", "", (2, 8), False))
    found = degradation_causes.measure(mnist, 8, None, degradation_causes.REPORTED)
    counts = {"n_test": 1000, "relu_correct": 968, "snn_correct": 920}
    assert found == [{"cause": "reported", "variant": "as reported", **counts}]
    assert {"depth": 8, "training_seed": None, "training": degradation_causes.REPORTED} in (
        degradation_causes.cases(mnist)
    )
