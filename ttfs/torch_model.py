"""What each module of a torch model becomes in a spiking network, or why it can become nothing.

A module between two ReLUs is part of a layer's synapses (``affine``); max-pooling is the earliest
spike of a group, and belongs to the layer that receives it. All else is refused by name and place,
with a remedy, before anything is computed with the model.
"""

import numbers
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ttfs import InputError
from ttfs.affine import Affine, MaxPool
from ttfs.steps import is_standardisation, step_of
from ttfs.torch_modules import (
    ALONE,
    NORMS,
    POOLS,
    WEIGHTED,
    computes,
    copied,
    fault,
    first_line,
    own_calls,
    role,
    shape_out,
)

PROBES, TOLERANCE = 4, 1e-9  # inputs on which a model and what it became are compared


@dataclass
class Part:
    """One module of a model: where it stands, and what it becomes or why it cannot."""

    place: str  # "3.0", as torch names it
    module: nn.Module  # a copy, as soon as nothing is refused
    becomes: str = ""
    refused: str = ""
    shape: tuple[int, ...] = ()  # of its output

    @property
    def name(self) -> str:
        """Place and kind: "3.0 (Conv2d)"."""
        return f"{self.place} ({type(self.module).__name__})" if self.place else self.kind

    @property
    def kind(self) -> str:
        """The module's class."""
        return type(self.module).__name__


@dataclass
class Report:
    """What a model becomes: its modules one by one, and the layers that they make."""

    parts: list[Part]
    input_shape: tuple[int, ...]
    layers: list[tuple[Affine, MaxPool | None, str]]

    @property
    def faults(self) -> list[str]:
        """A line per module that cannot be converted: place, kind, why and what to do."""
        return [f"{part.name}: {part.refused}" for part in self.parts if part.refused]

    def __str__(self) -> str:
        rows = [("module", "kind", "output", "becomes")]
        for part in self.parts:
            what = f"REFUSED: {part.refused}" if part.refused else part.becomes
            rows.append((part.place or "-", part.kind, " x ".join(map(str, part.shape)), what))
        return aligned(rows)


def aligned(rows: list[tuple[str, ...]]) -> str:
    """Return lines of aligned columns, the first row above a rule."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def check(model: nn.Module, input_shape: int | Sequence[int] | None = None) -> Report:
    """Return what every module of a model becomes; the model stays as it is.

    ``input_shape`` is that of one input, without the batch; None: as many numbers as the model's
    first module takes, if that is Linear. A module that cannot be converted is marked, and then
    there are no layers. Shapes are followed only if every module may stand where it does.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"{type(model).__name__} is not a torch.nn.Module: give the model itself")
    parts = list(_parts(model))
    if not parts:
        raise InputError("the model has no modules: there is nothing to convert; give it some")
    _mark_what_is_unknown(parts)
    _mark_what_is_misplaced(parts)
    shape = ()
    if not any(part.refused for part in parts):
        shape = _input_shape(parts, input_shape)
        _follow_shapes(parts, shape)
    refused = any(part.refused for part in parts)
    return Report(parts, shape, [] if refused else _layers(parts, shape))


def _parts(module: nn.Module, place: str = "") -> Iterator[Part]:
    """Yield the modules that a model applies one after the other, with their places.

    A module that is applied twice comes twice.
    """
    if isinstance(module, nn.Sequential) and _is_plain(module):
        for name, child in module._modules.items():
            yield from _parts(child, f"{place}.{name}" if place else name)
    else:
        yield Part(place, module)


def _is_plain(module: nn.Sequential) -> bool:
    """Return whether a Sequential applies its modules, and does nothing else."""
    own = (getattr(type(module), name) for name in ("forward", "__call__", "__iter__"))
    plain = (nn.Sequential.forward, nn.Sequential.__call__, nn.Sequential.__iter__)
    return tuple(own) == plain and not own_calls(module)


def _mark_what_is_unknown(parts: list[Part]) -> None:
    """Mark the modules that cannot be converted wherever they stand."""
    owners = {}
    for part in parts:
        module = part.module
        part.refused = fault(module)
        for number in module.parameters() if not part.refused else ():
            owner = owners.setdefault(id(number), part)
            if owner is not part:
                part.refused = (
                    f"it shares weights with {owner.name}; give it its own, with copy.deepcopy"
                )


def _mark_what_is_misplaced(parts: list[Part]) -> None:
    """Mark the modules that cannot stand where they do, whatever the shapes.

    Every one of them is found: what follows is judged as if the remedy had been taken.
    """
    before, cut = [], None  # the modules since the last ReLU, or since one of an unknown kind
    for part in _reordered(parts):
        if part.refused or isinstance(part.module, nn.ReLU):
            before, cut = [], part
            continue
        part.refused = _misplaced(part.module, before)
        before = [part] if part.refused else [*before, part]
    unknown = parts[-1].refused or (cut is not None and cut.refused)
    if not unknown and not any(computes(part.module) for part in before):
        parts[-1].refused = (
            "the model ends without weights after its last ReLU; its outputs must be potentials, "
            "which no ReLU cuts off: leave the last ReLU out, or put nn.Linear after it"
        )


def _misplaced(module: nn.Module, before: list[Part]) -> str:
    """Return why a module cannot follow those that stand between it and the last ReLU."""
    if isinstance(module, POOLS) and any(computes(part.module) for part in before):
        return (
            "it takes the largest of values that no ReLU has cut off, or that a normalisation has "
            "turned over, and spikes have none such; put nn.ReLU() right before it"
        )
    n_first = _position(before, lambda part: isinstance(part.module, POOLS))
    flattened = any(isinstance(part.module, nn.Flatten) for part in before[n_first:])
    if isinstance(module, POOLS) and flattened:
        return "nn.Flatten stands between it and another maximum; put it after both"
    if isinstance(module, WEIGHTED) and any(isinstance(part.module, WEIGHTED) for part in before):
        return "there is no ReLU between it and the weights before it; put nn.ReLU() between them"
    return ""


def _input_shape(parts: list[Part], input_shape: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return the shape of one input; InputError if it is none, or is needed and not given."""
    if input_shape is None:
        if not isinstance(parts[0].module, nn.Linear):
            raise InputError(
                "input_shape is needed, that of one input without the batch, such as (1, 28, 28)"
            )
        input_shape = parts[0].module.in_features
    try:
        shape = tuple(input_shape)
    except TypeError:  # one number, or nothing that has sizes
        shape = (input_shape,)
    whole = all(isinstance(n, numbers.Integral) and not isinstance(n, bool) for n in shape)
    if not shape or not whole or min(shape) < 1:
        shown = " ".join(str(input_shape).split())[:60]
        raise InputError(f"input_shape is {shown}; it is one input's, such as (1, 28, 28)")
    return tuple(map(int, shape))


def _follow_shapes(parts: list[Part], shape: tuple[int, ...]) -> None:
    """Copy every module and note its output's shape; mark the first that refuses what it gets."""
    for part in parts:
        try:
            part.module = copied(part.module)
            shape = part.shape = shape_out(part.module, shape)
        except InputError as error:
            part.refused = str(error)
        if 0 in part.shape:
            part.refused = "it has no outputs; give it some"
        if part.refused:
            return


def _layers(parts: list[Part], shape: tuple[int, ...]) -> list:
    """Return the layers that modules make, and note what each of the modules becomes."""
    layers, synapses, pool, made_of = [], Affine((), shape), None, []
    for part in _reordered(parts):
        module = part.module
        part.becomes = role(module, len(layers) + 1, bool(made_of))
        if isinstance(module, nn.ReLU) and made_of:
            layers.append((synapses.simplified(), pool, ", ".join(made_of)))
            synapses, pool, made_of = Affine((), synapses.shape_out), None, []
        elif isinstance(module, POOLS):
            pool = MaxPool(module, synapses.shape_out) if pool is None else pool.then(module)
            synapses = Affine((), pool.shape_out)
        elif not isinstance(module, nn.ReLU):
            synapses = synapses.then(module)
            made_of += [part.name] if computes(module) else []
    return [*layers, (synapses.simplified(), pool, ", ".join(made_of))]


def _reordered(parts: list[Part]) -> list[Part]:
    """Return the modules in an order that does the same, maxima right after ReLUs where possible.

    A maximum commutes with a ReLU, and with a normalisation whose scales are not negative. A module
    that is refused is passed over as a ReLU is.
    """
    found, segment = [], []
    for part in parts:
        segment.append(part)
        if part.refused or isinstance(part.module, nn.ReLU):
            found += _with_maxima_outside(segment, ends=True)
            segment = []
    return found + _with_maxima_outside(segment, ends=False)


def _with_maxima_outside(segment: list[Part], ends: bool) -> list[Part]:
    """Return the modules up to a ReLU with their maxima first, or else last, if that is the same.

    Otherwise they are returned as they are, and the maximum will be found misplaced. The last of
    the modules is the ReLU if the segment ``ends``.
    """
    n_scales = _position(segment, lambda part: not _keeps_order(part))
    scales, rest = segment[:n_scales], segment[n_scales:]
    scales.sort(key=lambda part: not isinstance(part.module, POOLS))  # stable: maxima come first
    n_before = _position(rest, lambda part: isinstance(part.module, POOLS))
    if n_before == len(rest) or not ends:
        return scales + rest
    after = rest[n_before:-1]
    flat = _position(after, lambda part: isinstance(part.module, nn.Flatten))
    movable = all(_keeps_order(part) or isinstance(part.module, nn.Flatten) for part in after)
    if movable and not any(isinstance(part.module, NORMS) for part in after[flat:]):
        kept = [part for part in after if not isinstance(part.module, POOLS + (nn.Flatten,))]
        moved = [part for part in after if isinstance(part.module, POOLS + (nn.Flatten,))]
        rest = [*rest[:n_before], *kept, rest[-1], *moved]
    return scales + rest


def _position(parts: list[Part], condition: Callable[[Part], bool]) -> int:
    """Return the place of the first module that meets a condition, or the end."""
    return next((n for n, part in enumerate(parts) if condition(part)), len(parts))


def _keeps_order(part: Part) -> bool:
    """Return whether the largest of some values stays the largest, and a maximum may come first."""
    if part.refused:
        return False
    if isinstance(part.module, NORMS) or is_standardisation(part.module):
        return bool((step_of(part.module, ()).weight >= 0).all())
    return isinstance(part.module, POOLS + ALONE)


def difference(model: nn.Module, logits: Callable[[Tensor], Tensor], shape: Sequence[int]) -> float:
    """Return by how much logits differ from a model's on random inputs, relative to the largest.

    Everything is computed in float64, the model in eval mode, on a copy. InputError if the model
    does not compute finite numbers.
    """
    own, generator = copied(model).double(), torch.Generator("cpu").manual_seed(0)
    x = torch.rand(PROBES, *shape, dtype=torch.float64, generator=generator, device="cpu")
    try:
        with torch.no_grad():
            expected = own(x.clone()).flatten(1)
    except Exception as error:  # whatever the model raises
        why = f"{type(error).__name__}, {first_line(error)}"
        raise InputError(
            f"the model itself does not take inputs of shape {shape}: {why}"
        ) from error
    if not expected.isfinite().all():
        raise InputError("the model's outputs overflow: its weights are too large; scale them down")
    largest = expected.abs().max().clamp(min=torch.finfo(torch.float64).tiny)
    return ((logits(x) - expected).abs().max() / largest).item()
