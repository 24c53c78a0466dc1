"""One color from several views of a point that may disagree.

From colors c_i with weights w_i: m = median, channel by channel, each view with a vote v_i; the
result is the mean of c_i weighted with w_i * max(0, 1 - |c_i - m|^2 / outlier^2)^2, or m where all
of these vanish. Averaging all views without the last factor shows every misfit as a ghost. Votes
may be more even than weights, so that one view alone, however good, cannot overrule the others.
"""

from ...renderers.cpu.compiled import part


@part
def agreed(found, weights, votes, count, outlier, median, sums, order):
    """Write the color that `count` views agree on into `sums`.

    Args:
        median, sums: Room for a color. order: Room for `count` numbers.
    """
    for channel in range(3):
        median[channel] = weighted_median(found, channel, votes, count, order)
    total = 0.0
    sums[:] = 0
    for view in range(count):
        square = 0.0
        for channel in range(3):
            square += (found[view, channel] - median[channel]) ** 2
        trust = max(0.0, 1 - square / outlier**2)
        weight = weights[view] * trust * trust
        total += weight
        for channel in range(3):
            sums[channel] += weight * found[view, channel]
    for channel in range(3):
        sums[channel] = sums[channel] / total if total > 1e-9 else median[channel]


@part
def weighted_median(found, channel, weights, count, order):
    """The smallest color at which half of the weight is reached. `order` is room to sort in."""
    half = 0.0
    for view in range(count):  # Insertion sort: a dozen values, and no memory to ask for.
        half += 0.5 * weights[view]
        place = view
        while place > 0 and found[order[place - 1], channel] > found[view, channel]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = view
    reached = 0.0
    for place in range(count):
        reached += weights[order[place]]
        if reached >= half:
            return found[order[place], channel]
    return found[order[count - 1], channel]
