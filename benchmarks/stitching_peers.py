"""What else one could do about a seam: peers of the stitch stage that only know colors and places.

Each takes the target's harmonics, the source's and the boundary, and gives new harmonics.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import cg
from scipy.spatial import cKDTree
from splatworks.renderers.sh import C0
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.scene.recolor import base_colors
from splatworks.stages.stitch.boundary import Boundary

NEIGHBORS = 8
STAY = 1e-6
"""Weight of the original color, for parts of the graph that do not reach the boundary."""


def nothing(target: RawSplats, source: RawSplats, boundary: Boundary) -> np.ndarray:
    """Both parts as they are."""
    return target.sh


def mean_color(target: RawSplats, source: RawSplats, boundary: Boundary) -> np.ndarray:
    """The mean of each channel becomes the source's."""
    out = target.sh.copy()
    out[:, 0] += source.sh[:, 0].mean(axis=0) - target.sh[:, 0].mean(axis=0)
    return out


def histogram(target: RawSplats, source: RawSplats, boundary: Boundary) -> np.ndarray:
    """Each channel gets the source's distribution."""
    own, theirs = base_colors(target.sh), np.sort(base_colors(source.sh), axis=0)
    out = target.sh.copy()
    places = np.linspace(0, 1, len(theirs))
    for channel in range(3):
        ranks = own[:, channel].argsort(kind="stable").argsort(kind="stable")
        matched = np.interp((ranks + 0.5) / len(own), places, theirs[:, channel])
        out[:, 0, channel] = (matched - 0.5) / C0
    return out


def laplacian(target: RawSplats, source: RawSplats, boundary: Boundary) -> np.ndarray:
    """Boundary pinned to the source, differences between neighbors kept: the Poisson equation on
    the graph of nearest neighbors, solved exactly."""
    graph = _graph(target)
    count = len(target)
    free = np.setdiff1d(np.arange(count), boundary.members)
    degree = sparse.diags_array(graph.sum(axis=1) + STAY)
    system = sparse.csr_array(degree - graph)
    before = target.sh.reshape(count, -1).astype(np.float64)
    change = np.zeros_like(before)
    wanted = source.sh[boundary.neighbors].mean(axis=1).reshape(len(boundary.members), -1)
    change[boundary.members] = wanted - before[boundary.members]
    inner = system[free][:, free]
    right = -(system[free][:, boundary.members] @ change[boundary.members])
    scale = sparse.diags_array(1 / inner.diagonal())
    for column in np.flatnonzero(np.abs(right).any(axis=0)):
        change[free, column], failed = cg(inner, right[:, column], rtol=1e-6, M=scale)
        assert not failed
    return (before + change).reshape(target.sh.shape).astype(np.float32)


def laplacian_by_descent(target: RawSplats, source: RawSplats, boundary: Boundary) -> np.ndarray:
    """The same as a loss, with as many steps of the same optimizer as the stage takes."""
    graph = sparse.coo_array(_graph(target))
    one, other = (torch.from_numpy(part.astype(np.int64)) for part in (graph.row, graph.col))
    before = torch.from_numpy(target.sh)
    wanted = torch.from_numpy(source.sh[boundary.neighbors].mean(axis=1))
    members = torch.from_numpy(boundary.members)
    values = before.clone().requires_grad_()
    optimizer = torch.optim.Adam([values], lr=0.03, foreach=False)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 0.03 * 0.1 ** (step / STEPS)
        change = values - before
        loss = (values[members] - wanted).square().mean()
        loss = loss + 2 * (change[one] - change[other]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return values.detach().numpy()


def _graph(target: RawSplats) -> sparse.csr_array:
    """Who is among whose nearest neighbors, either way round; all edges weigh 1."""
    count = len(target)
    near = cKDTree(target.means).query(target.means, k=NEIGHBORS + 1)[1][:, 1:]
    rows = np.repeat(np.arange(count), NEIGHBORS)
    links = sparse.coo_array((np.ones(near.size), (rows, near.ravel())), shape=(count, count))
    links = sparse.csr_array(links)
    return sparse.csr_array(((links + links.T) > 0).astype(np.float64))


STEPS = 600
Peer = Callable[[RawSplats, RawSplats, Boundary], np.ndarray]
PEERS: Mapping[str, Peer] = MappingProxyType(
    {
        "naive merge": nothing,
        "mean color": mean_color,
        "histogram": histogram,
        "laplacian, descent": laplacian_by_descent,
        "laplacian, solved": laplacian,
    }
)
