"""The coarse stage: anchors move and turn, Gaussians follow, until the picture is the edited one.

    L = photometric + w_p sum_t a_t |U_t - v_t|^2 + l_arap L_arap + l_rot L_rot + l_dist L_dist
        + l_mask L_mask + l_stay L_stay                                              eq. 16-19

(Luo et al. 2024). L_stay = mean_k d_k^2 / (d_k^2 + s^2), d_k how far anchor k is from its rest, is
ours: it costs to leave one's place, but not to go further, so that only what the picture asks to
move does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...renderers.cpu import render
from ...renderers.projection import view_depths
from ...renderers.scene import Gaussians, Output
from . import masks
from .anchors import Graph
from .pairs import Pairs, pair_loss
from .photometric import photometric
from .positional import position_channels, positions
from .settings import Coarse, Matching, Rigidity
from .shading import constant, seen_colors
from .skinning import Deformed, Pose, Skin, deform, product
from .state import State, advance, value
from .stiffness import stiffness
from .transport import Match, Price, match, tile_means
from .views import View, composited, tiles_of

STAY_SHARE = 0.005
"""s, in units of the edit's size."""
SINKHORN_STEPS = 3
UPRIGHT = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Problem:
    """What the coarse stage works on."""

    scene: Gaussians
    """The whole scene before the edit."""
    movable: Int[Tensor, " m"]
    """Gaussians that may move, in order."""
    still: Sequence[Gaussians]
    """Per view, what else it shows."""
    skin: Skin
    edges: Graph
    smoothing: Float[Tensor, "anchor anchor"]
    """Of values over the graph; rows sum to 1."""
    views: Sequence[View]
    size: float
    """Of the edit's box at the depth of what is edited, in scene units."""
    matching: Matching
    rigidity: Rigidity
    coarse: Coarse
    ssim: float
    """Weight of SSIM in the photometric loss."""
    pairs: Sequence[Pairs | None] = ()
    """Per view; none where they are not known."""
    threads: int = 1


def start(problem: Problem, pose: Pose | None = None) -> State:
    """Before the first iteration: nothing has moved, or what moves is in a pose."""
    settings, rest = problem.coarse, problem.skin.rest
    place, turn = settings.place_rate * problem.size, settings.turn_rate
    mask_rate = problem.rigidity.mask_rate if problem.rigidity.adaptive else 0.0
    still, upright = torch.zeros_like(rest), rest.new_zeros(len(rest), 4)
    moved, turned = still, upright
    if pose is not None:
        unit = torch.nn.functional.normalize(pose.turns, dim=1)
        moved = pose.places - rest
        turned = torch.where(unit[:, :1] < 0, -unit, unit) - unit.new_tensor(UPRIGHT)
    logits = torch.full((3, len(problem.edges.start)), masks.OPEN)
    values = {
        "drift": value(still, place),
        "places": value(moved, place * settings.own_share),
        "spin": value(upright, turn),
        "turns": value(turned, turn * settings.own_share),
        "masks": value(logits, mask_rate, vectors=False),
    }
    return State(values, [None] * len(problem.views))


def put(problem: Problem, state: State, pose: Pose) -> None:
    """Into a pose, in place; the masks stay, and steps begin anew."""
    begun = start(problem, pose).values
    state.values |= {name: one for name, one in begun.items() if name != "masks"}


def pose_of(problem: Problem, state: State) -> Pose:
    """Where the anchors are: what they share with their surroundings, and what is each one's own.

    A stiff body turns slowly if each of its anchors takes a step by itself, since its neighbors
    hold it back. So the steps are taken in two coordinates at once, one of them smoothed over the
    graph (as in Nicolet et al. 2021), where a body moves as a whole.
    """
    smooth = problem.smoothing
    upright = state["turns"].new_tensor(UPRIGHT)
    return Pose(
        problem.skin.rest + state["places"] + smooth @ state["drift"],
        upright + state["turns"] + smooth @ state["spin"],
    )


def step(problem: Problem, state: State) -> None:
    """One iteration, in place."""
    share = state.iteration / max(1, problem.coarse.iterations)
    masks.reset_now(state["masks"], state.iteration, problem.rigidity)
    pose = pose_of(problem, state)
    moved = deform(problem.skin, problem.scene.means[problem.movable], pose)
    loss = resting(problem, state["masks"], pose, share)
    for number in range(len(problem.views)):
        loss = loss + view_loss(problem, state, moved, number, share) / len(problem.views)
    hold = problem.coarse.hold
    advance(state, loss, problem.coarse.last_rate ** (max(0.0, share - hold) / (1 - hold)))


def resting(
    problem: Problem, logits: Float[Tensor, "3 edge"], pose: Pose, share: float
) -> Float[Tensor, ""]:
    """All terms that no picture enters, when `share` of the iterations is done; `logits` are the
    masks."""
    rest = problem.skin.rest
    stiff = stiffness(rest, pose.places, pose.turns, problem.edges, logits, problem.rigidity)
    away = (pose.places - rest).square().sum(dim=1)
    stay = away / (away + (STAY_SHARE * problem.size) ** 2)
    weight = 1.0 if share < problem.matching.until_share else problem.rigidity.settled
    return weight * (stiff + problem.coarse.stay * stay.mean())


def view_loss(
    problem: Problem, state: State, moved: Deformed, number: int, share: float
) -> Float[Tensor, ""]:
    """Photometric and positional loss of one picture."""
    view, matching = problem.views[number], problem.matching
    placing = matching.weight > 0 and share < matching.until_share
    scene = seen(problem, moved, number)
    outputs: frozenset[Output] = frozenset({"rgb", "alpha"})
    if placing:
        channels = position_channels(scene, view.camera, spread=matching.covariance)
        scene = replace(scene, channels=channels)
        outputs = frozenset({"rgb", "alpha", "channels"})
    frames = render(scene, view.camera, outputs, threads=problem.threads)
    picture = composited(frames, view.background)
    loss = photometric(picture, view.target, problem.ssim)
    known = problem.pairs[number] if problem.pairs else None
    if known is not None and share < matching.until_share:
        loss = loss + matching.pairs * pair_loss(known, scene, view.camera)
    if not placing:
        return loss
    if state.iteration % matching.every == 0 or state.matches[number] is None:
        assert frames.alpha is not None
        state.matches[number] = matched(view, picture, frames.alpha[0], matching, state, number)
    found = state.matches[number]
    assert found is not None and frames.channels is not None
    return loss + matching.weight * positional(view, frames.channels[0], found)


def matched(
    view: View, picture: Tensor, alpha: Tensor, settings: Matching, state: State, number: int
) -> Match:
    """Match the render's tiles to the target's, starting from the match before."""
    with torch.no_grad():
        tiles = tiles_of(picture, alpha, view.tile_px)
        before = state.matches[number]
        price = Price(settings.color, settings.blur, settings.leaving)
        found = match(
            tiles, view.tiles, price, before.potentials if before else None, SINKHORN_STEPS
        )
        # Trust carries the tile's mass from here on.
        return replace(found, trust=found.trust * tiles.mass)


def positional(view: View, channels: Tensor, found: Match) -> Float[Tensor, ""]:
    """sum_t a_t |U_t - v_t|^2, v_t held fixed."""
    longer = max(view.camera.width_px, view.camera.height_px)
    field_ = tile_means(positions(channels), view.tile_px) / longer
    goal = field_.detach() + found.pull
    return (found.trust * (field_ - goal).square().sum(dim=1)).sum()


def seen(problem: Problem, moved: Deformed, number: int) -> Gaussians:
    """The scene after the deformation, with its colors towards one camera."""
    scene, rows, still = problem.scene, problem.movable, problem.still[number]
    camera = problem.views[number].camera
    quaternions = product(moved.turns, scene.quaternions[rows])
    colors = seen_colors(scene.sh[rows], moved.means.detach(), moved.turns.detach(), camera)
    return Gaussians(
        means=torch.cat([moved.means, still.means]),
        quaternions=torch.cat([quaternions, still.quaternions]),
        scales=torch.cat([scene.scales[rows], still.scales]),
        opacities=torch.cat([scene.opacities[rows], still.opacities]),
        sh=torch.cat([constant(colors), still.sh]),
    )


def still_part(scene: Gaussians, movable: Int[Tensor, " m"], view: View) -> Gaussians:
    """What a view shows of the Gaussians that may not move, with its colors as degree 0."""
    free = torch.zeros(len(scene.means), dtype=torch.bool)
    free[movable] = True
    with torch.no_grad():
        radii = render(scene, view.camera).radii_px
    assert radii is not None
    rows = torch.where(~free & (radii[0] > 0))[0]
    unturned = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(len(rows), 4)
    colors = seen_colors(scene.sh[rows], scene.means[rows], unturned, view.camera)
    return Gaussians(
        means=scene.means[rows],
        quaternions=scene.quaternions[rows],
        scales=scene.scales[rows],
        opacities=scene.opacities[rows],
        sh=constant(colors),
    )


def edit_size(view: View, depth: float) -> float:
    """The box of a view at a depth, in scene units."""
    longer = max(view.camera.width_px, view.camera.height_px)
    return longer * depth / float(view.camera.focal_px[0].mean())


def depth_of(scene: Gaussians, weights: Float[Tensor, " n"], view: View) -> float:
    """Weighted mean depth of Gaussians in a view."""
    depths = view_depths(scene.means, view.camera)[0]
    return float((depths * weights).sum() / weights.sum().clamp(min=1e-12))
