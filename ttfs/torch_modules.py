"""What one module of a torch model is to a spiking network, and why it may be refused."""

import copy

import torch
from torch import nn

from ttfs import InputError
from ttfs.affine import Affine
from ttfs.steps import is_standardisation, step_of

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
POOLS = (nn.MaxPool1d, nn.MaxPool2d)
ALONE = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity)  # in eval mode
MEANS = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
KNOWN = (*WEIGHTED, *NORMS, *POOLS, *ALONE, *MEANS, nn.Flatten, nn.ReLU)
DIMENSIONS = {1: (nn.Conv1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d)}
DIMENSIONS |= {2: (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.BatchNorm2d)}

NO_REMEDY = "write the model as nn.Sequential of " + ", ".join(
    ("Linear", "Conv1d/2d", "BatchNorm1d/2d", "AvgPool", "MaxPool", "Flatten", "Dropout", "ReLU")
)
REMEDIES = {
    "GELU": "train with nn.ReLU() in its place: a spike's time carries max(0, x), no other curve",
    "Softmax": "leave it out: the largest output potential is the largest probability",
    "LayerNorm": "use nn.BatchNorm1d, which is linear after training",
    "AdaptiveAvgPool2d": "use nn.AdaptiveAvgPool2d(1), or nn.AvgPool2d with a kernel_size",
    "AdaptiveAvgPool1d": "use nn.AdaptiveAvgPool1d(1), or nn.AvgPool1d with a kernel_size",
    "AdaptiveMaxPool2d": "use nn.MaxPool2d with a kernel_size",
    "AdaptiveMaxPool1d": "use nn.MaxPool1d with a kernel_size",
    "Conv2d": "use padding_mode='zeros'",
    "Conv1d": "use padding_mode='zeros'",
    "BatchNorm1d": "use track_running_stats=True: without, it never becomes linear",
    "BatchNorm2d": "use track_running_stats=True: without, it never becomes linear",
    "Flatten": "use nn.Flatten(1): images of a batch must stay apart",
    "Normalize": "give it a mean and a std for each channel",
    "LSTM": "there is no spike code for recurrent networks here; use layers that feed forward",
}
SAME_REMEDY = {
    "GELU": ("LeakyReLU", "SiLU", "ELU", "Tanh", "Sigmoid", "Softplus", "ReLU6", "PReLU", "Mish"),
    "Softmax": ("LogSoftmax",),
    "LayerNorm": ("GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "RMSNorm"),
    "LSTM": ("GRU", "RNN"),
}
REMEDIES |= {name: REMEDIES[key] for key, names in SAME_REMEDY.items() for name in names}
REMEDIES_BY_PREFIX = {  # of classes that torch makes of others
    "Parametrized": "call torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')",
    "Lazy": "give the model one input, and it knows its sizes",
}


def computes(module: nn.Module) -> bool:
    """Return whether a module makes a layer's synapses, alone or with others."""
    return not isinstance(module, (nn.ReLU, nn.Flatten, *POOLS, *ALONE))


def role(module: nn.Module, layer: int, computes: bool) -> str:
    """Return what a module becomes."""
    match module:
        case nn.ReLU():
            return f"spikes of layer {layer}" if computes else "nothing: no value is negative here"
        case nn.MaxPool1d() | nn.MaxPool2d():
            return f"earliest spike of each group, on the way to layer {layer}"
        case nn.Flatten():
            return "nothing: a change of shape"
        case nn.Dropout() | nn.Dropout1d() | nn.Dropout2d() | nn.Identity():
            return "nothing: in eval mode it returns its input"
    return f"synapses of layer {layer}"


def fault(module: nn.Module) -> str:
    """Return why a module cannot be converted, wherever it stands; nothing if it can."""
    found = _unknown(module) or _unusable(module) or _not_affine(module)
    if not found and module.training and _differs_in_training(module):
        return "it does something else in training mode; call model.eval() first"
    return found


def _unknown(module: nn.Module) -> str:
    """Return why a module's kind is refused, if it is."""
    known = type(module) in KNOWN or is_standardisation(module)
    if (known or isinstance(module, nn.Sequential)) and own_calls(module):
        return (
            "it has hooks, or a forward of its own, that do more than its class; remove them "
            "(handle.remove(), nn.utils.remove_weight_norm, nn.utils.prune.remove)"
        )
    if not known:
        return f"it is not known to be affine, a ReLU or a maximum; {_remedy(type(module))}"
    if isinstance(module, POOLS) and module.return_indices:
        return "it returns indices as well; use return_indices=False"
    return ""


def own_calls(module: nn.Module) -> bool:
    """Return whether a module does more than its class says: hooks, or a forward of its own."""
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return any(hooks) or "forward" in vars(module)


def _remedy(kind: type) -> str:
    """Return what to do about a class that is not known."""
    prefixed = (REMEDIES_BY_PREFIX[p] for p in REMEDIES_BY_PREFIX if kind.__name__.startswith(p))
    return REMEDIES.get(kind.__name__) or next(prefixed, NO_REMEDY)


def _unusable(module: nn.Module) -> str:
    """Return what is wrong with a module's numbers, if anything is."""
    for name in ("weight", "bias"):
        if name in vars(module):
            return f"its {name} is computed elsewhere; make it an nn.Parameter"
    for name, number in [*module.named_parameters(), *module.named_buffers()]:
        if number.is_meta or number.layout != torch.strided:
            return f"its {name} holds no plain numbers; load them first"
        if number.is_complex():
            return f"its {name} is complex; a spike's time is real: use real weights"
        if not number.is_floating_point() and name != "num_batches_tracked":
            return (
                f"its {name} is {number.dtype}, which torch does not multiply by inputs; use float"
            )
        if not number.isfinite().all():
            return f"its {name} holds NaN or infinite values; train it again"
    return ""


def _not_affine(module: nn.Module) -> str:
    """Return why a module, as it is set, is no affine operation, a ReLU or a maximum."""
    if isinstance(module, POOLS + (nn.ReLU,)):
        return ""
    try:
        step = step_of(module, (1, 1, 1))
    except (ValueError, TypeError, RuntimeError):
        return f"as it is set it is not an affine operation; {REMEDIES[type(module).__name__]}"
    if step is not None and step.kind == "scale":
        if not all(number.isfinite().all() for number in (step.weight, step.bias)):
            return "its scales are not finite numbers; make its variances, or std, positive"
    return ""


def _differs_in_training(module: nn.Module) -> bool:
    return isinstance(module, NORMS) or (isinstance(module, ALONE) and getattr(module, "p", 0) > 0)


def copied(module: nn.Module) -> nn.Module:
    """Return a copy in eval mode, on the CPU; InputError if there can be none."""
    try:
        return copy.deepcopy(module).cpu().eval()
    except Exception as error:  # whatever objects of other classes raise that the module holds
        why = f"it cannot be copied ({first_line(error)})"
        raise InputError(f"{why}; delete what it holds beside weights and settings") from error


def first_line(error: Exception) -> str:
    """Return what an error says, if that has several lines the first."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def shape_out(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a module's output; InputError if it takes no inputs of this shape."""
    misfit = _misfit(module, shape)
    if misfit:
        raise InputError(misfit)
    if isinstance(module, nn.ReLU):
        return shape
    try:
        if not isinstance(module, POOLS):
            return Affine((), shape).then(module).shape_out
        largest = module(torch.zeros(1, *shape))
    except (InputError, RuntimeError, IndexError, TypeError) as error:
        raise InputError(f"{first_line(error)}; see input_shape, and its own sizes") from error
    if largest.isinf().any():
        raise InputError("some of its groups hold nothing but padding; use less padding")
    return tuple(largest.shape[1:])


def _misfit(module: nn.Module, shape: tuple[int, ...]) -> str:
    """Return why a module does not take inputs of a shape, if it does not."""
    shown = f"there are {' x '.join(map(str, shape))}"
    for dimensions, kinds in DIMENSIONS.items():
        if isinstance(module, kinds) and len(shape) != dimensions + 1:
            names = ("channels", "height", "width") if dimensions == 2 else ("channels", "length")
            return f"it takes ({', '.join(names)}), without the batch; {shown}: see input_shape"
    if isinstance(module, nn.Linear) and len(shape) > 1:
        return f"it takes features, without the batch; {shown}: put nn.Flatten() before it"
    if isinstance(module, NORMS) and module.num_features != shape[0]:
        return f"it takes {module.num_features} channels; {shown}: see input_shape"
    if isinstance(module, nn.BatchNorm1d | nn.Dropout1d) and len(shape) > 2:
        kind = module.__class__.__name__.replace("1", "2")
        return f"it takes features, or (channels, length); {shown}: use nn.{kind}"
    if is_standardisation(module):
        sizes = [torch.as_tensor(number).shape for number in (module.mean, module.std)]
        if len(shape) != 3 or not all(size in ((), (1,), shape[:1]) for size in sizes):
            return (
                f"it takes (channels, height, width), and one mean or one per channel; {shown}: "
                f"see input_shape"
            )
    return ""
