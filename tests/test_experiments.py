"""Every experiment, run quickly on the digits: files, figures, refusals, what is chosen by what."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from pipeline import folders, results, run
from studied import NEEDS, ONE_IMAGE, OPTIONS, lab_of, rows

from experiments import __main__ as experiments
from experiments import lab, running
from ttfs.conversion import convert
from ttfs.datasets import Split, load_dataset
from ttfs.simulation import closed_form

PAIRED = ("n_test", "relu_correct", "snn_correct", "agreements", "relu_alone_correct")
CHOICES = ("windows", "windows_after", "window", "window_after", "quantile", "quantiles", "latency")
CHOICES += (
    "validation_agreements",
    "validation_correct",
    "epochs",
    "t_max",
    "thresholds_below_rest",
)


@pytest.mark.parametrize("name", OPTIONS)
def test_experiment_writes_its_results_its_table_and_its_figure(studied, name):
    record = results(studied, name)
    assert record["made_by"] == f"experiments {name}"
    assert record["dataset"] == "digits"
    assert (studied / "results" / "digits" / f"{name}.md").read_text().startswith("| ")
    figure = (studied / "figures" / "digits" / f"{name}.png").read_bytes()
    assert figure.startswith(b"\x89PNG") and len(figure) > 10_000
    assert not list((studied / "results" / "digits").glob(".*"))


@pytest.mark.parametrize("name", OPTIONS)
def test_figure_redrawn_from_the_results_alone_has_the_same_bytes(studied, tmp_path, name):
    places = [*folders(studied, "results"), *folders(tmp_path, "figures")]
    run(experiments, name, "--dataset", "digits", "--redraw", *places)
    path = Path("figures") / "digits" / f"{name}.png"
    assert (tmp_path / path).read_bytes() == (studied / path).read_bytes()


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "published_loss"])
def test_nothing_is_chosen_on_test_images(studied, tmp_path, monkeypatch, name):
    """Other test images change what is counted on them, and nothing that was chosen.

    The published loss is the exception: there, test images chose when training stopped.
    """

    def other(dataset, data_dir):
        training, validation, test = load_dataset(dataset, data_dir)
        generator = torch.Generator().manual_seed(1)
        images = torch.rand(test.images.shape, generator=generator)
        return training, validation, Split(images, test.labels.flip(0))

    monkeypatch.setattr(lab, "load_dataset", other)
    running.lab_of.cache_clear()
    places = [*folders(studied, "models"), *folders(tmp_path, "results", "figures")]
    run(experiments, name, "--dataset", "digits", "--jobs", 1, *OPTIONS[name], *places)
    running.lab_of.cache_clear()
    before, after = rows(studied, name), rows(tmp_path, name)
    assert before != after
    seen = 0
    for one, two in zip(before, after, strict=True):
        kept = [key for key in CHOICES if key in one]
        assert {key: one[key] for key in kept} == {key: two[key] for key in kept}
        seen += len(kept)
    assert seen or name in ("robustness", "witness")  # they choose nothing


def test_lab_hands_out_no_test_images(studied):
    own = lab_of(studied)
    given = [own.training, own.validation]
    test = load_dataset("digits")[2].images
    assert len(given[0].labels) == 1297 and len(given[1].labels) == 200
    assert not any("test" in name for name in dir(own) if not name.startswith("_"))
    for split in given:
        assert not (split.images[:, None] == test[None, :5]).all(-1).any()
    with pytest.raises(TypeError, match="not JSON serializable"):
        own.tally(lambda images: images, lambda images, labels: [{"images": images}])
    network = own.network(2)
    assert own.judge(network, partial(closed_form, convert(network, [20.0]))).logits is None
    assert own.shown(3).tolist() == test[3:4].double().tolist()


UNPAIRED = (*ONE_IMAGE, "training_seeds", "early_decision", "spike_codes", *NEEDS)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in UNPAIRED])
def test_paired_counts_are_integers_that_add_up(studied, name):
    counted = [row for row in rows(studied, name) if "relu_alone_correct" in row]
    assert len(counted) > 1
    for row in counted:
        assert all(isinstance(row[key], int) for key in PAIRED)
        difference = row["relu_alone_correct"] - row["snn_alone_correct"]
        assert row["relu_correct"] - row["snn_correct"] == difference
        assert row["n_test"] == 300
        assert 0 <= row["mcnemar_p"] <= 1


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
    studied, tmp_path, capsys, name
):
    record = results(studied, name)
    key = {"membrane_traces": "t_min", "convolutional": "question"}.get(name, "depth")
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
    names = [line.split()[0] for line in printed.splitlines()]
    assert set(OPTIONS) <= set(names) <= {*OPTIONS, *NEEDS, "benchmarks"} and names == sorted(names)
    for line in printed.splitlines():
        assert "?" in line and line.endswith(("minutes)", "minute)", "seconds)"))


def test_an_experiment_that_does_not_exist_is_refused_with_those_that_do(capsys):
    with pytest.raises(SystemExit) as stop:
        experiments.main(["nonsense"])
    complaint = capsys.readouterr().err
    assert stop.value.code == 2 and "robustness" in complaint and complaint.count("\n") == 1
