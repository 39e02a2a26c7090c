"""Torch models that are converted: random ones, and every kind that a user may have."""

import collections
import copy
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import random_pixels
from random_models import random_model
from torch import nn
from torchvision.transforms import Normalize, v2

from ttfs import InputError
from ttfs.conversion import convert
from ttfs.network import ReluNetwork
from ttfs.simulation import closed_form, event_driven
from ttfs.torch_model import check
from ttfs.torch_modules import KNOWN
from ttfs.windows import calibrated

FAULT = r"(the model cannot be converted: |; )[\d.]+ \([A-Z]\w+\): "  # place and kind


def expected_logits(model, shape, pixels):
    """Return what a model says in float64, in eval mode, flat."""
    with torch.no_grad():
        found = copy.deepcopy(model).double().eval()(pixels.clone().unflatten(1, shape))
    return found.flatten(1)


def assert_same(network, model, shape, seed=0):
    """Check the network, and both engines, against the model; return the network."""
    pixels = random_pixels(4, math.prod(shape), seed)
    expected = expected_logits(model, shape, pixels)
    largest = expected.abs().max()
    assert (network.logits(pixels) - expected).abs().max() <= 1e-10 * largest
    snn = convert(network, calibrated(network, pixels))
    for engine in (closed_form, event_driven):
        assert (engine(snn, pixels).logits - expected).abs().max() <= 1e-9 * largest, engine
    return network


def state(model):
    """Return all that a conversion must leave as it is."""
    numbers = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [(p.requires_grad, p.dtype, p.grad is None) for p in model.parameters()]
    return numbers, flags, [(m.training, set(vars(m))) for m in model.modules()], str(model)


def assert_unchanged(model, before):
    numbers, *rest = state(model)
    assert rest == list(before[1:]) and numbers.keys() == before[0].keys()
    for name, value in numbers.items():
        assert torch.equal(value.nan_to_num(), before[0][name].nan_to_num()), name


@pytest.mark.filterwarnings("ignore:dropout2d")  # of features: torch's, in every run of the model
@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), wild=st.booleans())
def test_a_random_model_is_converted_exactly_or_refused_by_name(seed, wild):
    """One that was made of what can be converted must be; ``wild`` ones may have faults."""
    model, shape = random_model(seed, wild)
    before = state(model)
    try:
        network = ReluNetwork.from_torch(model, shape)
    except InputError as error:
        assert wild, error
        assert str(error).isprintable() and re.match(FAULT, str(error)), error
    else:
        assert_same(network, model, shape, seed)
    assert_unchanged(model, before)


@pytest.mark.filterwarnings("ignore:dropout2d")
def test_random_models_have_every_module_and_many_faulty_ones_still_convert():
    """Otherwise the test above says little."""
    wild, kinds = collections.Counter(), collections.Counter()
    for seed in range(150):
        report = check(*random_model(seed, wild=True))
        wild["refused" if report.faults else "converted"] += 1
        kinds.update({part.kind for part in check(*random_model(seed, wild=False)).parts})
    assert min(wild["refused"], wild["converted"]) > 40
    assert set(kinds) == {kind.__name__ for kind in KNOWN} | {"Normalize"}
    assert min(kinds.values()) > 1


def norm(kind, channels, negative=False):
    """Return a batch normalisation that has seen data; half of its scales may be negative."""
    module = kind(channels)
    module.running_mean.normal_()
    module.running_var.uniform_(0.3, 2.0)
    nn.init.normal_(module.bias)
    with torch.no_grad():
        module.weight.uniform_(0.5, 1.5)[: channels // 2 if negative else 0] *= -1
    return module


def image_model(*modules, channels=3, first=()):
    """Return a model of (channels, 6, 6): a padded convolution, the modules, and a read-out."""
    torch.manual_seed(1)
    last = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return nn.Sequential(*first, nn.Conv2d(channels, 4, 3, padding=1), *modules, *last)


MEANS, DEVIATIONS = [0.2, 0.5, 0.4], [0.3, 0.2, 0.6]
IMAGES = {
    "standardised": image_model(nn.ReLU(), first=[Normalize(MEANS, DEVIATIONS)]),
    "standardised, version 2": image_model(nn.ReLU(), first=[v2.Normalize(MEANS, DEVIATIONS)]),
    "standardised in place": image_model(
        nn.ReLU(), first=[Normalize(MEANS, DEVIATIONS, inplace=True)]
    ),
    "one mean for all": image_model(nn.ReLU(), first=[Normalize([0.4], [0.2])]),
    "a number as mean": image_model(nn.ReLU(), first=[Normalize(0.4, 0.2)]),
    "means, and one deviation": image_model(nn.ReLU(), first=[Normalize(MEANS, [0.2])]),
    "standardised, then a maximum": image_model(
        nn.ReLU(), first=[Normalize(MEANS, DEVIATIONS), nn.MaxPool2d(3, 1, 1)]
    ),
    "turned over, then a ReLU": image_model(
        nn.ReLU(), first=[Normalize(MEANS, [-0.3] * 3), nn.ReLU()]
    ),
    "maximum before ReLU": image_model(nn.MaxPool2d(2), nn.ReLU()),
    "maximum after ReLU": image_model(nn.ReLU(), nn.MaxPool2d(2)),
    "two maxima around a ReLU": image_model(nn.MaxPool2d(2, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    "overlapping, padded maxima": image_model(nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.ReLU()),
    "dilated maxima": image_model(nn.MaxPool2d(2, 1, 1, dilation=2), nn.ReLU()),
    "maximum, normalised": image_model(nn.MaxPool2d(2), norm(nn.BatchNorm2d, 4), nn.ReLU()),
    "normalised, maximum": image_model(norm(nn.BatchNorm2d, 4), nn.MaxPool2d(2), nn.ReLU()),
    "ReLU, normalised, maximum": image_model(
        nn.ReLU(), norm(nn.BatchNorm2d, 4), nn.Dropout2d(), nn.MaxPool2d(2)
    ),
    "negative scales": image_model(norm(nn.BatchNorm2d, 4, negative=True), nn.ReLU()),
    "negative scales, maximum": image_model(
        norm(nn.BatchNorm2d, 4, negative=True), nn.MaxPool2d(2), nn.ReLU()
    ),
    "ReLU, negative scales, ReLU": image_model(
        nn.ReLU(), norm(nn.BatchNorm2d, 4, negative=True), nn.ReLU(), nn.MaxPool2d(2)
    ),
    "mean, ReLU, maximum": image_model(
        nn.ReLU(), nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.ReLU(), nn.MaxPool2d(2)
    ),
    "ReLU twice": image_model(nn.ReLU(), nn.Identity(), nn.ReLU(inplace=True)),
    "flat maps": nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.MaxPool1d(3, 2), nn.ReLU()),
        *(nn.Conv1d(4, 2, 3, padding="same"), norm(nn.BatchNorm1d, 2), nn.ReLU()),
        *(nn.Flatten(), norm(nn.BatchNorm1d, 14), nn.Linear(14, 3)),
    ),
    "rows as channels": nn.Sequential(nn.Flatten(1, 2), nn.AvgPool1d(2), nn.Conv1d(18, 2, 3)),
    "no weights": nn.Sequential(nn.AvgPool2d(2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
    "no parameters": nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.ReLU(), nn.AvgPool2d(6)),
    "convolution last": nn.Sequential(nn.Conv2d(3, 2, 3, groups=1, dilation=2)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_go_through_the_network_as_through_the_model(name):
    model, shape = IMAGES[name].eval(), (3, 6, 6)
    before = state(model)
    assert_same(ReluNetwork.from_torch(model, shape), model, shape)
    assert_unchanged(model, before)


def mlp(*between, **how):
    """Return a model of 6 features."""
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(6, 5, **how), *between, nn.ReLU(), nn.Linear(5, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_every_precision_are_taken_as_they_are(dtype):
    model = mlp(norm(nn.BatchNorm1d, 5, negative=True)).eval().to(dtype)
    assert_same(ReluNetwork.from_torch(model), model, (6,))


@pytest.mark.parametrize(
    "model", [nn.Linear(6, 2), nn.Sequential(nn.Linear(6, 2)), nn.Sequential(mlp(bias=False))]
)
def test_features_need_no_input_shape(model):
    assert ReluNetwork.from_torch(model).architecture[0] == 6
    assert_same(ReluNetwork.from_torch(model), model, (6,))


@pytest.mark.parametrize(
    "shape",
    [6, (6,), [6], torch.Size([6]), np.int64(6), np.array([6]), torch.zeros(2, 6).shape[1:]],
)
def test_the_shape_may_be_a_number_or_any_sequence(shape):
    report = check(mlp(), shape)
    assert report.input_shape == (6,) and type(report.input_shape[0]) is int
    assert ReluNetwork.from_torch(mlp(), shape).architecture == [6, 5, 3]


def test_training_mode_matters_only_where_it_does_something_else():
    model = mlp(nn.Identity(), nn.Dropout(0.0)).train()
    frozen = mlp(norm(nn.BatchNorm1d, 5)).train()
    frozen[1].eval()
    for found in (model, frozen):
        assert_same(ReluNetwork.from_torch(found), found, (6,))
        assert found.training


def test_the_network_keeps_its_numbers_when_the_model_is_trained_on():
    model = mlp(norm(nn.BatchNorm1d, 5)).eval()
    network, before = ReluNetwork.from_torch(model), copy.deepcopy(model)
    with torch.no_grad():
        for number in (*model.parameters(), *model.buffers()):
            number.zero_()
    logits = assert_same(network, before, (6,)).logits(random_pixels(2, 6))
    assert not logits.requires_grad


def test_random_numbers_and_gradients_are_left_alone():
    model = mlp()
    model(torch.rand(2, 6)).sum().backward()
    before, gradient = torch.get_rng_state(), model[0].weight.grad.clone()
    ReluNetwork.from_torch(model)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(gradient, model[0].weight.grad)


def test_modules_without_weights_may_come_several_times():
    torch.manual_seed(3)
    relu, pool, alone = nn.ReLU(), nn.MaxPool2d(2, 1), nn.Dropout()
    block = nn.Sequential(relu, pool, alone)
    model = nn.Sequential(
        *(nn.Conv2d(1, 3, 3), block, nn.Conv2d(3, 3, 2), alone, pool, relu, nn.Flatten()),
        *(nn.Linear(12, 5), relu, relu, alone, nn.Linear(5, 2)),
    ).eval()
    network = assert_same(ReluNetwork.from_torch(model, (1, 7, 7)), model, (1, 7, 7))
    assert network.architecture == [49, 75, 27, 5, 2]


def test_equal_weights_in_two_modules_are_not_shared():
    first = nn.Linear(3, 3)
    model = nn.Sequential(first, nn.ReLU(), copy.deepcopy(first))
    assert_same(ReluNetwork.from_torch(model), model, (3,))


def test_a_parametrised_module_converts_once_its_weights_are_kept():
    model = mlp()
    nn.utils.parametrizations.weight_norm(model[0])
    nn.utils.parametrize.remove_parametrizations(model[0], "weight")
    assert_same(ReluNetwork.from_torch(model), model, (6,))


def test_a_sequential_of_a_class_of_its_own_is_read_like_any_other():
    class Block(nn.Sequential):
        def __init__(self, n_in, n_out):
            super().__init__(nn.Linear(n_in, n_out), nn.ReLU())

    model = nn.Sequential(Block(4, 5), nn.Sequential(), Block(5, 6), nn.Linear(6, 2))
    network = assert_same(ReluNetwork.from_torch(model), model, (4,))
    assert [layer.made_of for layer in network.layers] == [
        "0.0 (Linear)",
        "2.0 (Linear)",
        "3 (Linear)",
    ]


def columns(text):
    """Return the cells of a report: every column begins where its rule does."""
    header, rule, *lines = text.split("\n")
    starts = [match.start() for match in re.finditer("-+", rule)]
    assert not any(line[start - 2 : start].strip() for line in lines for start in starts[1:])
    ends = [*starts[1:], None]
    return [
        [line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in (header, *lines)
    ]


def test_the_report_says_what_every_module_becomes():
    features = collections.OrderedDict(
        conv=nn.Conv2d(1, 4, 3), pool=nn.MaxPool2d(2), norm=nn.BatchNorm2d(4), relu=nn.ReLU()
    )
    parts = {"features": nn.Sequential(features), "flat": nn.Flatten(), "drop": nn.Dropout()}
    parts |= {"again": nn.ReLU(), "head": nn.Linear(16, 3)}
    report = check(nn.Sequential(collections.OrderedDict(parts)).eval(), (1, 6, 6))
    assert report.faults == []
    assert columns(str(report)) == [
        ["module", "kind", "output", "becomes"],
        ["features.conv", "Conv2d", "4 x 4 x 4", "synapses of layer 1"],
        [
            "features.pool",
            "MaxPool2d",
            "4 x 2 x 2",
            "earliest spike of each group, on the way to layer 2",
        ],
        ["features.norm", "BatchNorm2d", "4 x 2 x 2", "synapses of layer 1"],
        ["features.relu", "ReLU", "4 x 2 x 2", "spikes of layer 1"],
        ["flat", "Flatten", "16", "nothing: a change of shape"],
        ["drop", "Dropout", "16", "nothing: in eval mode it returns its input"],
        ["again", "ReLU", "16", "nothing: no value is negative here"],
        ["head", "Linear", "3", "synapses of layer 2"],
    ]
    made_of = [made_of for _, _, made_of in report.layers]
    assert made_of == ["features.conv (Conv2d), features.norm (BatchNorm2d)", "head (Linear)"]


def test_the_report_of_one_module_has_a_row_without_a_place():
    assert columns(str(check(nn.Linear(3, 2))))[1] == ["-", "Linear", "2", "synapses of layer 1"]


def test_the_report_marks_what_is_refused():
    report = check(nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2)))
    _, first, second, third = columns(str(report))
    assert first[:2] == ["0", "Linear"] and third[:2] == ["2", "Linear"]
    assert second[:2] == ["1", "GELU"] and second[3].startswith("REFUSED: it is not known")
    assert report.layers == [] and report.faults == [f"1 (GELU): {second[3][9:]}"]
