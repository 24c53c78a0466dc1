"""What a moved triangle does to its Gaussians.

In the frames of the triangle at rest and of the moved one, the map between the two is a 2 x 2
matrix G in the plane, and takes normal to normal. A Gaussian with the in-plane axes
M = R(turn) diag(s) gets

    G M M^T G^T,  new axes and deviations from G M turned to have perpendicular columns,

the turn that is nearest to none. Its deviation across the plane stays; its harmonics turn by the
rotation in the polar decomposition of the whole map. Triangles that have not moved keep everything
bit for bit.
"""

import math
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...pipeline.contract import Context
from ..formats import bindings, splats
from ..formats.bindings import Binding
from ..formats.splats import RawSplats
from ..scene.harmonics import turned_each
from . import frames
from .attached import rest_corners, splats_of
from .matching import posed_corners


def pose(file: Path, mesh: Path, ctx: Context) -> Path:
    """Read, move, write. Returns the splats' file."""
    binding = bindings.load(file)
    corners = posed_corners(mesh, rest_corners(binding), binding.faces.numpy(), ctx.log)
    moved = posed(binding, corners)
    collapsed = int(frames.without_area(corners)[binding.owner.long().unique()].sum())
    if collapsed:
        ctx.log.warning(
            "%d of %d triangles have no area in %s; their Gaussians shrink to lines or points.",
            collapsed, len(corners), mesh.name,
        )  # fmt: skip
    return splats.save(moved, ctx.out / "splats.ply")


def posed(binding: Binding, corners: Float[Tensor, "face 3 3"]) -> RawSplats:
    """The Gaussians where the triangles lie at `corners` (float64)."""
    rest = rest_corners(binding)
    owner = binding.owner.long()
    same = (corners == rest).all(dim=(1, 2))
    before = frames.frames(rest)
    after = _frames_anyhow(corners, before)
    stretch = _in_plane(corners, after) @ _inverse(_in_plane(rest, before))
    turns, log_scales = _carried(binding, stretch[owner])
    keep = same[owner]
    moved = replace(
        binding,
        turns=torch.where(keep[:, None], binding.turns, turns.float()),
        log_scales=torch.where(keep[:, None], binding.log_scales, log_scales.float()),
        sh=_turned(binding, after @ _polar(stretch) @ before.mT, keep),
    )
    return splats_of(moved, corners, torch.where(same[:, None, None], before, after))


def _in_plane(
    corners: Float[Tensor, "face 3 3"], rotations: Float[Tensor, "face 3 3"]
) -> Float[Tensor, "face 2 2"]:
    """Both edges from the first corner, in t and s, as columns."""
    edges = (corners[:, 1:] - corners[:, :1]).mT
    return rotations[:, :, :2].mT @ edges


def _inverse(edges: Float[Tensor, "face 2 2"]) -> Float[Tensor, "face 2 2"]:
    """The identity where there is none: such triangles carry nothing."""
    flat = edges.det().abs() == 0
    return torch.linalg.inv(torch.where(flat[:, None, None], torch.eye(2).to(edges), edges))


def _frames_anyhow(
    corners: Float[Tensor, "face 3 3"], before: Float[Tensor, "face 3 3"]
) -> Float[Tensor, "face 3 3"]:
    """`frames`; where a triangle has lost its area, t along its longest edge and n as near to the
    one before as that allows."""
    flat = frames.without_area(corners)
    out = frames.frames(corners)
    if not bool(flat.any()):
        return out
    edges = corners[flat].roll(-1, dims=1) - corners[flat]
    longest = edges.norm(dim=2).argmax(dim=1)
    t = edges[torch.arange(len(edges)), longest]
    length = t.norm(dim=1, keepdim=True)
    t = torch.where(length > 0, t / length.clamp(min=1e-300), before[flat][:, :, 0])
    n = before[flat][:, :, 2]
    # Where the old normal runs along t, the old t stands across it.
    n = torch.where((n * t).sum(dim=1, keepdim=True).abs() > 0.9, before[flat][:, :, 0], n)
    n = torch.nn.functional.normalize(n - (n * t).sum(dim=1, keepdim=True) * t, dim=1)
    out = out.clone()
    out[flat] = torch.stack([t, torch.linalg.cross(n, t), n], dim=2)
    return out


def _polar(stretch: Float[Tensor, "face 2 2"]) -> Float[Tensor, "face 3 3"]:
    """The rotation nearest to a map of the plane, as one of space about n."""
    cosine = stretch[:, 0, 0] + stretch[:, 1, 1]
    sine = stretch[:, 1, 0] - stretch[:, 0, 1]
    angle = torch.atan2(sine, cosine)
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = [[c, -s, zero], [s, c, zero], [zero, zero, one]]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _carried(
    binding: Binding, stretch: Float[Tensor, "n 2 2"]
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"]]:
    """Turns and log scales after the maps. No deviation falls below the thickness."""
    first, second = _axes(binding.turns.double()), binding.log_scales.double().exp()
    u, v = ((stretch @ (first[:, :, k] * second[:, k : k + 1])[..., None])[..., 0] for k in (0, 1))
    # One Jacobi rotation makes the columns perpendicular; of its angles the one up to 45 degrees.
    product, difference = 2 * (u * v).sum(dim=1), u.square().sum(dim=1) - v.square().sum(dim=1)
    sign = torch.where(difference < 0, -1.0, 1.0)
    angle = 0.5 * torch.atan2(sign * product, difference.abs())
    c, s = angle.cos()[:, None], angle.sin()[:, None]
    u, v = c * u + s * v, c * v - s * u
    along = torch.where(u.norm(dim=1, keepdim=True) > 0, u, torch.stack([v[:, 1], -v[:, 0]], 1))
    half = 0.5 * torch.atan2(along[:, 1], along[:, 0])
    sizes = torch.stack([u.norm(dim=1), v.norm(dim=1)], dim=1).clamp(min=binding.thickness)
    turns = torch.stack([half.cos(), half.sin()], dim=1)
    # Of the two numbers that turn alike, the one nearer to that before: no quaternion flips.
    nearer = (turns * binding.turns.double()).sum(dim=1, keepdim=True) >= 0
    return torch.where(nearer, turns, -turns), sizes.log()


def _axes(turns: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2 2"]:
    """The in-plane axes as columns: the square of z turns."""
    p, q = torch.nn.functional.normalize(turns, dim=1).unbind(dim=1)
    c, s = p * p - q * q, 2 * p * q
    return torch.stack([torch.stack([c, -s], dim=1), torch.stack([s, c], dim=1)], dim=1)


def _turned(
    binding: Binding, rotations: Float[Tensor, "face 3 3"], keep: Bool[Tensor, " n"]
) -> Float[Tensor, "n coefficient 3"]:
    if math.isqrt(binding.sh.shape[1]) == 1 or bool(keep.all()):
        return binding.sh
    moved = (~keep).nonzero()[:, 0]
    out = binding.sh.clone()
    each = rotations[binding.owner.long()[moved]].numpy()
    out[moved] = torch.from_numpy(turned_each(binding.sh[moved].numpy(), each))
    return out
