"""Torch models that cannot be converted: each fault is named, with its place and a remedy."""

import copy
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torchvision.transforms import Normalize

from ttfs import InputError
from ttfs.network import ReluNetwork
from ttfs.torch_model import check, difference


class Residual(nn.Module):
    """A block with a branch of its own."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def forward(self, x):
        raise AssertionError("nothing may run")


class Doubled(nn.Sequential):
    """A Sequential that does more."""

    def forward(self, x):
        return 2 * super().forward(x)


class Called(nn.Sequential):
    def __call__(self, x):
        return 2 * super().__call__(x)


class Backwards(nn.Sequential):
    def __iter__(self):
        return iter(list(super().__iter__())[::-1])


def dense(*between, last=()):
    """Return a model of 4 features, in eval mode: module 1 comes first between its weights."""
    return nn.Sequential(nn.Linear(4, 4), *between, nn.Linear(4, 2), *last).eval()


def images(*between):
    """Return a model of (1, 4, 4), in eval mode."""
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *between, nn.Conv2d(4, 2, 1)).eval()


def changed(module, change):
    """Return a module after ``change(module)``."""
    change(module)
    return module


def hooked(module, register="register_forward_hook"):
    return changed(module, lambda m: getattr(m, register)(lambda *_: None))


def linear(weight):
    """Return Linear(4, 4) with a weight that may be no parameter."""
    module = nn.Linear(4, 4)
    del module.weight
    module.weight = weight
    return module


def frozen(value, dtype):
    """Return a parameter of one value."""
    return nn.Parameter(torch.full((4, 4), value, dtype=dtype), requires_grad=False)


def normed(name, value, kind=nn.BatchNorm1d, **how):
    """Return a batch normalisation that has one value throughout one of its numbers."""
    return changed(kind(4, **how), lambda norm: getattr(norm, name).data.fill_(value))


NOTHING = changed(linear(nn.Parameter(torch.ones(0, 4))), lambda m: setattr(m, "bias", None))
MODULES = [  # each of them stands between two ReLUs, among layers of 4 features
    (nn.GELU(), "train with nn.ReLU()"),
    (nn.LeakyReLU(), "train with nn.ReLU()"),
    (nn.LSTM(4, 4), "use layers that feed forward"),
    (nn.LayerNorm(4), "use nn.BatchNorm1d"),
    (nn.Softmax(1), "leave it out"),
    (nn.LazyBatchNorm1d(), "give the model one input"),
    (Residual(), "write the model as nn.Sequential of Linear, "),
    (Doubled(nn.ReLU()), "write the model as nn.Sequential of Linear, "),
    (Called(nn.ReLU()), "write the model as nn.Sequential of Linear, "),
    (Backwards(nn.ReLU()), "write the model as nn.Sequential of Linear, "),
    (linear(frozen(torch.nan, torch.float16)), "its weight holds NaN or infinite values; train it"),
    (linear(frozen(torch.inf, torch.float64)), "its weight holds NaN or infinite values; train it"),
    (linear(frozen(1, torch.complex64)), "its weight is complex; .*use real weights"),
    (linear(frozen(1, torch.int64)), "its weight is torch.int64, .*use float"),
    (linear(2 * nn.Linear(4, 4).weight), "its weight is computed elsewhere; make it an nn.Param"),
    (nn.Linear(4, 4, device="meta"), "its weight holds no plain numbers; load them first"),
    (normed("running_var", torch.nan), "its running_var holds NaN or infinite values; train"),
    (normed("running_var", 0.0, eps=0.0), "make its variances, or std, positive"),
    (normed("running_var", -1.0), "make its variances, or std, positive"),
    (nn.BatchNorm1d(4, track_running_stats=False), "use track_running_stats=True"),
    (nn.BatchNorm1d(3), "takes 3 channels; there are 4: see input_shape"),
    (hooked(nn.ReLU()), r"remove them \(handle.remove\(\)"),
    (hooked(nn.Linear(4, 4), "register_forward_pre_hook"), "remove them"),
    (hooked(nn.Sequential(nn.ReLU())), "remove them"),
    (prune.l1_unstructured(nn.Linear(4, 4), "weight", 2), "remove them .*nn.utils.prune.remove"),
    (parametrizations.weight_norm(nn.Linear(4, 4)), "remove_parametrizations.module, 'weight'"),
    (changed(nn.ReLU(), lambda m: setattr(m, "forward", torch.tanh)), "remove them"),
    (changed(nn.ReLU(), lambda m: setattr(m, "last", 2 * nn.Linear(1, 1).weight)), "delete what"),
    (nn.Flatten(0), r"use nn.Flatten\(1\)"),
    (NOTHING, "it has no outputs; give it some"),
    (nn.Linear(3, 4), "takes no inputs of shape .*see input_shape"),
]
IMAGE_MODULES = [  # each of them stands between two ReLUs, among 4 channels of 4 x 4
    (nn.Conv2d(4, 4, 3, padding_mode="circular"), "use padding_mode='zeros'"),
    (nn.Conv2d(4, 4, 9), "takes no inputs of shape .*see input_shape"),
    (nn.MaxPool2d(2, return_indices=True), "use return_indices=False"),
    (nn.MaxPool2d(9), "see input_shape"),
    (nn.MaxPool1d(2), r"takes \(channels, length\), without the batch; there are 4 x 4 x 4: see"),
    (nn.AdaptiveAvgPool2d(2), r"use nn.AdaptiveAvgPool2d\(1\)"),
    (nn.AdaptiveMaxPool2d(2), "use nn.MaxPool2d with a kernel_size"),
    (nn.BatchNorm2d(4, track_running_stats=False), "use track_running_stats=True"),
    (nn.BatchNorm2d(3), "takes 3 channels; there are 4 x 4 x 4: see input_shape"),
    (nn.BatchNorm1d(4), "use nn.BatchNorm2d"),
    (nn.Dropout1d(), "use nn.Dropout2d"),
    (nn.Linear(4, 4), r"put nn.Flatten\(\) before it"),
    (Normalize([0.1], [0.0]), "make its variances, or std, positive"),
    (Normalize([0.1] * 3, [1.0] * 3), "one mean or one per channel; there are 4 x 4 x 4: see"),
    (Normalize([0.1] * 4, [1.0] * 3), "give it a mean and a std for each channel"),
    (Normalize(None, 1.0), "give it a mean and a std for each channel"),
]

RELU, POOL, LAST = nn.ReLU(), nn.MaxPool2d(2), nn.Linear(4, 2)
TURNED = normed("weight", -1.0, nn.BatchNorm2d)
SHARED = nn.Linear(4, 4)
TIED = changed(nn.Linear(4, 4), lambda m: setattr(m, "bias", SHARED.bias))
MODELS = [  # model, shape of its input, place and kind of the fault, remedy
    (Residual(), 4, "Residual", "write the model as nn.Sequential of Linear, "),
    (Doubled(LAST), 4, "Doubled", "write the model as nn.Sequential of Linear, "),
    (hooked(dense(RELU)), 4, "Sequential", "remove them"),
    (changed(dense(RELU), lambda m: m.add_module("3", None)), 4, "3 (NoneType)", "write the model"),
    (dense(), 4, "1 (Linear)", r"put nn.ReLU\(\) between them"),
    (dense(nn.Dropout(), nn.BatchNorm1d(4)), 4, "3 (Linear)", r"put nn.ReLU\(\) between them"),
    (dense(RELU, last=[nn.ReLU()]), 4, "3 (ReLU)", "leave the last ReLU out, or put nn.Linear"),
    (dense(RELU, last=[RELU, nn.Flatten()]), 4, "4 (Flatten)", "leave the last ReLU out"),
    (nn.ReLU(), 4, "ReLU", "put nn.Linear after it"),
    (dense(RELU, nn.BatchNorm1d(4)).train(), 4, "2 (BatchNorm1d)", r"call model.eval\(\) first"),
    (dense(RELU, nn.Dropout()).train(), 4, "2 (Dropout)", r"call model.eval\(\) first"),
    (nn.Sequential(SHARED, RELU, SHARED), 4, "2 (Linear)", r"with 0 \(Linear\).*copy.deepcopy"),
    (nn.Sequential(SHARED, RELU, TIED), 4, "2 (Linear)", r"with 0 \(Linear\).*copy.deepcopy"),
    (images(RELU, TURNED, POOL), (1, 4, 4), "3 (MaxPool2d)", r"put nn.ReLU\(\) right before it"),
    (images(POOL, TURNED, RELU), (1, 4, 4), "1 (MaxPool2d)", r"put nn.ReLU\(\) right before it"),
    (images(RELU, nn.AvgPool2d(2), POOL), (1, 4, 4), "3 (MaxPool2d)", r"put nn.ReLU\(\) right"),
    (images(RELU, nn.Conv2d(4, 4, 1), POOL), (1, 4, 4), "3 (MaxPool2d)", r"put nn.ReLU\(\) right"),
    (
        images(POOL, nn.Flatten(2), nn.BatchNorm1d(4), RELU, nn.Flatten(), nn.Linear(16, 4), RELU),
        *((1, 4, 4), "1 (MaxPool2d)", r"put nn.ReLU\(\) right before it"),
    ),
    (
        images(RELU, POOL, nn.Flatten(2), nn.MaxPool1d(2)),
        *((1, 4, 4), "4 (MaxPool1d)", "put it after both"),
    ),
    (
        nn.Sequential(nn.MaxPool1d(2, padding=1, dilation=2), nn.Conv1d(1, 1, 1)),
        *((1, 1), "0 (MaxPool1d)", "use less padding"),
    ),
]


def refusal(model, shape):
    """Return why a model is refused; no module of it may have run, or have changed."""
    ran = []
    before = [{**vars(module)} for module in model.modules()]
    hook = nn.modules.module.register_module_forward_pre_hook(lambda module, _: ran.append(module))
    try:
        with pytest.raises(InputError) as caught:
            ReluNetwork.from_torch(model, shape)
    finally:
        hook.remove()
    assert not set(ran) & set(model.modules())
    assert before == [{**vars(module)} for module in model.modules()]
    return str(caught.value)


def assert_refused(model, shape, place, remedy):
    message = refusal(model, shape)
    assert message.isprintable() and len(message) < 500
    assert message.startswith(f"the model cannot be converted: {place}: ")
    assert re.search(remedy, message), message


@pytest.mark.parametrize(("module", "remedy"), MODULES)
def test_a_module_that_cannot_be_converted_is_named_with_a_remedy(module, remedy):
    model = dense(nn.ReLU(), module, nn.ReLU())
    assert_refused(model, 4, f"2 ({type(module).__name__})", remedy)


@pytest.mark.parametrize(("module", "remedy"), IMAGE_MODULES)
def test_a_module_of_images_that_cannot_be_converted_is_named(module, remedy):
    model = images(nn.ReLU(), module, nn.ReLU())
    assert_refused(model, (1, 4, 4), f"2 ({type(module).__name__})", remedy)


@pytest.mark.parametrize(("model", "shape", "place", "remedy"), MODELS)
def test_a_module_at_the_wrong_place_is_named_with_a_remedy(model, shape, place, remedy):
    assert_refused(model, shape, place, remedy)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_hooks_that_compute_weights_are_refused():
    for norm in (nn.utils.weight_norm, nn.utils.spectral_norm):
        message = refusal(dense(nn.ReLU(), norm(nn.Linear(4, 4))), 4)
        assert "2 (Linear): it has hooks" in message and "nn.utils.remove_weight_norm" in message


CONVOLUTION = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())
EMPTY = changed(nn.Linear(1, 2), lambda m: setattr(m, "in_features", 0))
WRONG_SHAPES = [
    (dense(nn.ReLU()), (32, 4), "0 (Linear): it takes features, without the batch"),
    (dense(nn.ReLU()), (1, 2, 2), "put nn.Flatten() before it"),
    (dense(nn.ReLU()), 5, "0 (Linear): .* takes no inputs of shape .*; see input_shape"),
    (CONVOLUTION, (32, 1, 6, 6), "0 (Conv2d): it takes (channels, height, width), without the"),
    (CONVOLUTION, (6, 6), "0 (Conv2d): it takes (channels, height, width), without the batch"),
    (CONVOLUTION, (3, 6, 6), "0 (Conv2d): .* to have 1 channels.*; see input_shape"),
    (nn.Sequential(nn.Conv1d(4, 2, 1)), 4, "0 (Conv1d): it takes (channels, length), without"),
    (nn.Sequential(nn.MaxPool1d(2), nn.Linear(2, 2)), (4,), "0 (MaxPool1d): it takes (channels"),
    (CONVOLUTION, None, "input_shape is needed, .* such as (1, 28, 28)"),
    (CONVOLUTION, (1, 0, 6), "input_shape is (1, 0, 6); it is one input's"),
    (CONVOLUTION, (1, -6, 6), "input_shape is (1, -6, 6); it is one input's"),
    (CONVOLUTION, (), "input_shape is (); it is one input's"),
    (CONVOLUTION, (1, 6.0, 6.0), "input_shape is (1, 6.0, 6.0); it is one input's"),
    (dense(nn.ReLU()), 4.0, "input_shape is 4.0; it is one input's"),
    (dense(nn.ReLU()), True, "input_shape is True; it is one input's"),
    (dense(nn.ReLU()), "4", "input_shape is 4; it is one input's"),
    (dense(nn.ReLU()), torch.tensor(4), "input_shape is tensor(4); it is one input's"),
    (dense(nn.ReLU()), np.zeros((300, 4)), "input_shape is .*; it is one input's"),
    (EMPTY, None, "input_shape is 0; it is one input's"),
]


@pytest.mark.parametrize(("model", "shape", "words"), WRONG_SHAPES)
def test_a_wrong_shape_is_refused(model, shape, words):
    message = refusal(model, shape)
    places = [message.find(part) for part in words.split(".*")]
    assert -1 not in places and places == sorted(places), message
    assert message.isprintable() and len(message) < 400


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(), "has no modules"),
        (nn.Sequential(nn.Sequential()), "has no modules"),
        ([np.eye(3)], "list is not a torch.nn.Module"),
        (nn.Linear, "type is not a torch.nn.Module"),
        (nn.Linear(2, 2).state_dict(), "OrderedDict is not a torch.nn.Module"),
    ],
)
def test_what_is_no_model_is_refused(model, words):
    for read in (check, ReluNetwork.from_torch):
        with pytest.raises(InputError, match=words):
            read(model)


def test_all_faults_are_found_together():
    model = nn.Sequential(
        *(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4)),
        nn.Sequential(nn.LayerNorm(4), nn.ReLU()),
        *(nn.BatchNorm1d(4), nn.MaxPool1d(2), Residual(), nn.Linear(4, 2), nn.Softmax(1)),
    )
    places = ["1 (Linear)", "2 (Linear)", "3 (GELU)", "5.0 (LayerNorm)", "6 (BatchNorm1d)"]
    places += ["8 (Residual)", "10 (Softmax)"]
    report = check(model, 4)
    assert [fault.split(":")[0] for fault in report.faults] == places
    assert str(report).count("REFUSED: ") == len(places)
    assert len(str(report).splitlines()) == 2 + len(report.parts) == 14
    message = refusal(model, 4)
    assert all(f"{fault}" in message for fault in report.faults)


def test_what_comes_after_a_missing_relu_is_judged_as_if_it_were_there():
    model = images(nn.MaxPool2d(2), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.MaxPool2d(1))
    faults = check(model, (1, 4, 4)).faults
    assert [fault.split(":")[0] for fault in faults] == ["1 (MaxPool2d)", "4 (MaxPool2d)"]


def test_a_model_that_does_something_else_is_refused():
    hook = nn.modules.module.register_module_forward_hook(lambda module, _, output: 2 * output)
    try:
        with pytest.raises(InputError, match="something else than its modules say: logits differ"):
            ReluNetwork.from_torch(dense(nn.ReLU()))
    finally:
        hook.remove()


def test_a_model_whose_outputs_overflow_is_refused():
    model = dense(nn.ReLU()).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e300)
    with pytest.raises(InputError, match="outputs overflow: .*; scale them down"):
        ReluNetwork.from_torch(model)


def test_a_model_that_fails_or_cannot_be_copied_is_no_defect_of_the_conversion():
    model = dense(nn.ReLU())
    with pytest.raises(InputError, match=r"does not take inputs of shape \(5,\): RuntimeError, "):
        difference(model, model, (5,))
    model.last = 2 * model[0].weight
    with pytest.raises(InputError, match="cannot be copied .*; delete what it holds"):
        ReluNetwork.from_torch(model)
    with pytest.raises(RuntimeError):
        copy.deepcopy(model)


def test_what_a_model_says_against_its_inputs_is_told():
    with pytest.raises(InputError, match=r"shape \(3,\): RuntimeError, .*mat1 and mat2"):
        difference(nn.Linear(4, 2), None, (3,))
