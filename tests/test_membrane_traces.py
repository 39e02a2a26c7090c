"""The membrane potentials that are drawn, and the neurons that are chosen."""

import numpy as np
import pytest
from pipeline import folders, layers, run
from studied import parameters, rows

from experiments import __main__ as experiments


def test_traces_start_at_rest_and_meet_their_threshold_at_the_spike(studied):
    for row in rows(studied, "membrane_traces"):
        times, potential = np.array(row["corners"]).T
        assert (np.diff(times) >= 0).all() and times[-1] == pytest.approx(row["t_max"])
        assert times[0] <= row["t_start"] and potential[0] == 0
        if row["spike"] is not None and row["guard"]:
            met = np.interp(row["spike"], times, potential)
            assert met == pytest.approx(row["threshold"], rel=1e-9)
            assert row["t_min"] <= row["spike"] < row["t_max"]


def test_typical_neurons_fire_in_the_middle_of_their_layers_spikes(studied):
    activations = [a[0] for a in layers(studied, 3, "test")[1:-1]]
    typical = [row for row in rows(studied, "membrane_traces", why="typical") if row["guard"]]
    assert [row["layer"] for row in typical] == [1, 1, 2, 2]
    for row in typical:
        activation = activations[row["layer"] - 1]
        earlier, fired = (activation > activation[row["neuron"]]).sum(), (activation > 0).sum()
        assert earlier == fired // 2


def test_the_neuron_that_is_asked_for_is_traced_while_it_reads_the_image_that_is_asked_for(
    studied, tmp_path
):
    weight, bias = parameters(studied, 3)[0]
    image = layers(studied, 3, "test")[0][7]
    neuron = int((image @ weight + bias).argmax())
    places = [*folders(studied, "models"), *folders(tmp_path, "results", "figures")]
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
def test_neurons_and_images_that_do_not_exist_are_refused(
    studied, tmp_path, capsys, options, words
):
    places = [*folders(studied, "models"), *folders(tmp_path, "results", "figures")]
    with pytest.raises(SystemExit) as stop:
        arguments = ["--dataset", "digits", "--depth", 3, "--jobs", 1, *options, *places]
        experiments.main(["membrane_traces", *map(str, arguments)])
    complaint = capsys.readouterr().err
    assert stop.value.code == 2 and words in complaint and complaint.count("\n") == 1
