"""The event-driven simulator: membrane potentials integrated spike by spike, in time order.

It knows slopes, spikes and thresholds, and none of the closed form's algebra. Every layer has a
clock of its own, started at t_start (the previous layer's t_min), so that time is precise however
late the window is.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from ttfs import InputError
from ttfs.coding import encode
from ttfs.conversion import SpikingLayer, SpikingNetwork, checked_inputs
from ttfs.outcome import Simulation, crossing_counts

BATCH = 500  # images integrated at a time, at most
CACHED = 200_000  # potentials at a time, so that they and their slopes stay in the cache


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
        the corners of the piecewise-linear curve, from t_start (or an input spike even before) to
        t_max.

    """
    pixels = checked_inputs(snn, pixels)
    if not guard and snn.neuron.guarded:
        raise InputError(
            f"the {snn.neuron.name} neuron's threshold counts from t_min: it has no unguarded form"
        )
    _check_traced(snn, pixels, traced)
    times = encode(pixels)  # on the clock of the layer that receives the spikes: 0 is its t_start
    time_left, counts, traces = [], [], {}
    for layer in snn.hidden:
        corners = [] if traced else None
        parts = _integrated(layer, times, not layer.neuron.guarded, corners)
        potential, slope, early = (torch.cat(part) for part in zip(*parts, strict=True))
        offset = (layer.threshold.to(slope) - potential) / slope  # of the crossing, from t_min
        for number, neuron in traced:
            if number == layer.window.layer:
                line = (potential[0, neuron], slope[0, neuron])
                traces[number, neuron] = _curve(layer, neuron, corners, *line)
        times, layer_counts = _first_spikes(layer, offset, early, guard)
        time_left.append(torch.where(torch.isfinite(times), layer.window.length - times, 0))
        counts.append(layer_counts)
    potential = torch.cat([part[0] for part in _integrated(snn.readout, times)])
    logits = potential + snn.readout.synapses.bias().to(potential)
    windows = [layer.window for layer in snn.hidden]
    return Simulation(windows, pixels, time_left, logits, counts, traces)


def _check_traced(snn: SpikingNetwork, pixels: Tensor, traced) -> None:
    """Raise InputError unless every traced neuron exists and there is one image."""
    if traced and len(pixels) != 1:
        raise InputError(f"potentials are traced for one image, not {len(pixels)}")
    sizes = [len(layer.synapses.bias()) for layer in snn.hidden]
    for layer, neuron in traced:
        if not 1 <= layer <= len(sizes) or not 0 <= neuron < sizes[layer - 1]:
            raise InputError(f"there is no neuron {neuron} in hidden layer {layer} to trace")


def _curve(layer: SpikingLayer, neuron: int, corners: list, potential, slope) -> Tensor:
    """Return a neuron's potential as points (time, potential), given what it is from t_min on."""
    points = [] if corners and corners[0][0] <= 0 else [(layer.t_start, 0.0)]
    points += [(t + layer.t_start, v[0, neuron].item()) for t, v in corners]
    end = potential + slope * layer.window.length
    points += [(layer.t_min, potential.item()), (layer.t_max, end.item())]
    return torch.tensor(points, dtype=torch.float64)


def _first_spikes(
    layer: SpikingLayer, offset: Tensor, early: Tensor, guard: bool
) -> tuple[Tensor, dict]:
    """Return when each neuron fires, counted from t_min, and the counts of the layer's audit.

    ``offset`` is the crossing from t_min on, counted from there, and negative if the threshold was
    met before; ``early`` the first crossing before t_min, counted from t_start, ``inf`` for none.
    """
    length, until = layer.window.length, layer.t_min - layer.t_start
    counts = crossing_counts(length - offset, layer.window)
    should_fire = offset < length
    times = torch.where(should_fire, offset.clamp(min=0), torch.inf)
    if layer.neuron.guarded:
        return times, counts | {"held_back": 0}
    premature = early < until
    if guard:
        return times, counts | {"held_back": int((premature & (offset > 0)).sum())}
    counts |= {"held_back": 0, "premature": int(premature.sum())}
    counts["spurious"] = int((premature & ~should_fire).sum())
    return torch.where(premature, early - until, times), counts


def _integrated(
    layer: SpikingLayer, times: Tensor, watched: bool = False, corners: list | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Return potentials and slopes at t_min, and first crossings before it, of parts of a batch.

    Crossings are found if they are ``watched``; otherwise all are ``inf``.
    """
    times = -layer.received(-times)  # of a pooled group, the earliest spike
    until = layer.t_min - layer.t_start
    threshold = layer.threshold.to(times) if watched else None
    spread, n_out = _spread(layer, times), layer.synapses.n_out

    def integrated(part: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        silent = torch.isinf(part).to(part)
        if layer.neuron.forced:  # its own slope is one more input, which fires at t_start
            part = torch.cat([part, part.new_zeros(len(part), 1)], dim=1)
        potential, slope, first = _integrate(spread, n_out, part, until, threshold, corners)
        if layer.neuron.forced:  # from t_min on every input has fired
            slope = slope + layer.synapses.changed(lambda weight: weight)(silent)
        else:
            slope = torch.ones_like(slope)
        return potential, slope, first

    return _side_by_side(integrated, times.split(max(1, min(BATCH, CACHED // n_out))))


def _side_by_side(call: Callable, parts: Iterable) -> Iterator:
    """Yield ``call(part)`` of each, in order, on as many threads as torch may use.

    An event is too small a step for threads that wait for each other at its end. So each of ours
    has one of torch's, and so has any other that begins meanwhile.
    """
    n_threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        with pool:
            yield from pool.map(call, parts)
    finally:
        torch.set_num_threads(n_threads)


Spread = Callable[[Tensor, Tensor], None]  # adds to slopes, (m, n_out), what m inputs' spikes add


def _spread(layer: SpikingLayer, like: Tensor) -> Spread:
    """Return what adds to the slopes of each image the weights of the input that fires in it.

    The weights are a matrix if it is small, else what is not 0 in each of its rows. An input after
    the last is the neurons' own slope.
    """
    own = layer.slope_before.to(like)[None] if layer.neuron.forced else None
    if layer.synapses.is_small:
        weight = layer.synapses.matrix().to(like)
        weight = weight if own is None else torch.cat([weight, own])
        return lambda slope, sources: slope.add_(weight.index_select(0, sources))
    columns, values = layer.sparse_rows[0].to(like.device), layer.sparse_rows[1].to(like)
    n_in = layer.synapses.n_in

    def spread(slope: Tensor, sources: Tensor) -> None:
        if own is None:
            slope.scatter_add_(1, columns[sources], values[sources])
            return
        is_own, sources = (sources == n_in)[:, None], sources.clamp(max=n_in - 1)
        slope.scatter_add_(1, columns[sources], values[sources] * ~is_own)
        slope.add_(is_own * own)

    return spread


def _integrate(
    spread: Spread,
    n_out: int,
    times: Tensor,
    until: float,
    threshold: Tensor | None = None,
    corners: list | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the potentials and slopes at the time ``until``, and each first crossing before it.

    ``spread`` adds a spike's weights to the slopes of n_out neurons; ``times``, (n_batch, n_in),
    are when each input fires, ``inf`` if it does not, and ``until`` is later. Without a
    ``threshold``, (n_out,), no crossing is found. In a batch of one, every event's time and the
    potentials then are appended to ``corners``.
    """
    # Row e of ``times`` has every image's e-th event. Images with many events come first, so that
    # those that have an e-th event are the first ``active[e]``.
    counts = torch.isfinite(times).sum(1)
    by_count = counts.argsort(descending=True, stable=True)
    n_events = int(counts.max()) if len(counts) else 0
    times, sources = times[by_count].sort(dim=1)
    times, sources = (v[:, :n_events].T.contiguous() for v in (times, sources))
    active = torch.isfinite(times).sum(1).tolist()
    # The lines begin at t_start, or at the first event, if that comes even before.
    start = times[:1].clamp(max=0) if n_events else times.new_zeros(1, len(counts))
    durations = torch.diff(times, dim=0, prepend=start)[:, :, None]  # of the lines before events
    last = times.nan_to_num(posinf=-torch.inf).amax(0, keepdim=True) if n_events else start
    last = torch.where(torch.isfinite(last), last, start)[0]
    potential = times.new_zeros(len(counts), n_out)
    slope, first = torch.zeros_like(potential), torch.full_like(potential, torch.inf)
    armed = None if threshold is None else threshold.repeat(len(counts), 1)  # inf once it was met
    for event, m in enumerate(active):
        potential[:m].addcmul_(slope[:m], durations[event, :m])  # V += dV/dt x duration
        if armed is not None:
            _note_crossings(
                potential[:m],
                slope[:m],
                times[event, :m],
                durations[event, :m],
                armed[:m],
                first[:m],
            )
        spread(slope[:m], sources[event, :m])
        if corners is not None:
            corners.append((times[event, 0].item(), potential.clone()))
    duration = (until - last)[:, None]
    potential.addcmul_(slope, duration)
    if armed is not None:
        _note_crossings(potential, slope, last + duration[:, 0], duration, armed, first)
    back = by_count.argsort()
    return potential[back], slope[back], first[back]


def _note_crossings(potential, slope, now, duration, armed, first) -> None:
    """Note in ``first``, in place, when potentials met their thresholds in the segment that ends.

    The segment, a straight line, ended ``now``, (n_batch,), and took ``duration``, (n_batch, 1).
    There is no threshold before t_start, which is 0.
    """
    met = (potential >= armed) & (now >= 0)[:, None]
    if met.any():
        # How long ago; if the line does not rise, it has been above the threshold all along.
        since = torch.where(slope > 0, (potential - armed) / slope, torch.inf)
        crossing = now[:, None] - since.minimum(duration)
        first[met] = crossing.clamp(min=0)[met]
        armed[met] = torch.inf
