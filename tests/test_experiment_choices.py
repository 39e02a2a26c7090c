"""Which images, seeds and options the experiments use for what, on small untrained networks."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from small import DEPTHS, N_TEST, N_VALIDATION, largest, layers, right, save_networks
from small import splits as small_splits

from experiments import (
    adaptive_windows,
    causes,
    degradation_causes,
    early_decision,
    layer_normalisation,
    robustness,
    time_resolution,
    training_seeds,
)
from experiments import lab as laboratory
from experiments.lab import Lab, Setting
from ttfs import tuning, windows
from ttfs.conversion import convert
from ttfs.network import ReluNetwork
from ttfs.neurons import crossing
from ttfs.simulation import closed_form
from ttfs.training import Trained, initial_network


@pytest.fixture
def splits(monkeypatch):
    made = small_splits()
    monkeypatch.setattr(laboratory, "load_dataset", lambda name, folder: made)
    return made


@pytest.fixture
def lab(splits, tmp_path) -> Lab:
    return Lab(Setting("digits", "", str(save_networks(tmp_path) / "models"), DEPTHS, False))


def test_a_lab_judges_by_test_images_and_validates_by_validation_images(splits, lab):
    _, validation, test = splits
    network, length = lab.network(3), 0.125
    snn = convert(network, [length] * 2)

    def simulate(images):
        return closed_form(snn, images)

    def expected(split, n=None):
        images = split.images[:n]
        clipped = layers(network, images, lambda x, n: np.minimum(x, length) if n else x)[-1]
        relu = layers(network, images)[-1]
        return {
            "n_test": len(images),
            "relu_correct": right(relu, split._replace(labels=split.labels[:n])),
            "snn_correct": right(clipped, split._replace(labels=split.labels[:n])),
            "agreements": int((relu.argmax(1) == clipped.argmax(1)).sum()),
        }

    assert lab.judge(network, simulate).counts.items() >= expected(test).items()
    assert lab.judge(network, simulate, n_images=40).counts.items() >= expected(test, 40).items()
    assert lab.validate(network, simulate).counts.items() >= expected(validation).items()


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_lab_chooses_windows_on_training_and_validation_images(splits, lab, depth):
    network, (training, validation, _) = lab.network(depth), (split.images for split in splits)
    images, found = (training, validation), windows.quantiles(network, training, tuning.QUANTILES)
    assert lab.candidates(depth) == found
    for policy in ("calibrated", "fixed:3", "quantile:0.9", "quantile:0.123", "automatic"):
        expected = tuning.window_policy(policy)(network, *images)
        assert lab.windows(depth, policy) == pytest.approx(expected, rel=1e-6)
    assert lab.automatic_quantile(depth) == tuning.automatic_quantile(network, found, validation)
    for bits in (1, 3):
        chosen = tuning.clock_quantiles(network, found, validation, bits)
        assert lab.clock_lengths(depth, bits) == tuning.own_lengths(found, chosen)


def test_a_short_look_takes_the_first_images_of_each_split(splits, lab, monkeypatch):
    monkeypatch.setattr(laboratory, "QUICK_IMAGES", (7, 6, 5))
    quick = Lab(lab.setting._replace(quick=True))
    assert quick.training.images.equal(splits[0].images[:7])
    assert quick.validation.labels.equal(splits[1].labels[:6])
    snn = convert(quick.network(2), [9.0])
    assert quick.judge(quick.network(2), partial(closed_form, snn)).counts["n_test"] == 5


@pytest.fixture
def given(monkeypatch) -> list[dict]:
    """Return a list of what is given to training, which returns the network that it was given."""
    seen = []

    def train(start, training, validation, **options):
        seen.append({"start": start, "training": training, "validation": validation, **options})
        return Trained(start, [1.0] * (start.depth - 1), [4, 8, 6], 8)

    monkeypatch.setattr(laboratory, "train", train)
    return seen


def test_a_lab_trains_from_the_seed_until_the_target_of_its_data_set(splits, lab, given):
    network, history = lab.trained(3, 7)
    (what,), sizes = given, [784, 400, 400, 10]
    assert what["training"] is splits[0] and what["validation"] is splits[1]
    expected = initial_network(sizes, torch.Generator().manual_seed(7))
    assert all(map(torch.equal, network.numbers, expected.numbers)) and history == [4, 8, 6]
    assert what["generator"].initial_seed() == 7 and what["device"] == "cpu"
    settings = {"epochs": 30, "batch_size": 64, "learning_rate": 1e-3, "target": 99.5}
    assert {key: what[key] for key in settings} == settings
    quick = Lab(lab.setting._replace(quick=True))
    quick.trained(2, 0)
    quick.retrained(network, "a pass", torch.Generator(), 9)
    lab.retrained(network, "a pass", torch.Generator(), 9, batch_size=3)
    assert [what["epochs"] for what in given[1:]] == [1, 1, 9]
    last = given[-1]
    assert last["training"] is splits[0] and last["validation"] is splits[1]
    assert (last["start"], last["through"], last["batch_size"]) == (network, "a pass", 3)
    assert "target" not in last


def test_networks_are_trained_with_the_seed_of_their_row(splits, lab, given):
    found = {}
    for seed in (0, 3):
        row = training_seeds.measure(lab, 2, seed)
        logits = given[-1]["start"].logits(splits[2].images.double())
        assert given[-1]["generator"].initial_seed() == seed
        assert row == {
            "epochs": 3,
            "validation_correct": 8,
            "n_test": N_TEST,
            "relu_correct": right(logits.numpy(), splits[2]),
        }
        found[seed] = row["relu_correct"]
    assert found[0] != found[3]


@pytest.mark.parametrize("seed", [0, 2])
def test_causes_are_of_the_network_of_the_seed_on_the_pixels_that_are_named(
    splits, lab, given, monkeypatch, seed
):
    monkeypatch.setattr(causes, "every_cause", lambda lab, network: [network])
    monkeypatch.setattr(causes, "preprocessing", lambda lab, *what: list(what))
    (network,) = degradation_causes.measure(lab, 2, seed, degradation_causes.RAW)
    if seed == 0:
        assert network is lab.network(2) and not given
    else:
        assert network is given[0]["start"] and given[0]["generator"].initial_seed() == seed
    found = degradation_causes.measure(lab, 2, seed, degradation_causes.STANDARDISED)
    pixels = splits[0].images
    mean, deviation = pixels.mean().item(), pixels.std().item()
    assert found == [given[-1]["start"], mean, deviation]
    assert given[-1]["generator"].initial_seed() == seed
    for key, split in (("training", splits[0]), ("validation", splits[1])):
        expected = (split.images - mean) / deviation
        torch.testing.assert_close(given[-1][key].images, expected)


def clocked(network, images, lengths, ticks: int, half_tick: bool) -> np.ndarray:
    """Return the logits of a network whose pixels and activations are rounded to ticks."""

    def rounded(x, n):
        tick = [1.0, *lengths][n] / ticks
        return np.clip(np.floor(x / tick + 0.5 * half_tick), 0, ticks) * tick

    return layers(network, images, rounded)[-1]


@pytest.mark.parametrize(("depth", "bits"), [(2, 1), (3, 2)])
def test_thresholds_are_half_a_tick_lower_only_where_the_row_says_so(splits, lab, depth, bits):
    network, test, found = lab.network(depth), splits[2], {}
    relu = layers(network, test.images)[-1].argmax(1)
    for half_tick in (False, True):
        row = time_resolution.measure(lab, depth, "calibrated", half_tick, bits)
        lengths = largest(network, splits[0].images)
        assert row["windows"] == pytest.approx(lengths, rel=1e-5) and row["quantiles"] is None
        assert (row["latency"], row["ticks"]) == (
            pytest.approx(1 + sum(lengths)),
            depth * 2**bits,
        )
        logits = clocked(network, test.images, lengths, 2**bits, half_tick)
        agreements = int((logits.argmax(1) == relu).sum())
        assert abs(row["agreements"] - agreements) <= 2  # float32 beside float64
        found[half_tick] = row["agreements"]
    assert abs(found[False] - found[True]) > 5


def test_quantiles_for_a_clock_are_chosen_on_validation_images_alike_or_not(
    splits, lab, monkeypatch
):
    seen = []

    def choose(network, candidates, images, bits, alike):
        seen.append((network, candidates, images, bits, alike))
        return [0.9, 0.98]

    monkeypatch.setattr(time_resolution, "clock_quantiles", choose)
    for policy in time_resolution.TUNED:
        row = time_resolution.measure(lab, 3, policy, True, 4)
        assert row["quantiles"] == [0.9, 0.98]
        own = [lab.candidates(3)[q][n] for n, q in enumerate((0.9, 0.98))]
        assert row["windows"] == own
    subject = lab.network(3), lab.candidates(3), splits[1].images, 4
    assert seen == [(*subject, True), (*subject, False)]


def test_every_fault_has_its_level_and_its_seed_in_windows_of_its_policy(splits, lab, monkeypatch):
    seen, converted = [], []

    def rule(fault):
        def drawn(*arguments):
            *_, level, generator = arguments
            seen.append((fault, level, generator.initial_seed()))
            return crossing

        return drawn

    def converting(network, lengths):
        converted.append(lengths)
        return convert(network, lengths)

    for fault in ("jitter", "loss", "mismatch"):
        monkeypatch.setattr(robustness, fault, rule(fault))
    monkeypatch.setattr(robustness, "convert", converting)
    faults = (("jitter", 0.1, 3), ("loss", 0.2, 4), ("mismatch", 0.3, 5))
    policies = ("calibrated", "automatic")
    for (fault, level, seed), policy in itertools.product(faults, policies):
        row = robustness.measure(lab, 3, policy, fault, level, seed)
        assert row["n_test"] == N_TEST
    assert seen == [what for what in faults for _ in policies]
    assert converted == 3 * [lab.windows(3, policy) for policy in policies]
    assert converted[0] != converted[1]


@pytest.mark.parametrize(
    ("fault", "axis"), [("weights, a scale per layer", None), ("weights, a scale per neuron", 0)]
)
def test_coarse_weights_have_a_scale_per_layer_or_per_neuron(splits, lab, fault, axis):
    network, bits = lab.network(3), 3
    row = robustness.measure(lab, 3, "calibrated", fault, bits, None)
    steps = 2 ** (bits - 1) - 1
    coarse = []
    for weight in network.weights:
        weight = weight.numpy().astype(float)
        scale = np.abs(weight).max(axis) / steps
        coarse.append(np.round(weight / scale) * scale)
    logits = layers(ReluNetwork(coarse, [b.double() for b in network.biases]), splits[2].images)[-1]
    relu = layers(network, splits[2].images)[-1].argmax(1)
    assert abs(row["agreements"] - int((logits.argmax(1) == relu).sum())) <= 2


def test_windows_are_judged_on_test_images_and_checked_on_validation_images(splits, lab):
    _, validation, test = splits
    network, lengths = lab.network(3), lab.windows(3, "automatic")
    counted = {}
    for name, split in (("test", test), ("validation", validation)):
        relu = layers(network, split.images)[-1].argmax(1)
        clip = layers(network, split.images, lambda x, n: np.minimum(x, [9, *lengths][n]))
        counted[name] = int((clip[-1].argmax(1) == relu).sum()), clip
    plain, scaled = (
        adaptive_windows.measure(lab, 3, policy) for policy in ("automatic", "normalised:automatic")
    )
    for row in (plain, scaled):
        assert (row["n_test"], row["n_validation"]) == (N_TEST, N_VALIDATION)
        assert abs(row["agreements"] - counted["test"][0]) <= 1
        assert abs(row["validation_agreements"] - counted["validation"][0]) <= 1
        spikes = [int((x > 0).sum()) for x in counted["test"][1][1:-1]]
        assert row["spikes"] == spikes
        assert row["quantile"] == lab.automatic_quantile(3)
    assert counted["test"][0] != counted["validation"][0]
    assert (plain["windows"], plain["latency"]) == (lengths, pytest.approx(1 + sum(lengths)))
    assert (scaled["windows"], scaled["latency"]) == ([1.0, 1.0], 3.0)
    assert adaptive_windows.measure(lab, 3, "calibrated")["quantile"] is None


def test_promised_answers_count_what_has_fired_in_full_and_potentials_what_has_come_so_far():
    """The window is [1, 5); neuron 0 fires at 2 and neuron 1 at 4, weights 1, 2 and 0, 5.

    Until 4 the potential of class 0 is t - 1.5 and that of class 1 2 t - 5: it leads until 3.5.
    From 2 on 3.5 and 5 are promised, so class 1 leads; and nothing can change that.
    """
    network = ReluNetwork([[[3.0, 1.0]], [[1.0, 2.0], [0.0, 5.0]]], [[0.0, 0.0], [0.5, -1.0]])
    snn = convert(network, [4.0])
    found = early_decision.moments(snn, closed_form(snn, torch.ones(1, 1)), torch.tensor([1]))
    assert [row["fraction"] for row in found] == pytest.approx(np.linspace(0, 1, 51))
    for row in found:
        t = row["t"]
        assert t == pytest.approx(1 + 4 * row["fraction"]) and row["latency"] == 5
        assert row["promised_correct"] == row["promised_final"] == (t >= 2)
        assert row["potential_correct"] == (t > 3.5)
        assert row["certain"] == row["certain_final"] == (t >= 2)
        assert row["spikes"] == (t >= 2) + (t >= 4)
        assert row["n_test"] == 1


def test_early_answers_are_those_in_the_windows_of_the_policy(lab):
    for policy in early_decision.POLICIES:
        found = early_decision.measure(lab, 3, policy)
        assert found[0]["latency"] == pytest.approx(1 + sum(lab.windows(3, policy)))
        assert len(found) == 51 and found[0]["n_test"] == N_TEST


def test_normalisation_is_of_the_network_and_by_its_training_images(splits, lab):
    network, test = lab.network(3), splits[2]
    found = layer_normalisation.measure(lab, 3, True)
    kinds = {kind: [row for row in found if row["kind"] == kind] for kind in ("layer", "network")}
    lengths = largest(network, splits[0].images)
    scale = [1.0, *lengths]
    for n, row in enumerate(kinds["layer"]):
        weight = network.weights[n].abs().max().item()
        assert row["layer"] == n + 1 and row["window"] == pytest.approx(lengths[n], rel=1e-5)
        assert row["window_after"] == pytest.approx(1, rel=1e-5)
        assert row["largest_weight"] == weight
        after = weight * scale[n] / scale[n + 1]
        assert row["largest_weight_after"] == pytest.approx(after, rel=1e-5)
    assert [row["dtype"] for row in kinds["network"]] == ["float64", "float32"]
    for row in kinds["network"]:
        assert row["latency"] == pytest.approx(1 + sum(lengths), rel=1e-5)
        assert row["latency_after"] == 3 and row["agreements"] == N_TEST
        low, high = (0, 1e-13) if row["dtype"] == "float64" else (1e-9, 1e-5)
        assert low < row["relative_error"] < high
    values = layers(network, test.images)[:-1]
    factors = [row["factor"] for row in found if row["kind"] == "sample"]
    scales = [x.max(1) - x.min(1) for x in values]
    scales = [np.where(scale > 0, scale, 1) for scale in scales]  # of an image without any spike
    expected = [np.quantile(scale, (0.05, 0.5, 0.95)) for scale in scales]
    assert np.allclose(factors, expected)


def test_variants_of_a_cause_are_what_their_names_say(splits, lab):
    network, test = lab.network(3), splits[2]
    rows = causes.every_cause(lab, network)
    relu = layers(network, test.images)[-1].argmax(1)

    def agreements(logits) -> int:
        return int((logits.argmax(1) == relu).sum())

    calibrated = largest(network, splits[0].images)
    fitted = windows.quantile(network, splits[0].images, 0.99)
    names = {"ticks": (calibrated, 0), "half tick": (calibrated, 1)}
    names["half tick, 99 % windows"] = fitted, 1
    seen = set()
    for row in rows:
        cause, variant = row["cause"], row["variant"]
        if cause == "time resolution":
            lengths, half_tick = names[variant]
            logits = clocked(network, test.images, lengths, 2 ** row["bits"], half_tick)
            assert abs(row["agreements"] - agreements(logits)) <= 2
        if cause == "short windows":
            assert variant == ("fixed" if row["t_max"] else "calibrated")
            longest = [np.inf, *([row["t_max"]] * 2 if row["t_max"] else calibrated)]
            clip = layers(network, test.images, lambda x, n, t=longest: np.minimum(x, t[n]))
            assert abs(row["agreements"] - agreements(clip[-1])) <= 1
        if cause == "window growth":
            assert row["b1_windows"] == pytest.approx(calibrated, rel=1e-5)
            assert row["windows"] == windows.safe(network)
        seen.add((cause, variant, row["dtype"], row.get("bits"), row.get("t_max")))
    premature = {row["variant"]: row for row in rows if row["cause"] == "premature"}
    assert [sum(row["premature"]) > 0 for row in premature.values()] == [True, False, False, False]
    assert sum(premature["guard"]["held_back"]) > 0
    assert sum(premature["no guard"]["thresholds_below_rest"]) > 0
    assert sum(premature["B1"]["thresholds_below_rest"]) == 0
    assert len(seen) == len(rows) == 4 + 11 + 4 + 6 + 8 + 30


def test_untrained_networks_are_given_the_windows_of_their_neuron(splits, lab):
    rows = causes.untrained_growth(lab, 2)
    network = causes.random_network([784, 400, 10], seed=0)
    lengths = {"alpha": windows.safe(network), "B1": largest(network, splits[0].images)}
    assert len(rows) == 2 * 2 * 4
    for row in rows:
        neuron, time = row["variant"].split(", ")
        assert row["windows"] == pytest.approx(lengths[neuron], rel=1e-5)
        assert time in ("absolute", "window") and row["n_test"] == N_TEST
