import itertools
import json
import os
import struct
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from pipeline import DIGITS, files_below, folders, labels, layers, results, run, train

import convert_all_models
import create_plot
import spike_distribution_plot
import time_axis_schematic
from ttfs import datasets, storage
from ttfs.stages import report

FORMATS = ["png", "pdf", "svg", "eps"]
MEASURING = {  # the scripts that measure, then draw
    "spike_time_distributions": spike_distribution_plot,
    "time_axis_schematic": time_axis_schematic,
}
SCRIPTS = {"depth_comparison": create_plot} | MEASURING
IMAGE = 7


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """Train, convert, and draw every figure in every format, once."""
    root = train(tmp_path_factory.mktemp("out"))
    run(convert_all_models, *DIGITS, *folders(root, "models", "results"))
    places = folders(root, "results", "figures")
    run(create_plot, "--dataset", "digits", *places, "--formats", *FORMATS)
    places += folders(root, "models")
    run(spike_distribution_plot, *DIGITS, *places, "--formats", *FORMATS)
    run(time_axis_schematic, *DIGITS, *places, "--image", IMAGE, "--formats", *FORMATS)
    return root


def figure(root: Path, name: str, suffix: str) -> bytes:
    return (root / "figures" / "digits" / f"{name}.{suffix}").read_bytes()


def rows_by_depth(root: Path, name: str):
    rows = results(root, name)["rows"]
    return {d: list(part) for d, part in itertools.groupby(rows, key=lambda row: row["depth"])}


@pytest.mark.parametrize("name", SCRIPTS)
def test_figure_comes_in_each_format_at_the_width_of_two_columns(out, name):
    png, pdf = figure(out, name, "png"), figure(out, name, "pdf")
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and png.endswith(b"IEND\xaeB\x60\x82")
    width, height = struct.unpack(">II", png[16:24])
    inches = 4.6 if name == "depth_comparison" else 7.2
    assert width == inches * 300 and 300 < height < 2 * width
    assert pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF")
    svg = ElementTree.fromstring(figure(out, name, "svg"))
    assert svg.tag.endswith("svg") and float(svg.get("width").removesuffix("pt")) == pytest.approx(
        inches * 72
    )
    eps = figure(out, name, "eps")
    assert eps.startswith(b"%!PS-Adobe-3.0 EPSF-3.0") and eps.rstrip().endswith(b"showpage")


def test_figures_are_made_in_no_other_format_than_asked_for(out, tmp_path):
    printed = run(create_plot, *folders(out, "results"), *folders(tmp_path, "figures"))
    assert list(files_below(tmp_path)) == ["figures/digits/depth_comparison.png"]
    assert printed.endswith(f"wrote {tmp_path / 'figures/digits/depth_comparison.png'}\n")


@pytest.mark.parametrize("name", SCRIPTS)
def test_figure_redrawn_without_models_or_data_has_the_same_bytes(out, tmp_path, monkeypatch, name):
    def refuse(*args, **kwargs):
        raise AssertionError("images or models are read")

    for module in (report, storage, datasets, SCRIPTS[name]):
        for function in ("load_dataset", "load_networks", "choose_dataset", "load_model"):
            monkeypatch.setattr(module, function, refuse, raising=False)
    places = [*folders(out, "results"), *folders(tmp_path, "figures")]
    if name in MEASURING:
        places += ["--redraw"]
    before = files_below(out)
    run(SCRIPTS[name], *places, "--dataset", "digits", "--formats", *FORMATS)
    expected = {f"{name}.{suffix}": figure(out, name, suffix) for suffix in FORMATS}
    assert files_below(tmp_path / "figures" / "digits") == expected
    assert files_below(out) == before


@pytest.mark.parametrize("name", MEASURING)
def test_measured_again_results_and_figure_have_the_same_bytes(out, tmp_path, name):
    places = [*folders(out, "models"), *folders(tmp_path, "results", "figures")]
    image = ["--image", IMAGE] if name == "time_axis_schematic" else []
    run(SCRIPTS[name], *DIGITS, *places, *image)
    assert figure(tmp_path, name, "png") == figure(out, name, "png")
    assert results(tmp_path, name)["rows"] == results(out, name)["rows"]


def test_histograms_count_every_spike_once_and_silent_neurons_apart(out):
    rows = results(out, "conversion")["rows"]
    audits = {row["depth"]: row["audit"] for row in rows if row["engine"] == "closed-form"}
    by_depth = rows_by_depth(out, "spike_time_distributions")
    assert list(by_depth) == [2, 3]
    for depth, rows in by_depth.items():
        assert [row["layer"] for row in rows] == list(range(1, depth))
        for row, activation, audit in zip(
            rows, layers(out, depth, "test")[1:-1], audits[depth], strict=True
        ):
            fired = activation[activation > 0]
            assert row["n_test"] == 300
            assert row["spikes"] == sum(row["spikes_per_bin"]) == fired.size == audit["spikes"]
            assert row["spikes"] + row["silent"] == activation.size
            length = row["t_max"] - row["t_min"]
            assert length == pytest.approx(audit["window_length"])
            assert row["earliest_spike"] == pytest.approx(row["t_max"] - fired.max())
            bins = len(row["spikes_per_bin"])
            expected = np.histogram(length - fired, bins, (0, length))[0]
            assert np.abs(expected - row["spikes_per_bin"]).sum() <= 2  # one on a bin's edge


def test_time_axis_carries_one_images_activations_in_chained_windows(out):
    by_depth = rows_by_depth(out, "time_axis_schematic")
    assert list(by_depth) == [2, 3]
    for depth, (row,) in by_depth.items():
        pixels, *activations, logits = (value[IMAGE] for value in layers(out, depth, "test"))
        assert (row["image"], row["label"]) == (IMAGE, labels()[IMAGE])
        assert np.abs(np.array(row["pixels"]) - 255 * pixels).max() <= 0.5
        assert row["output_potentials"] == pytest.approx(logits)
        assert row["windows"][0] == [0, 1]
        assert len(row["windows"]) == len(row["spikes"]) == depth
        for n, activation in enumerate([pixels, *activations]):
            t_min, t_max = row["windows"][n]
            times = np.array(row["spikes"][n]["times"])
            assert n == 0 or t_min == row["windows"][n - 1][1]
            assert row["spikes"][n]["size"] == activation.size
            assert row["spikes"][n]["neurons"] == np.flatnonzero(activation).tolist()
            assert np.all((times >= t_min) & (times < t_max))
            assert t_max - times == pytest.approx(activation[activation > 0])


def test_image_of_the_time_axis_depends_on_the_seed(out, tmp_path):
    images = []
    for seed in (0, 0, 1):
        places = [*folders(out, "models"), *folders(tmp_path, "results", "figures")]
        chosen = ["--dataset", "digits", "--depths", 2, "--seed", seed]
        run(time_axis_schematic, *chosen, *places)
        images.append(results(tmp_path, "time_axis_schematic")["rows"][0]["image"])
    assert images[0] == images[1] != images[2]


@pytest.mark.parametrize("newer", ["mnist", "digits"])
def test_auto_draws_the_data_set_that_was_measured_last(out, tmp_path, newer):
    (tmp_path / "results" / "digits").mkdir(parents=True)
    record = results(out, "conversion")
    for dataset in ("mnist", "digits"):
        folder = tmp_path / "results" / ("" if dataset == "mnist" else dataset)
        path = folder / "conversion.json"
        path.write_text(json.dumps(record | {"dataset": dataset}))
        age = 1_700_000_000 + (dataset == newer)
        os.utime(path, (age, age))
    printed = run(create_plot, *folders(tmp_path, "results", "figures"))
    folder = "" if newer == "mnist" else "digits/"
    assert list(files_below(tmp_path / "figures")) == [f"{folder}depth_comparison.png"]
    assert printed.startswith(f"{newer}\n")


def test_no_file_says_where_on_this_machine_it_was_made(out):
    here = [str(out).encode(), str(Path(__file__).parent.parent).encode()]
    for name, contents in files_below(out).items():
        assert not any(path in contents for path in here), name
