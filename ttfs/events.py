"""The event-driven simulator: membrane potentials integrated spike by spike, in time order.

It knows slopes, spikes and thresholds, and none of the closed form's algebra. Every layer has a
clock of its own, started at t_start (the previous layer's t_min), so that time is precise however
late the window is.
"""

from collections.abc import Collection

import torch
from torch import Tensor

from ttfs.audit import LayerAudit, Simulation, layer_audit
from ttfs.coding import checked_pixels, encode
from ttfs.conversion import SpikingLayer, SpikingNetwork
from ttfs.errors import InputError

BATCH = 250  # images integrated at a time: their potentials and slopes stay in the cache


def event_driven(
    snn: SpikingNetwork,
    pixels: Tensor,
    guard: bool = True,
    traced: Collection[tuple[int, int]] = (),
) -> Simulation:
    """Return spike times and logits from integrating every membrane potential between spikes.

    Between two events a potential is a straight line. An input spike j changes the slope of every
    neuron i by W_ji; at t_start the slope is ``slope_before_i``; at t_min the alpha neuron's silent
    inputs are made to fire, and B1's slope becomes 1. A neuron fires when its line first meets the
    threshold: from t_min on with the guard, from t_start on without (alpha only). It fires once.

    A premature spike (t < t_min) drives the next layer from the moment it comes, so it carries
    t_max - t, more than the window. A neuron whose threshold lies below the resting potential, 0,
    meets it at t_start.

    Parameters
    ----------
    snn : SpikingNetwork
    pixels : (n_batch, n_in) floating tensor, in [0, 1]
        Its dtype and device decide those of the computation.
    guard : bool
        Whether the threshold counts from t_min only. The B1 neuron is defined so.
    traced : collection of (layer, neuron)
        Hidden layers counted from 1, neurons from 0; the potentials to keep, for one image. The
        result's ``traces`` has an (n_points, 2) tensor for each: absolute time, and potential, at
        the corners of the piecewise-linear curve from the first event to t_max.

    Raises
    ------
    InputError
        If the pixels do not fit the network, one lies outside [0, 1], B1 is asked for without its
        guard, or a trace is asked of more than one image or of a neuron that does not exist.

    """
    pixels = checked_pixels(pixels, snn.n_in)
    if not guard and snn.neuron == "B1":
        raise InputError("the B1 neuron's threshold counts from t_min: it has no unguarded form")
    _check_traced(snn, pixels, traced)
    clock = encode(pixels)  # spike times on the clock of the layer that receives them
    spike_times, time_left, audit, traces = [], [], [], {}
    for n, layer in enumerate(snn.hidden, start=1):
        recorded = [neuron for traced_layer, neuron in traced if traced_layer == n]
        clock, layer_result, corners = _integrate_layer(snn.neuron, layer, clock, guard, recorded)
        audit.append(layer_result)
        fired = torch.isfinite(clock)
        spike_times.append(clock + layer.t_min)
        time_left.append(torch.where(fired, layer.window_length - clock, 0))
        for neuron, corner in zip(recorded, corners, strict=True):
            traces[n, neuron] = corner + torch.tensor([layer.t_start, 0.0]).to(corner)
    duration = snn.hidden[-1].window_length if snn.hidden else 1.0
    logits = _output_potentials(snn, clock, duration)
    return Simulation(spike_times, time_left, logits, audit, traces)


def _check_traced(snn: SpikingNetwork, pixels: Tensor, traced) -> None:
    """Raise InputError unless every traced neuron exists and there is one image."""
    if traced and len(pixels) != 1:
        raise InputError(f"potentials are traced for one image, not {len(pixels)}")
    for layer, neuron in traced:
        if not 1 <= layer <= len(snn.hidden) or not 0 <= neuron < len(snn.hidden[layer - 1].bias):
            raise InputError(f"there is no neuron {neuron} in hidden layer {layer} to trace")


def _integrate_layer(
    neuron: str, layer: SpikingLayer, times: Tensor, guard: bool, recorded: list[int]
) -> tuple[Tensor, LayerAudit, list[Tensor]]:
    """Return a layer's spike times on its own clock (0 at t_min), its audit, and its traces."""
    weight, threshold = layer.weight.to(times), layer.threshold.to(times)
    until = layer.t_min - layer.t_start
    silent_weight = weight if neuron == "alpha" else None
    if neuron == "alpha":  # its own slope: one more input, which fires at t_start
        times = torch.cat([times, times.new_zeros(len(times), 1)], dim=1)
        weight = torch.cat([weight, layer.slope_before.to(times)[None]])
    parts, corners = [], []
    for chunk in times.split(BATCH):
        watched = threshold if neuron == "alpha" else None  # B1 has none before t_min
        potential, slope, first = _integrate(weight, chunk, until, watched, corners)
        if silent_weight is None:
            slope = torch.ones_like(slope)
        else:  # silent inputs fire now
            slope = slope + torch.isinf(chunk[:, :-1]).to(slope) @ silent_weight
        parts.append((potential, slope, first))
    potential, slope, first = (torch.cat(part) for part in zip(*parts, strict=True))
    offset = (threshold - potential) / slope  # of the crossing, from t_min
    should_fire = offset < layer.window_length
    clock = torch.where(should_fire, offset.clamp(min=0), torch.inf)
    early = first < until
    counts = {"held_back": early & (offset > 0)}
    if not guard:
        clock = torch.where(early, first - until, clock)
        counts = {"premature": early, "spurious": early & ~should_fire}
    audit = layer_audit(layer, torch.isfinite(clock), layer.window_length - offset, **counts)
    traces = []
    if recorded:
        end = (until + layer.window_length, potential + slope * layer.window_length)
        for i in recorded:
            points = [(t.item(), v[0, i].item()) for t, v in corners]
            points += [(until, potential[0, i].item()), (end[0], end[1][0, i].item())]
            traces.append(torch.tensor(points, dtype=torch.float64))
    return clock, audit, traces


def _integrate(
    weight: Tensor, times: Tensor, until: float, threshold: Tensor | None, corners: list
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the potentials and slopes at the time ``until``, and each first crossing before it.

    Parameters
    ----------
    weight : (n_in, n_out) tensor
    times : (n_batch, n_in) tensor
        When each input fires; ``inf`` if it does not.
    until : float
        Where integration ends, after the last spike.
    threshold : (n_out,) tensor or None
        None if crossings are of no interest: ``inf`` is returned.
    corners : list
        For a batch of one: every event's time and the potentials then are appended to it.

    """
    counts = torch.isfinite(times).sum(1)
    by_count = counts.argsort(descending=True, stable=True)  # images still with spikes come first
    times, sources = times[by_count].sort(dim=1, stable=True)
    counts = counts[by_count]
    potential = times.new_zeros(len(times), weight.shape[1])
    slope, first = torch.zeros_like(potential), torch.full_like(potential, torch.inf)
    armed = None if threshold is None else threshold.repeat(len(times), 1)  # inf once it was met
    now = times[:, 0].clamp(max=0)
    for event in range(int(counts.max()) if len(counts) else 0):
        m = int((counts > event).sum())
        duration = times[:m, event] - now[:m]
        now[:m] = times[:m, event]
        potential[:m].addcmul_(slope[:m], duration[:, None])
        if armed is not None:
            _note_crossings(potential[:m], slope[:m], now[:m], duration, armed[:m], first[:m])
        slope[:m] += weight[sources[:m, event]]
        if len(times) == 1:
            corners.append((now[0].clone(), potential.clone()))
    duration = until - now
    potential.addcmul_(slope, duration[:, None])
    if armed is not None:
        _note_crossings(potential, slope, now + duration, duration, armed, first)
    back = by_count.argsort()
    return potential[back], slope[back], first[back]


def _note_crossings(potential, slope, now, duration, armed, first) -> None:
    """Note in ``first``, in place, when potentials met their thresholds in the segment that ends.

    The segment, a straight line, ended ``now`` and had taken ``duration``: (n_batch,) each. There
    is no threshold before t_start, which is 0.
    """
    met = (potential >= armed) & (now >= 0)[:, None]
    if met.any():
        # How long ago; if the line does not rise, it has been above the threshold all along.
        since = torch.where(slope > 0, (potential - armed) / slope, torch.inf)
        crossing = now[:, None] - since.minimum(duration[:, None])
        first[met] = crossing.clamp(min=0)[met]
        armed[met] = torch.inf


def _output_potentials(snn: SpikingNetwork, times: Tensor, until: float) -> Tensor:
    """Return the output neurons' potentials at t_read: the bias, and what the spikes add."""
    weight = snn.output_weight.to(times)
    parts = [_integrate(weight, chunk, until, None, [])[0] for chunk in times.split(BATCH)]
    return torch.cat(parts) + snn.output_bias.to(times)
