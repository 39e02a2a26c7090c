"""Other people's tools: what they are given, what is counted, and that Brian2 sees our spikes.

Needs requirements-peers.txt: ``make test-peers`` installs it. Without, all of this is skipped.
"""

import re
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import random_network, random_pixels
from pipeline import folders, labels, train
from studied import NEEDS, lab_of, relu_labels, rows

from experiments import __main__ as experiments
from experiments import direct_training, peers, tools, witness
from experiments.codes import rate
from experiments.passes.surrogate import CURRENT, LATENCY, RATE, Surrogate
from experiments.tools import cost
from experiments.tools.brian2_neurons import witnessed
from ttfs import InputError
from ttfs.coding import encode
from ttfs.conversion import convert
from ttfs.export import save_spikes
from ttfs.network import ReluNetwork
from ttfs.simulation import event_driven
from ttfs.windows import calibrated, normalise_layers, quantile

# The tools warn of one another's old ways.
pytestmark = pytest.mark.filterwarnings("default")
ROOT = Path(__file__).resolve().parent.parent
SIZES = [6, 9, 7, 4]
PARTS = ("matrix", "bias")


def test_a_missing_tool_takes_one_line_that_says_what_to_install():
    with pytest.raises(InputError, match=r"^nonsense is not installed: pip install -r req.*peers"):
        tools.needed("nonsense.part")
    with pytest.raises(InputError, match=r"^torch cannot be imported here \(No module.*pip"):
        tools.needed("torch.nonsense")


@pytest.mark.parametrize("name", NEEDS)
def test_an_experiment_that_lacks_its_tool_says_so_before_anything_is_run(
    tmp_path, monkeypatch, capsys, name
):
    train(tmp_path)
    monkeypatch.setitem(sys.modules, NEEDS[name][0], None)
    with pytest.raises(SystemExit) as stop:
        places = folders(tmp_path, "models", "results", "figures")
        experiments.main([name, "--dataset", "digits", "--depths", "2", "3", *places])
    complaint = capsys.readouterr().err
    assert stop.value.code == 2 and complaint.count("\n") == 1
    assert f"{NEEDS[name][0]} is not installed: pip install -r requirements-peers.txt" in complaint


def test_the_network_in_pytorchs_modules_is_the_same():
    network, pixels = random_network(SIZES, seed=1), random_pixels(20, 6)
    found = tools.as_torch(network)(pixels.float())
    torch.testing.assert_close(found.double(), network.logits(pixels), rtol=1e-5, atol=1e-5)


def test_counts_of_modules_are_kept_apart_and_end_with_the_block():
    modules = [torch.nn.ReLU(), torch.nn.Identity()]
    with tools.counted_spikes(modules) as counts:
        modules[0](torch.tensor([1.0, -1.0, 2.0]))
        modules[1](torch.tensor([1.0]))
        modules[1](torch.tensor([1.0]))
    modules[1](torch.tensor([1.0]))
    assert counts == [3, 2]


@pytest.mark.parametrize("tool", peers.PEERS)
def test_with_many_steps_every_tool_comes_close_to_the_relu_network(tool):
    pytest.importorskip(tool.lower(), reason=f"{tool} is not installed: make test-peers")
    network, pixels = random_network(SIZES, seed=1), random_pixels(200, 6).float()
    module = peers.module(tool)
    exact = network.logits(pixels.double())
    for name, setting in module.SETTINGS.items():
        found = module.converted(network, pixels, **setting)
        errors = {
            row.steps: (row.logits - exact).abs().mean().item()
            for row in tools.classify(found, network, pixels, (4, 256))
        }
        if "its own" not in name:  # scales biases wrongly, as its page says
            assert errors[256] < 0.05 < errors[4], name
        again = tools.answer(found, pixels, 256)
        (last,) = tools.classify(found, network, pixels, (256,))
        torch.testing.assert_close(again, last.logits)
        assert last.products == int((pixels > 0).sum()) * SIZES[1]
        assert last.sums == 7 * last.spikes[1] + 4 * last.spikes[2] > 0
        # Each neuron fires its activation in units of the scale, 256 times over.
        if "99.9 %" in name and "per neuron" not in name and "its own" not in name:
            scales = quantile(network, pixels, 0.999)
            activations = zip(network.activations(pixels.double()), scales, strict=True)
            expected = [256 * float((u / scale).sum()) for u, scale in activations]
            np.testing.assert_allclose(last.spikes[1:], expected, rtol=0.1)


@pytest.mark.parametrize("tool", peers.PEERS)
def test_one_batch_says_what_several_say(tool):
    pytest.importorskip(tool.lower(), reason=f"{tool} is not installed: make test-peers")
    network, pixels = random_network(SIZES, seed=1), random_pixels(40, 6).float()
    module = peers.module(tool)
    for setting in module.SETTINGS.values():
        found = module.converted(network, pixels, **setting)
        whole = list(tools.classify(found, network, pixels, (2, 8)))
        parts = [list(tools.classify(found, network, p, (2, 8))) for p in pixels.split(15)]
        for one, several in zip(whole, zip(*parts, strict=True), strict=True):
            torch.testing.assert_close(one.logits, torch.cat([part.logits for part in several]))
            assert one.spikes == [sum(n) for n in zip(*(p.spikes for p in several), strict=True)]


@pytest.mark.parametrize("tool", ["snnTorch", "sinabs"])
def test_neurons_start_at_half_where_the_setting_says_so(tool):
    pytest.importorskip(tool.lower(), reason=f"{tool} is not installed: make test-peers")
    network = ReluNetwork([[[1.0]], [[1.0]]], [[0.0], [0.0]])
    levels = torch.tensor([[0.1], [0.4], [0.6], [1.0]])
    for start, fired in ((0.0, 0), (0.5, 1)):
        # With an activation of 0.6 in units of the scale, the first step brings 0.6 + start.
        found = peers.module(tool).converted(network, levels, start=start, q=1.0)
        (row,) = tools.classify(found, network, levels[2:3], (1,))
        assert row.spikes == [0, fired]


def test_snntorchs_rates_are_ours_where_both_reset_alike():
    pytest.importorskip("snntorch", reason="snnTorch is not installed: make test-peers")
    network, pixels = random_network(SIZES, seed=1), random_pixels(200, 6).float()
    module = peers.module("snnTorch")
    found = module.converted(network, pixels, start=0.5, q=0.999)
    thresholds = quantile(network, pixels, 0.999)
    (theirs,) = tools.classify(found, network, pixels, (64,))
    (ours,) = rate.classify(network, thresholds, pixels, (64,), current=True)
    assert theirs.spikes == ours.spikes and ours.spikes[0] == 0 < min(ours.spikes[1:])
    torch.testing.assert_close(theirs.logits, ours.logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("inputs", [CURRENT, RATE, LATENCY])
@pytest.mark.parametrize("beta", [0.9, 1.0])
def test_surrogate_neurons_are_leaky_integrate_and_fire_neurons(inputs, beta):
    pytest.importorskip("snntorch", reason="snnTorch is not installed: make test-peers")
    network, pixels = random_network(SIZES, seed=1), random_pixels(20, 6)
    through, steps = Surrogate(5, inputs, beta, torch.Generator()), 5
    torch.manual_seed(0)
    found = through.classify(network, pixels)
    torch.manual_seed(0)
    sent = through._coded(pixels).expand(steps, -1, -1).numpy()
    spikes = [0 if inputs == CURRENT else sent.sum()]
    for layer in network.layers[:-1]:
        weight, bias = layer.synapses.matrix().numpy(), layer.synapses.bias().numpy()
        potential, fired = 0.0, []
        for s in sent:
            reset = np.asarray(potential) > 1
            potential = beta * potential + s @ weight + bias - reset
            fired.append((potential > 1).astype(float))
        sent = np.stack(fired)
        spikes.append(sent.sum())
    weight, bias = (getattr(network.layers[-1].synapses, name)().numpy() for name in PARTS)
    np.testing.assert_allclose(
        found.logits.numpy(), sent.mean(0) @ weight + bias, rtol=1e-5, atol=1e-6
    )
    assert found.spikes == spikes and sum(found.spikes[1:]) > 0
    assert found.sums == sum(n * m for n, m in zip(spikes, SIZES[1:], strict=True))
    assert found.products == (int((pixels > 0).sum()) * 9 if inputs == CURRENT else 0)
    assert found.updates == 20 * 5 * (9 + 7 + 4)


def test_pixels_as_rates_and_latencies_are_what_the_words_say():
    pytest.importorskip("snntorch", reason="snnTorch is not installed: make test-peers")
    pixels = torch.tensor([[0.0, 0.25, 0.5, 1.0]])
    torch.manual_seed(0)
    rates = Surrogate(2000, RATE, 1.0, torch.Generator())._coded(pixels)
    assert rates.mean(0)[0].tolist() == pytest.approx([0, 0.25, 0.5, 1], abs=0.03)
    once = Surrogate(9, LATENCY, 1.0, torch.Generator())._coded(pixels)
    assert once.sum(0)[0].tolist() == [0, 1, 1, 1]
    assert once[:, 0, 1:].argmax(0).tolist() == [6, 4, 0]


def test_brian2_sees_the_same_spikes_up_to_its_step():
    pytest.importorskip("brian2", reason="Brian2 is not installed: make test-peers")
    network, pixels = random_network([5, 8, 6, 3], seed=2), random_pixels(1, 5, seed=2)
    lengths = calibrated(network, random_pixels(100, 5))
    snn = convert(normalise_layers(network, lengths), [1.0, 1.0])
    found, largest = event_driven(snn, pixels), []
    for n in (100, 1000, 10_000):
        theirs = witnessed(snn, encode(pixels)[0].numpy(), 1 / n)
        for layer, times in zip(found.spike_times, theirs.spike_times, strict=True):
            np.testing.assert_array_equal(np.isfinite(layer[0].numpy()), np.isfinite(times))
        apart = [
            np.abs(layer[0].numpy() - times)[np.isfinite(times)].max(initial=0)
            for layer, times in zip(found.spike_times, theirs.spike_times, strict=True)
        ]
        largest.append(max(apart))
        assert apart[0] <= 1.01 / n
    assert largest[2] < largest[1] / 5 < largest[0] / 25
    np.testing.assert_allclose(theirs.logits, found.logits[0].numpy(), atol=5e-3)


def test_every_tool_is_judged_on_the_test_images(studied):
    pytest.importorskip("spikingjelly", reason="SpikingJelly is not installed: make test-peers")
    for depth in (2, 3):
        correct = int((relu_labels(studied, depth) == labels()).sum())
        found = rows(studied, "peers", depth=depth)
        assert {row["tool"] for row in found} == {peers.HERE, *peers.PEERS}
        for row in found:
            assert row["n_test"] == 300 and row["seconds"] > 0 < row["relu_seconds"]
            if row["setting"] in peers.ENGINES:
                assert row["snn_correct"] == correct and row["steps"] is None
            if row["setting"] == peers.CLOCK:
                assert row["steps"] in [depth * n for n in peers.TIMES]
            if row["tool"] in peers.PEERS:
                assert row["steps"] in peers.TIMES and row["spikes"][0] == 0
                assert version(row["tool"].lower()) == row["version"]


def test_brian2_agrees_on_trained_networks(studied):
    pytest.importorskip("brian2", reason="Brian2 is not installed: make test-peers")
    found = rows(studied, "witness")
    assert {(row["depth"], row["image"]) for row in found} == {
        (d, k) for d in (2, 3) for k in (0, 1)
    }
    for row in found:
        step = 1 / row["steps_per_window"]
        assert row["differences"][0] <= 1.01 * step
        assert max(row["differences"]) <= 5 * step
        assert sum(row["unmatched"]) <= 0.05 * sum(row["spikes"]) and row["same_label"]
        assert all(spikes > 0 for spikes in row["spikes"])


def test_direct_trainers_are_judged_and_timed(studied):
    pytest.importorskip("snntorch", reason="snnTorch is not installed: make test-peers")
    found = rows(studied, "direct_training")
    assert {row["trainer"] for row in found} == set(direct_training.STYLES)
    lab = lab_of(studied)
    for row in found:
        assert row["seconds"] > 0 and row["n_test"] == 300
        assert row["n_validation"] == len(lab.validation.labels)
        assert len(row["spikes"]) == row["depth"]
        if row["trainer"] in direct_training.BETA:
            assert row["snn_correct"] > 150  # after one epoch; chance is 30


def test_tools_settings_are_those_of_the_committed_requirements():
    theirs, ours = pins(peers.tools.REQUIREMENTS), pins("constraints.txt")
    shared = theirs.keys() & ours.keys() - {"numpy"}
    assert {name: theirs[name] for name in shared} == {name: ours[name] for name in shared}
    assert ours.keys() - {"ruff", "setuptools", "distributed"} <= theirs.keys()
    assert {"snntorch", "spikingjelly", "sinabs", "brian2"} <= theirs.keys()


def test_what_make_runs_beside_the_tools_is_what_needs_them():
    named = re.search(r"^BESIDE_PEERS = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert named.split() == ["benchmarks", *NEEDS]  # which times Brian2 where it is
    for name in NEEDS:
        source = (ROOT / "experiments" / f"{name}.py").read_text()
        assert "experiments.tools" in source or "import tools" in source


def test_the_page_says_how_other_programs_read_the_spikes(tmp_path, monkeypatch):
    pytest.importorskip("brian2", reason="Brian2 is not installed: make test-peers")
    (code,) = re.findall(r"```\n(import brian2.*?)```", (ROOT / "ttfs/README.md").read_text(), re.S)
    network, pixels = random_network([784, 20, 10], seed=1), random_pixels(3, 784)
    found = event_driven(convert(network, calibrated(network, pixels)), pixels)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results" / "look" / "spikes_2_layer_event-driven"
    save_spikes(path, found, torch.arange(3))
    names = {}
    exec(code, names)
    brian = names["brian2"]
    monitor = brian.SpikeMonitor(names["group"])
    brian.Network(names["group"], monitor).run(1.1 * brian.second, namespace={})
    times = np.full(784, np.inf)
    times[monitor.i[:]] = monitor.t[:] / brian.second
    np.testing.assert_allclose(times, encode(pixels)[0].numpy(), atol=2e-4)
    silent = found.spike_times[0].isinf()
    assert ((names["idx"] == -1).sum(1) == silent.sum(1).numpy()).all()
    assert (np.diff(np.where(np.isinf(names["time"]), 1e9, names["time"]), axis=1) >= 0).all()
    for k, i in zip(*(names["idx"] >= 0).nonzero(), strict=True):
        assert names["time"][k, i] == found.spike_times[0][k, names["idx"][k, i]]


def pins(name: str) -> dict[str, str]:
    """Return the versions that a requirements file names."""
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return dict(line.split("==") for line in lines if "==" in line)


def peer(**changes):
    own = {"depth": 8, "tool": "snnTorch", "setting": "some", "version": "1.2", "steps": 16}
    own |= {"n_test": 100, "snn_correct": 97, "n_validation": 1000, "validation_correct": 979}
    own |= {"relu_validation_correct": 980, "spikes": [1100, 2000, 400], "seconds": 6.0}
    return own | {"relu_seconds": 2.0, "megabytes": 7} | changes


def test_a_tools_best_setting_is_as_right_as_relu_and_then_the_quickest():
    slow, quick = peer(seconds=9.0, validation_correct=980), peer(seconds=8.0)
    wrong = peer(seconds=1.0, validation_correct=978, snn_correct=100)
    assert peers.best([slow, wrong, quick]) == quick
    wronger = peer(validation_correct=900, seconds=0.5, snn_correct=101)
    assert peers.best([wronger, wrong]) == wrong


def test_the_table_of_peers_shows_each_number_in_its_column():
    here = peer(tool=peers.HERE, version=None, steps=None, setting=peers.CLOSED)
    found = peers.table([here, peer(), peer(seconds=8.0), peer(megabytes=None, depth=2)])
    assert [line[:3] for line in found.lines] == [
        ["8", "this project", peers.CLOSED],
        ["8", "snnTorch 1.2", "some"],
        ["2", "snnTorch 1.2", "some"],
    ]
    cells = dict(zip(found.header, found.lines[1], strict=True))
    assert (cells["steps"], cells["as right as ReLU"]) == ("16", "yes")
    assert cells["test accuracy (95 % interval)"].startswith("97.00 %")
    assert (cells["input spikes"], cells["hidden spikes"]) == ("11", "24")
    assert (cells["time / ReLU's"], cells["memory (MB)"]) == ("3.0", "7")
    assert found.lines[0][3] == "-" and found.lines[2][-1] == "-"


def test_steps_are_the_fewest_that_validation_images_need():
    labels_ = torch.zeros(1000, dtype=torch.int64)

    def classify(x, times):
        for steps in times:
            right = torch.arange(len(x)) >= {1: 500, 2: 20, 4: 21}.get(steps, 10)
            logits = torch.stack([right.double(), 0.5 * torch.ones(len(x))], 1)
            yield peers.Coded(logits, [0], steps, 0, 0, 0, 0)

    way = peers.Way(classify, None)
    images = torch.zeros(1000, 1)
    assert peers.steps_needed(way, images, labels_, 991) == 8
    assert peers.steps_needed(way, images, labels_, 981) == 2
    assert peers.steps_needed(way, images, labels_, 1000) == 8  # none is enough: the best
    once = peers.Way(lambda x, times: classify(x, [1]), None)
    assert peers.steps_needed(once, images, labels_, 501) == 1
    assert peers.steps_needed(once, images, labels_, 1000) == 1


def test_time_is_taken_in_turns():
    calls = []
    one, relu = (lambda x, name=name: calls.append((name, len(x))) for name in ("one", "relu"))
    assert min(cost.timed(one, relu, torch.zeros(7, 1))) >= 0
    assert calls == [("one", 7), ("relu", 7)] * (cost.ROUNDS + 1)  # the first does not count


def test_memory_is_that_of_the_answer():
    def answer(x, steps):
        return np.ones(len(x) * 1000)  # 8 MB for a thousand images

    found = cost.memory_of(answer, torch.zeros(10_000, 1))
    if found is None:
        pytest.skip("only Linux tells how much memory a process has had")
    assert 70 < found < 100


def test_the_table_of_direct_trainers_shows_the_best_setting_of_each():
    own = {"depth": 2, "trainer": direct_training.QUANTISED, "inputs": CURRENT, "steps": 4}
    own |= {"n_test": 100, "n_validation": 1000, "spikes": [500, 2000], "seconds": 90.0}
    good = own | {"setting": 4, "validation_correct": 981, "snn_correct": 97}
    worse = own | {"setting": 8, "validation_correct": 980, "snn_correct": 99}
    found = direct_training.table([worse, good])
    (cells,) = (dict(zip(found.header, line, strict=True)) for line in found.lines)
    assert cells["test accuracy (95 % interval)"].startswith("97.00 %")
    assert (cells["steps"], cells["hidden spikes per image"], cells["input spikes"]) == (
        ("4", "20", "5")
    )
    assert (cells["validation"], cells["training (minutes)"]) == ("98.10", "1.5")


def test_the_table_of_the_witness_has_the_largest_differences_of_the_images():
    own = {"depth": 3, "steps_per_window": 100, "spikes": [10, 20], "same_label": True}
    one = own | {"image": 0, "unmatched": [0, 1], "differences": [0.01, 0.03], "logit_error": 0.1}
    two = own | {"image": 1, "unmatched": [1, 0], "differences": [0.005, 0.04]}
    found = witness.table([one, two | {"logit_error": 0.2, "same_label": False}])
    assert list(found.lines) == [
        ["3", "100", "1.00", "4.00", "4.00", "4.0e-02", "2 of 60", "2.0e-01", "1 of 2"]
    ]
