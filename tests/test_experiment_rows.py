"""The rows of the experiments against the same networks in NumPy."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from pipeline import labels, layers
from studied import clipped, parameters, relu_labels, rows

from ttfs.tuning import QUANTILES


@pytest.mark.parametrize("depth", [2, 3])
def test_windows_lose_what_clipping_at_their_length_loses(studied, depth):
    relu = relu_labels(studied, depth)
    for row in rows(studied, "adaptive_windows", depth=depth):
        if row["policy"].startswith("normalised"):
            assert row["windows"] == [1.0] * (depth - 1) and row["latency"] == depth
            continue
        found = clipped(studied, depth, row["windows"]).argmax(1)
        # float32 in the experiment, float64 here: a tie may fall either way
        assert abs(int((found == relu).sum()) - row["agreements"]) <= 1
        assert abs(int((found == labels()).sum()) - row["snn_correct"]) <= 1
        assert row["latency"] == pytest.approx(1 + sum(row["windows"]))


@pytest.mark.parametrize("depth", [2, 3])
def test_windows_are_those_of_the_training_images_as_the_policy_says(studied, depth):
    activations = layers(studied, depth, "training")[1:-1]
    positive = [a[a > 0] for a in activations]
    for row in rows(studied, "adaptive_windows", depth=depth):
        name, _, number = row["policy"].partition(":")
        if name == "fixed":
            assert row["windows"] == [float(number)] * (depth - 1)
        if name == "calibrated":
            assert row["windows"] == pytest.approx([1.5 * a.max() for a in activations], rel=1e-5)
        if name == "quantile":
            expected = [np.quantile(values, float(number)) for values in positive]
            assert row["windows"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("depth", [2, 3])
def test_automatic_quantile_is_the_smallest_that_changes_few_validation_labels(studied, depth):
    positive = [a[a > 0] for a in layers(studied, depth, "training")[1:-1]]
    relu = clipped(studied, depth, [np.inf] * depth, "validation").argmax(1)
    for q in QUANTILES:
        lengths = [np.quantile(values, q) for values in positive]
        if (clipped(studied, depth, lengths, "validation").argmax(1) != relu).sum() <= 5:
            break
    (row,) = rows(studied, "adaptive_windows", depth=depth, policy="automatic")
    assert row["quantile"] == q and row["windows"] == pytest.approx(lengths, rel=1e-5)
    for row in rows(studied, "adaptive_windows", depth=depth):
        assert row["n_validation"] == 200
        if not row["policy"].startswith("normalised"):
            found = clipped(studied, depth, row["windows"], "validation").argmax(1)
            assert abs(int((found == relu).sum()) - row["validation_agreements"]) <= 1


def test_normalised_windows_classify_like_those_that_they_come_from(studied):
    for depth, policy in itertools.product((2, 3), ("automatic", "calibrated")):
        plain, normalised = (
            rows(studied, "adaptive_windows", depth=depth, policy=name)[0]
            for name in (policy, f"normalised:{policy}")
        )
        for key in ("snn_correct", "agreements", "saturations", "quantile"):
            assert plain[key] == normalised[key]


def test_layer_normalisation_is_exact_and_every_window_is_one(studied):
    for row in rows(studied, "layer_normalisation", kind="network"):
        assert row["agreements"] == row["n_test"] and row["saturations"] == 0
        low, high = (0, 1e-13) if row["dtype"] == "float64" else (1e-10, 1e-4)
        assert low <= row["relative_error"] < high
        assert row["latency_after"] == row["depth"]
    for row in rows(studied, "layer_normalisation", kind="layer"):
        assert row["window_after"] == pytest.approx(1.0, rel=1e-6)
    for depth in (2, 3):
        found = rows(studied, "layer_normalisation", kind="layer", depth=depth, trained=True)
        largest = [1.5 * a.max() for a in layers(studied, depth, "training")[1:-1]]
        assert [row["window"] for row in found] == pytest.approx(largest, rel=1e-5)


def test_factor_of_each_sample_is_its_largest_activation(studied):
    for depth in (2, 3):
        values = layers(studied, depth, "test")[:-1]
        for row, x in zip(
            rows(studied, "layer_normalisation", kind="sample", depth=depth), values, strict=True
        ):
            expected = np.quantile(x.max(1) - x.min(1), (0.05, 0.5, 0.95))
            assert row["factor"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("depth", [2, 3])
def test_clock_is_the_network_rounded_to_ticks(studied, depth):
    for row in rows(studied, "time_resolution", depth=depth):
        ticks, shift = 2 ** row["bits"], 0.5 * row["half_tick"]
        x = np.clip(np.floor(layers(studied, depth, "test")[0] * ticks + shift), 0, ticks) / ticks
        for n, (weight, bias) in enumerate(parameters(studied, depth)):
            x = x @ weight + bias
            if n < depth - 1:
                tick = row["windows"][n] / ticks
                x = np.clip(np.floor(x / tick + shift), 0, ticks) * tick
        # A crossing that lies on a tick up to float32's rounding may fall on either side.
        assert abs(int((x.argmax(1) == labels()).sum()) - row["snn_correct"]) <= 3
        assert row["ticks"] == depth * ticks


def test_finer_clocks_lose_less(studied):
    for depth, policy in itertools.product((2, 3), ("calibrated", "quantile:0.99")):
        keys = {"depth": depth, "policy": policy, "half_tick": True}
        found = {row["bits"]: row for row in rows(studied, "time_resolution", **keys)}
        assert found[10]["agreements"] >= 297 > found[1]["agreements"]


def test_best_quantiles_are_alike_for_all_layers_or_each_layers_own(studied):
    positive = [a[a > 0] for a in layers(studied, 3, "training")[1:-1]]
    own = set()
    for row in rows(studied, "time_resolution", depth=3):
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
def test_noise_is_drawn_by_its_seed_at_its_level(studied, fault):
    windows = {
        (row["depth"], row["policy"]): row["windows"] for row in rows(studied, "adaptive_windows")
    }
    found = rows(studied, "robustness", fault=fault)
    assert {(row["noise_seed"], row["policy"]) for row in found} == set(
        itertools.product((0, 1), ("calibrated", "automatic"))
    )
    for row in found:
        expected = noisy(studied, row, windows[row["depth"], row["policy"]])
        assert abs(int((expected == labels()).sum()) - row["snn_correct"]) <= 1


def test_a_little_noise_costs_little_and_much_costs_much(studied):
    for depth, policy in itertools.product((2, 3), ("calibrated", "automatic")):
        for fault, low, high in (("jitter", 0.001, 0.1), ("loss", 0.01, 0.3)):
            keys = {"depth": depth, "policy": policy, "fault": fault}
            little, much = (rows(studied, "robustness", **keys, level=v) for v in (low, high))
            assert sum(row["agreements"] for row in little) > sum(r["agreements"] for r in much)


def test_coarse_weights_are_rounded_per_layer_or_per_neuron(studied):
    for row in rows(studied, "robustness", noise_seed=None):
        top, x = 2 ** (row["level"] - 1) - 1, layers(studied, row["depth"], "test")[0]
        for n, (weight, bias) in enumerate(parameters(studied, row["depth"])):
            largest = np.abs(weight).max(0) if "neuron" in row["fault"] else np.abs(weight).max()
            x = x @ (np.round(weight / (largest / top)) * largest / top) + bias
            x = np.maximum(x, 0) if n < row["depth"] - 1 else x
        assert abs(int((x.argmax(1) == labels()).sum()) - row["snn_correct"]) <= 2


def test_early_answers_are_those_of_the_spikes_so_far(studied):
    for depth, policy in itertools.product((2, 3), ("calibrated", "automatic")):
        found = rows(studied, "early_decision", depth=depth, policy=policy)
        assert [row["fraction"] for row in found] == pytest.approx(np.linspace(0, 1, 51))
        lengths = rows(studied, "adaptive_windows", depth=depth, policy=policy)[0]["windows"]
        x = layers(studied, depth, "test")[0]
        for n, (weight, bias) in enumerate(parameters(studied, depth)[:-1]):
            x = np.clip(x @ weight + bias, 0, lengths[n])
        weight, bias = parameters(studied, depth)[-1]
        for row in found[5::15]:
            left = lengths[-1] * (1 - row["fraction"])  # until the read-out
            fired = x >= left
            promised = (np.where(fired, x, 0) @ weight + bias).argmax(1)
            so_far = (np.maximum(x - left, 0) @ weight + bias).argmax(1)
            for key, classes in (("promised", promised), ("potential", so_far)):
                assert abs(int((classes == labels()).sum()) - row[f"{key}_correct"]) <= 1
            assert abs(int(fired[x > 0].sum()) - row["spikes"]) <= 1
            assert row["t"] == pytest.approx(row["latency"] - left)


def test_last_moment_of_an_early_decision_is_the_final_one(studied):
    for depth, policy in itertools.product((2, 3), ("calibrated", "automatic")):
        found = rows(studied, "early_decision", depth=depth, policy=policy)
        last = found[-1]
        assert last["potential_correct"] == last["promised_correct"]
        assert last["certain"] == last["promised_final"] == last["n_test"] == 300
        assert all(row["certain_final"] == row["certain"] for row in found)
        certain = [row["certain"] for row in found]
        assert certain == sorted(certain)
