"""What the benchmarks time and weigh, on small networks, and what they show of hand-made rows."""

import itertools
import sys
from functools import partial

import pytest
import torch
from torch import nn

from experiments import benchmarks, usual_loop
from experiments.benchmarks_figure import draw, table
from experiments.lab import Lab, Setting
from experiments.tools import cost
from ttfs.network import ReluNetwork
from ttfs.stages.results import load_results, save_results

OWN = {"device": "cpu", "threads": 2}
ROWS = [
    {"what": "training", "depth": 8, "images": 55000, "ours": 2.0, "usual": 7.0, "workers": 1}
    | {"share_of_product_rate": 0.31},
    {"what": "closed form", "network": "8 layers", "images": 10000, "ours": 0.2, "relu": 0.19}
    | {"our_mb": 112.0, "batches_mb": 11.0, "relu_mb": 32.0, "kept_mb": 128.0},
    {"what": "events", "network": "8 layers", "neurons": 2800, "images": 10000, "spikes": 4_000_000}
    | {"ours": 2.0, "closed": 0.2},
    {"what": "events", "network": "few spikes, 2 layers", "neurons": 400, "images": 10000}
    | {"spikes": 100_000, "ours": 0.5, "closed": 0.05},
    {"what": "Brian2", "network": "8 layers", "ours": 0.01, "brian2": 0.65},
    {"what": "start", "command": "python create_plot.py --help", "ours": 2.5, "torch": 1.9},
]
for (varied, value), (engine, size) in itertools.product(
    [("width", 50), ("width", 100), ("depth", 2), ("depth", 4), ("batch", 1), ("batch", 10)],
    [("closed form", 1), ("event by event", 20)],
):
    ROWS.append({"what": "growth", "varied": varied, "value": value, "engine": engine})
    ROWS[-1] |= {"ours": 0.01 * size * value, "mb": 1.0 * size * value}
ROWS = [OWN | row for row in ROWS]


@pytest.fixture(scope="module")
def lab(studied):
    return Lab(Setting("digits", str(studied), str(studied / "models"), (2, 3), True))


def test_medians_are_of_calls_that_take_turns_and_the_first_round_does_not_count(monkeypatch):
    clock, order = [0.0], []
    durations = {"a": iter((9.0, 1.0, 5.0, 2.0)), "b": iter((9.0, 4.0, 3.0, 8.0))}
    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock[0])

    def call(name: str) -> None:
        order.append(name)
        clock[0] += next(durations[name])

    found = cost.medians({name: partial(call, name) for name in "ab"}, 3)
    assert found == {"a": 2.0, "b": 4.0}
    assert "".join(order) == "abababab"


def megabytes(held: int, passing: int):
    """Return a call that needs ``passing`` MB, after ``held`` MB that it holds already."""
    own = torch.ones(held, 250_000)
    return lambda: float(torch.ones(passing, 250_000).sum() + own[0, 0])


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how much memory a process had")
def test_memory_is_what_the_call_needs_beyond_what_was_there():
    assert cost.memory_in_a_new_process(megabytes, 50, 20) == pytest.approx(20, rel=0.1)


def test_the_usual_loop_learns_from_every_image_once_an_epoch(lab, monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 10))
    seen, get = [], usual_loop.Pictures.__getitem__
    monkeypatch.setattr(
        usual_loop.Pictures, "__getitem__", lambda self, n: seen.append(n) or get(self, n)
    )
    before = (model(lab.training.images).argmax(1) == lab.training.labels).sum()
    usual_loop.usual_epoch(model, lab.training, 64, 1e-2, 0, "cpu")()
    after = (model(lab.training.images).argmax(1) == lab.training.labels).sum()
    assert sorted(seen) == list(range(1297)) and seen != sorted(seen)
    assert after > 2 * before and after > 0.8 * 1297


def test_pictures_are_the_images_to_a_byte(lab):
    pictures = usual_loop.Pictures(lab.training)
    x, y = pictures[7]
    assert x.shape == (1, 28, 28) and y == lab.training.labels[7]
    assert (x.flatten() - lab.training.images[7]).abs().max() <= 0.5 / 255 + 1e-6


def test_pytorchs_own_modules_say_what_the_network_says(lab):
    network, snn, images = benchmarks.subject(lab, "3 layers")
    model = benchmarks.in_torch(network)
    assert torch.allclose(model(images), network.logits(images), atol=1e-4)
    assert all(part.inplace for part in model if isinstance(part, nn.ReLU))
    assert len(images) == 1000 and len(snn.hidden) == 2


def test_a_lenet_of_pytorchs_own_modules_says_what_the_network_says():
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(3136, 256), nn.ReLU(), nn.Linear(256, 10)),
    )
    network, images = ReluNetwork.from_torch(model, (1, 28, 28)), torch.rand(3, 784)
    found = benchmarks.plain_lenet(network)(images)
    assert torch.allclose(found, model(images.unflatten(1, (1, 28, 28))), atol=1e-5)


def test_every_way_of_answering_gives_the_same_logits(lab):
    ways = ("relu", "ours", "batches", "kept")
    relu, ours, batches, kept = (benchmarks.run_of(lab, "2 layers", way)() for way in ways)
    assert torch.allclose(ours.logits, relu, atol=1e-4)
    assert torch.allclose(batches, relu, atol=1e-4)
    assert torch.allclose(kept[1], relu, atol=1e-4) and len(kept[0]) == 1


def test_events_are_counted_with_the_networks_neurons(lab, monkeypatch):
    monkeypatch.setattr(benchmarks, "medians", lambda calls, *_: dict.fromkeys(calls, 1.0))
    row = benchmarks.events(lab, "2 layers")
    network, _, images = benchmarks.subject(lab, "2 layers")
    assert row["neurons"] == 20 and row["images"] == len(images)
    assert row["spikes"] == int((network.activations(images)[0] > 0).sum())


def test_records_on_a_clock_are_not_run_event_by_event(lab):
    assert lab.records() and not benchmarks.recorded(lab)  # those of the study have two ticks


def test_rows_are_kept_and_shown_with_what_they_are_set_beside(tmp_path):
    path = save_results(tmp_path / "benchmarks.json", "a test", {}, "mnist", ROWS)
    rows = load_results(path, "", benchmarks.COLUMNS)["rows"]
    lines = table(rows).lines
    assert all(len(line) == len(table(rows).header) for line in lines)
    assert [line[0] for line in lines] == [
        "an epoch, 8 layers",
        "closed form, 8 layers",
        "event by event, 8 layers",
        "event by event, few spikes, 2 layers",
        "one image, 8 layers",
        "`python create_plot.py --help`",
    ]
    assert lines[0][1:] == [
        "2 s",
        "DataLoader, ToTensor and Adam, 1 workers",
        "7 s",
        "3.5",
        "31 % of the product rate",
    ]
    assert lines[1][1:] == [
        "200 ms",
        "ReLU in PyTorch",
        "190 ms",
        "0.95",
        "112 MB; in batches 11 MB; ReLU 32 MB, 128 MB with all activations",
    ]
    assert lines[2][1:] == [
        "5,000 per s",
        "closed form",
        "50,000 per s",
        "0.1",
        "0.143 spikes per neuron",
    ]
    assert lines[4][4] == "65.0" and lines[5][5] == "+0.60 s"


def test_figure_has_every_network_and_size_at_its_place():
    figure = draw(ROWS)
    pace, *panels = figure.axes
    points = sorted(tuple(map(float, line.get_xydata()[0])) for line in pace.lines)
    assert points == [(10, 20000), (10, 200000), (400, 5000), (400, 50000)]
    assert {text.get_text() for text in pace.texts} == {"8 layers", "few spikes, 2 layers"}
    times = [line.get_xydata().tolist() for line in panels[0].lines]
    assert times == [[[50, 0.5], [100, 1]], [[50, 10], [100, 20]]]
    memory = [line.get_xydata().tolist() for line in panels[4].lines]
    assert memory == [[[2, 2], [4, 4]], [[2, 40], [4, 80]]]
    assert [axes.get_xlabel() for axes in panels[3:]] == ["Neurons per layer", "Layers", "Images"]
    assert [text.get_text() for text in pace.get_legend().texts] == list(benchmarks.ENGINES)
