"""The certificate adds up all batches, against float64, and its verdict keeps to its limits."""

import math

import pytest
import torch
from oracles import random_network, random_pixels

from ttfs import certificate as module
from ttfs.certificate import LOGIT_LIMIT, _Worst, certificate, verdict
from ttfs.conversion import convert
from ttfs.exactness import CERTIFIED, LayerError, exact_layers, layer_errors, relu_reference, ulp
from ttfs.network import ReluNetwork
from ttfs.simulation import closed_form, simulator
from ttfs.windows import calibrated

SIZES = [30, 20, 10, 4]
WAYS = [(dtype, engine) for dtype in ("float64", "float32", "bfloat16") for engine in CERTIFIED]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(module, "BATCH", 7)


def converted(shortened=1.0):
    """Return a network, its conversion with windows that are so much too short, and images."""
    network, pixels = random_network(SIZES), random_pixels(24, SIZES[0])
    lengths = calibrated(network, pixels)
    return network, convert(network, [shortened * length for length in lengths]), pixels


def one_layer(error=(0.0,), bound=(1.0,), local_error=(0.0,), local_bound=(1.0,)):
    """Return the errors of one image in a layer of as many neurons as there are numbers."""
    values = (error, bound, local_error, local_bound)
    return LayerError(*(torch.tensor([value], dtype=torch.float64) for value in values))


@pytest.mark.parametrize(
    ("errors", "broken"),
    [
        ({}, 0),
        ({"error": (2.0,)}, 1),
        ({"local_error": (2.0,)}, 1),
        ({"error": (2.0,), "local_error": (2.0,)}, 1),
        ({"error": (1.0,), "local_error": (1.0,)}, 0),
        ({"error": (math.nan,)}, 1),
    ],
)
def test_an_error_above_either_bound_counts_once(errors, broken):
    worst = _Worst()
    worst.add(one_layer(**errors), 5.0, 1)
    assert worst.broken == broken


def test_the_largest_of_every_batch_and_neuron_is_kept_and_each_broken_bound_counted():
    worst = _Worst()
    worst.add(one_layer((3.0, 1.0), (2.0, 4.0), (0.5, 0.25), (8.0, 1.0)), 6.0, 2)
    worst.add(one_layer((1.0, 7.0), (0.5, 1.0), (0.75, 0.0), (1.0, 2.0)), 5.0, 2)
    row = worst.row(1.5, torch.float32)
    assert row == {
        "broken": 3,
        "largest_activation": 6.0,
        "largest_error": 7.0,
        "bound": 4.0,
        "local_error": 0.75,
        "local_bound": 8.0,
        "error_99.9_percent": 3.0,  # the third smallest of the four
        "relative_error": 7 / 6,
        "ulp": 2.0**-23,
        "error_ulp": 7 * 2.0**23,
    }


def test_an_error_that_overflowed_has_no_number_and_an_activation_of_zero_no_relative_error():
    worst = _Worst()
    worst.add(one_layer((math.inf,), (math.inf,)), 2.0, 1)
    row = worst.row(1.0, torch.float32)
    assert [row[key] for key in ("largest_error", "bound", "relative_error")] == [None] * 3
    assert row["largest_activation"] == 2.0 and row["broken"] == 0
    worst = _Worst()
    worst.add(one_layer((0.5,)), 0.0, 1)
    assert worst.row(1.0, torch.float32)["relative_error"] == 0.0


@pytest.mark.parametrize("n_images", [1, 250, 1000])
def test_the_quantile_is_the_least_error_that_999_of_1000_do_not_exceed(n_images):
    errors = torch.rand(n_images, 3, generator=torch.Generator().manual_seed(1))
    worst = _Worst()
    for part in errors.split(100):
        worst.add(LayerError(part, part, part, part), 1.0, n_images)
    ordered = errors.flatten().sort().values
    expected = ordered[max(1, int(0.999 * len(ordered))) - 1].item()
    assert worst.row(1.0, torch.float32)["error_99.9_percent"] == expected


def test_the_quantile_may_come_in_the_last_batch():
    worst = _Worst()
    for errors in (torch.arange(2996.0), torch.tensor([7e3, 8e3, 9e3]), torch.tensor([6e3])):
        part = errors[:, None]
        worst.add(LayerError(part, part, part, part), 1.0, 3000)
    assert worst.row(1.0, torch.float32)["error_99.9_percent"] == 6e3  # the fourth largest


def test_there_is_a_row_per_way_and_layer_and_only_the_output_has_labels():
    network, snn, pixels = converted()
    rows = certificate(network, snn, pixels, WAYS)
    keys = [(row["dtype"], row["engine"], row["layer"], row["output"]) for row in rows]
    assert keys == [(*way, n, n == 3) for way in WAYS for n in (1, 2, 3)]
    assert all(("agreements" in row) == ("n_test" in row) == row["output"] for row in rows)
    assert {row["n_test"] for row in rows if row["output"]} == {24}


def test_every_batch_counts_towards_the_labels_that_agree():
    network, snn, pixels = converted(shortened=0.3)
    rows = certificate(network, snn, pixels, [("float64", "closed-form")])
    same = closed_form(snn, pixels).predictions == network.logits(pixels).argmax(1)
    counts = [int(part.sum()) for part in same.split(7)]
    assert len(counts) == 4 and all(0 < count for count in counts) and not same.all()
    assert rows[-1]["agreements"] == sum(counts)


def test_every_batch_is_reported_when_it_is_done():
    network, snn, pixels = converted()
    seen = []
    certificate(network, snn, pixels, WAYS[:2], seen.append)
    assert seen == [7, 7, 7, 3]


@pytest.mark.parametrize("way", WAYS, ids=":".join)
def test_errors_are_those_beside_the_float64_network_on_the_original_pixels(way):
    network, snn, pixels = converted()
    *hidden, output = certificate(network, snn, pixels, [way])
    dtype = getattr(torch, way[0])
    batches = [simulator(way[1])(snn, part) for part in pixels.to(dtype).split(7)]
    layers = zip(*([*batch.time_left, batch.logits] for batch in batches), strict=True)
    exact = [*network.activations(pixels), network.logits(pixels)]
    found = [torch.cat(parts) for parts in layers]
    for row, expected, actual in zip([*hidden, output], exact, found, strict=True):
        assert row["largest_activation"] == pytest.approx(expected.abs().max().item(), rel=1e-12)
        error = (actual.double() - expected).abs().max().item()
        assert row["largest_error"] == pytest.approx(error, rel=1e-6, abs=1e-14)
        assert row["relative_error"] == row["largest_error"] / row["largest_activation"]
        assert row["error_ulp"] == row["largest_error"] / row["ulp"]
        assert row["broken"] == 0
    if way[0] == "float32":
        assert output["largest_error"] > 1e-9


@pytest.mark.parametrize("engine", CERTIFIED)
def test_bounds_are_those_of_the_engine(engine):
    network, snn, pixels = converted()
    rows = certificate(network, snn, pixels[:7], [("float32", engine)])
    relu = relu_reference(exact_layers(network), pixels[:7])
    simulation = simulator(engine)(snn, pixels[:7].float())
    errors = layer_errors(snn, relu, pixels[:7], simulation, engine)
    bounds = [(layer.bound.max().item(), layer.local_bound.max().item()) for layer in errors]
    assert [(row["bound"], row["local_bound"]) for row in rows] == bounds


def test_the_reference_is_in_float64_even_for_a_network_and_pixels_that_are_not():
    network = random_network(SIZES).changed(lambda value: value.float())
    pixels = random_pixels(5, SIZES[0]).float()
    relu = relu_reference(exact_layers(network), pixels)
    exact = network.changed(lambda value: value.double()).logits(pixels.double())
    torch.testing.assert_close(relu.values[-1], exact, rtol=0, atol=1e-14)
    assert (network.logits(pixels).double() - exact).abs().max() > 1e-9


def test_an_ulp_is_that_of_the_times_that_an_activation_was_decoded_from():
    network, snn, pixels = converted()
    rows = certificate(network, snn, pixels, [("float32", engine) for engine in CERTIFIED])
    units = {(row["engine"], row["layer"]): row["ulp"] for row in rows}
    second, largest = snn.layers[1], [row["largest_activation"] for row in rows[:3]]
    assert units["closed-form:absolute", 2] == ulp(second.t_max, torch.float32)
    assert units["event-driven", 2] == ulp(second.window.length, torch.float32)
    assert units["closed-form", 2] == ulp(largest[1], torch.float32)
    for engine in CERTIFIED:  # the read-out decodes no times
        assert units[engine, 3] == ulp(largest[2], torch.float32)
    assert len(set(units.values())) > 1


def output_row(dtype="float64", engine="closed-form", **changes):
    row = {"depth": 4, "layer": 4, "dtype": dtype, "engine": engine, "output": True}
    return row | {"broken": 0, "agreements": 50, "n_test": 50, "relative_error": 0.0} | changes


@pytest.mark.parametrize(
    ("dtype", "engine", "limit"),
    [
        ("float64", "closed-form", 1e-12),
        ("float64", "closed-form:absolute", 1e-11),
        ("float64", "event-driven", 1e-11),
        *(("float32", engine, 1e-5) for engine in CERTIFIED),
    ],
)
def test_logits_may_be_off_by_the_limit_and_no_more(dtype, engine, limit):
    assert verdict([output_row(dtype, engine, relative_error=limit)]) == []
    above = output_row(dtype, engine, relative_error=1.001 * limit)
    (fault,) = verdict([above])
    assert fault == (
        f"depth 4, layer 4, {dtype}, {engine}: logits off by {1.001 * limit} of the largest"
    )
    assert verdict([above | {"layer": 3, "output": False}]) == []


def test_labels_must_be_equal_in_32_bits_or_more_or_else_in_16_and_logits_finite():
    changes = {"agreements": 47, "relative_error": None}
    for dtype, engine in LOGIT_LIMIT:
        assert verdict([output_row(dtype, engine, **changes)]) == [
            f"depth 4, layer 4, {dtype}, {engine}: 3 predictions differ",
            f"depth 4, layer 4, {dtype}, {engine}: logits off by None of the largest",
        ]
    for dtype in ("float16", "bfloat16"):
        for engine in CERTIFIED:
            in_16_bits = output_row(dtype, engine, **changes)
            assert verdict([output_row(), in_16_bits]) == []
            assert verdict([output_row() | {"depth": 3}, in_16_bits]) == [
                f"depth 4, layer 4, {dtype}, {engine}: 3 predictions differ"
            ]


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("output", [True, False])
def test_a_broken_bound_is_a_fault_in_any_layer_and_precision(dtype, output):
    good = output_row(dtype, output=output)
    assert verdict([good, good | {"broken": 1234, "layer": 2}, good]) == [
        f"depth 4, layer 2, {dtype}, closed-form: 1,234 errors above their bound"
    ]


def test_every_faulty_row_has_its_line():
    rows = [output_row(), output_row(agreements=49), output_row("float32", broken=2)]
    assert len(verdict(rows)) == 2


def test_a_short_window_breaks_bounds_and_the_verdict_says_in_which_layer():
    network, snn, pixels = converted(shortened=0.3)
    rows = certificate(network, snn, pixels, [("float64", "event-driven")])
    faults = verdict([row | {"depth": 3} for row in rows])
    assert any("layer 1" in fault and "above their bound" in fault for fault in faults)
    assert any("layer 3" in fault and "predictions differ" in fault for fault in faults)


def test_a_layer_of_zeros_has_the_ulp_of_one_and_no_error():
    network = ReluNetwork([torch.zeros(30, 3), torch.zeros(3, 2)], [torch.zeros(3), torch.zeros(2)])
    snn, pixels = convert(network, [1.0]), random_pixels(9, 30)
    for row in certificate(network, snn, pixels, [("float32", "closed-form")]):
        assert (row["largest_error"], row["relative_error"], row["error_ulp"]) == (0, 0, 0)
        assert row["ulp"] == 2.0**-23 and row["broken"] == 0
