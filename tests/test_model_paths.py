"""Where models, results and figures are kept, and what is said of a model that is not there."""

from pathlib import Path

import pytest

from ttfs.storage import ModelFileError, load_network, model_path, output_folder

COMMANDS = {
    "mnist_2_layer": "",
    "mnist_8_layer": "",
    "mnist_3_layer": " --depths 3",
    "mnist_16_layer": " --depths 16",
    "mnist_128_layer": " --depths 128",
    "digits_4_layer": " --dataset digits",
    "fashion_12_layer": " --dataset fashion --depths 12",
    "mnist_lenet": " --network lenet --augment",
    "fashion_lenet": " --dataset fashion --network lenet --augment",
    "other": "",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_missing_model_comes_with_the_command_that_makes_it(tmp_path, name):
    path = tmp_path / f"{name}.pkl"
    with pytest.raises(ModelFileError) as refusal:
        load_network(path)
    command = f"python train_mnist_pytorch.py{COMMANDS[name]} --models {tmp_path}"
    assert str(refusal.value) == f"{path} not found; run `{command}` first"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_damaged_model_comes_with_the_command_that_makes_another(tmp_path, name):
    path = tmp_path / f"{name}.pkl"
    path.write_bytes(b"")
    with pytest.raises(ModelFileError) as refusal:
        load_network(path)
    command = f"python train_mnist_pytorch.py{COMMANDS[name]}"
    again = f"get it again, or train one with `{command}`"
    assert str(refusal.value) == f"{path} is not a model file: it is cut off; {again}"


@pytest.mark.parametrize(
    ("dataset", "network", "folder", "name"),
    [
        ("mnist", "mlp", "", "mnist_4_layer.pkl"),
        ("digits", "mlp", "digits", "digits_4_layer.pkl"),
        ("mnist", "lenet", "lenet", "mnist_lenet.pkl"),
        ("fashion", "lenet", "fashion/lenet", "fashion_lenet.pkl"),
    ],
)
def test_each_data_set_and_kind_of_network_has_its_own_place(dataset, network, folder, name):
    assert output_folder("results", dataset, network) == Path("results", folder)
    assert model_path("models", dataset, 4, network) == Path("models", name)


@pytest.mark.parametrize("depth", [2, 12])
def test_a_network_is_of_full_connections_unless_told(depth):
    assert model_path("models", "mnist", depth) == Path("models", f"mnist_{depth}_layer.pkl")
    assert output_folder("results", "digits") == Path("results", "digits")
