"""The parts of baking photographs, against references that share no code with them."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.ndimage import map_coordinates
from splatworks.stages.formats import gltf
from splatworks.stages.formats.model import Model
from splatworks.stages.formats.srgb import decode, encode
from splatworks.stages.geometry import seams
from splatworks.stages.geometry.components import Surface
from splatworks.stages.geometry.seams import borders, close_seams
from splatworks.stages.geometry.unfolding import unfolded
from splatworks.stages.texture.bake import album, gather, guess, refine, virtual
from splatworks.stages.texture.bake.caster import Caster, Eye
from splatworks.stages.texture.bake.gains import solve
from splatworks.stages.texture.bake.layout import Layout, lay_out
from splatworks.stages.texture.bake.tones import plain

from . import photographed as photos
from .painted import context

AS_THEY_ARE = np.stack([plain()] * 7)
RULES = gather.Rules(
    sharpness=4.0, min_cosine=0.5, slanted_cosine=0.15, tolerance_m=0.005, outlier=0.2, best=4
)


def square(size_px: int = 16) -> Layout:
    """A square of one metre in z = 0 that fills the middle half of the texture."""
    positions = np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    uvs = positions[:, :2] * np.float32([0.5, -0.5]) + np.float32([0.25, 0.75])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    model = Model(positions, faces, np.zeros(2, np.int64), uvs=(uvs,))
    return lay_out(model, size_px, 1, keep_uvs=True, name="square")


def front(
    pixels: np.ndarray, distance: float = 2.0, focal: float = 20.0, x: float = 0.5
) -> album.View:
    """A camera before the middle of the square that looks along -z, x to the right."""
    height, width = pixels.shape[:2]
    pose = np.eye(4)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0])
    pose[:3, 3] = -pose[:3, :3] @ [x, 0.5, distance]
    eye = Eye(pose, (focal, focal), (width / 2, height / 2), width, height)
    return album.View("front", eye, pixels, np.full((height, width), 255, np.uint8), False)


def test_a_view_weighs_as_the_formula_says() -> None:
    """Camera at (0.5, 0.5, 2), f = 20 px, s = 1/8 m: cos^4 · min(1, (f s / z)^2) · fade."""
    layout = square()
    caster = Caster(layout.surface, 1)
    points = layout.points(np.flatnonzero(layout.inside))
    view = front(np.full((32, 32, 3), 100, np.uint8))
    faded = replace(view, worth=np.full((32, 32), 51, np.uint8))
    _, weights = gather.glance(points, faded, plain(), caster, RULES, 1)
    offset = points.positions - [0.5, 0.5, 2]
    cosine = 2 / np.linalg.norm(offset, axis=1)
    np.testing.assert_allclose(weights, cosine**4 * min(1, (20 / 8 / 2) ** 2) * 0.2, rtol=1e-5)
    far = replace(view.eye, focal_px=(8.0, 8.0))
    _, weights = gather.glance(points, replace(view, eye=far), plain(), caster, RULES, 1)
    np.testing.assert_allclose(weights, cosine**4 * (8 / 8 / 2) ** 2, rtol=1e-5)


def test_slanted_views_count_only_where_there_is_no_other() -> None:
    layout = square()
    caster = Caster(layout.surface, 1)
    texel = np.flatnonzero(layout.inside)[:1]
    points = layout.points(texel)
    turned = replace(points, normals=np.float32([[0.95, 0, 0.312]]))  # cos 0.2 or so, from ahead
    bright, dark = np.full((32, 32, 3), 200, np.uint8), np.full((32, 32, 3), 50, np.uint8)
    faint = np.ones((32, 32), np.uint8)
    straight = replace(front(dark, x=3.0, focal=8.0), worth=faint)
    views = [(0, front(bright)), (1, straight)]
    both = gather.gather(turned, views, AS_THEY_ARE[:2], caster, RULES, 1)
    assert sorted(both.views[0][both.weights[0] > 0]) == [0, 1]
    colors, seen = gather.settled(both, 0.2, 1)
    assert seen[0] and abs(colors[0, 0] * 255 - 50) < 1, "the straight view decides"
    alone = gather.gather(turned, views[:1], AS_THEY_ARE[:2], caster, RULES, 1)
    colors, seen = gather.settled(alone, 0.2, 1)
    assert seen[0] and abs(colors[0, 0] * 255 - 200) < 1
    away = replace(points, normals=np.float32([[0.995, 0, -0.1]]))
    assert not gather.gather(away, views[:1], AS_THEY_ARE[:2], caster, RULES, 1).weights.any()


def test_the_best_views_are_kept() -> None:
    layout = square()
    caster = Caster(layout.surface, 1)
    points = layout.points(np.flatnonzero(layout.inside))
    views = [
        (k, replace(front(np.full((32, 32, 3), k, np.uint8)), worth=np.full((32, 32), w, np.uint8)))
        for k, w in enumerate([90, 10, 200, 30, 255, 120, 40])
    ]
    kept = gather.gather(points, views, AS_THEY_ARE[:7], caster, RULES, 1)
    assert (np.sort(kept.views, axis=1) == [0, 2, 4, 5]).all()


def test_rays_find_what_is_hidden() -> None:
    """A plate before half of the square; one within the tolerance hides nothing."""
    layout = square()
    points = layout.points(np.flatnonzero(layout.inside))
    for height, hides in ((0.5, True), (0.004, False)):
        plate = np.float32([[-9, -9, height], [0.5, -9, height], [0.5, 9, height], [-9, 9, height]])
        surface = Surface(
            np.concatenate([layout.mesh.positions, plate]),
            np.concatenate(
                [layout.mesh.faces, layout.mesh.faces[:2] % 4 + len(layout.mesh.positions)]
            ),
        )
        free = Caster(surface, 1).free(points.positions, np.array([0.5, 0.5, 1e3]), 0.005)
        wanted = points.positions[:, 0] > 0.5 if hides else np.ones(len(free), bool)
        np.testing.assert_array_equal(free, wanted)


def test_gains_are_those_that_make_views_agree() -> None:
    """Known gains, five views in a chain of overlaps, one texel in ten an outlier."""
    rng = np.random.default_rng(0)
    wanted = np.exp(rng.uniform(-0.3, 0.3, (5, 3)))
    truth = rng.uniform(0.05, 0.5, (4_000, 3))
    linear = truth / wanted[:, None]
    weights = np.zeros((5, 4_000), np.float32)
    for view in range(5):
        weights[view, 700 * view : 700 * view + 1_200] = 1
    linear[2, rng.integers(0, 4_000, 400)] = 0.9
    colors = encode(linear).astype(np.float32)
    ratio = solve(colors, weights, "color") / wanted
    np.testing.assert_allclose(ratio / ratio[:1], 1, atol=0.03)
    one = solve(encode(truth / wanted[:, None, :1]).astype(np.float32), weights, "exposure")
    assert (one == one[:, :1]).all()
    ratio = one / wanted[:, :1]
    np.testing.assert_allclose(ratio / ratio[:1], 1, atol=0.01)
    lone = weights.copy()
    lone[1:] = 0
    np.testing.assert_array_equal(solve(colors, lone, "color"), np.ones((5, 3)))


def loss(x, start, view, layout, caster, mu, allowed):
    """The sum at the top of `refine.py`, pixel by pixel in plain Python, one channel."""
    total = mu * ((x - start[..., 0]) ** 2).sum()
    eye, size = view.eye, layout.size_px
    for row in range(eye.height_px):
        for column in range(eye.width_px):
            ray = np.array([(column + 0.5 - eye.center_px[0]) / eye.focal_px[0],
                            (row + 0.5 - eye.center_px[1]) / eye.focal_px[1], 1.0])  # fmt: skip
            away = eye.world_to_camera[:3, :3].T @ ray
            place = eye.position + away * (-eye.position[2] / away[2])
            if not (0 < place[0] < 1 and 0 < place[1] < 1):
                continue
            u = (0.25 + 0.5 * place[0]) * size - 0.5
            v = (0.75 - 0.5 * place[1]) * size - 0.5
            left, top = int(u), int(v)
            shares = np.outer([top + 1 - v, v - top], [left + 1 - u, u - left])
            if not allowed[top : top + 2, left : left + 2].all():
                continue
            at = slice(top, top + 2), slice(left, left + 2)
            shown = (shares[..., None] * start[at]).sum(axis=(0, 1))
            byte = view.pixels[row, column]
            apart = ((encode(shown) - byte / 255) ** 2).sum()
            trust = max(0, 1 - apart / RULES.outlier**2) ** 2
            cosine = abs(away[2]) / np.linalg.norm(away)
            filled = eye.focal_px[0] ** 2 * (layout.texel_m[0] / abs(eye.position[2])) ** 2
            light = max(shown.mean(), 0.002)
            reaction = 1.055 / 2.4 * light ** (1 / 2.4 - 1)
            weight = cosine**4 * min(1, filled) * trust * reaction**2
            total += weight * ((shares * x[at]).sum() - decode(byte / 255)[0]) ** 2
    return total


def test_refining_finds_the_minimum_of_the_written_sum() -> None:
    """Finite differences of the sum vanish at the solution, and do not where it started; a
    photograph with one pixel far off keeps it out."""
    layout = square()
    caster = Caster(layout.surface, 1)
    rng = np.random.default_rng(1)
    start = rng.uniform(0.2, 0.5, (16, 16, 3)).astype(np.float32)
    pixels = rng.integers(150, 175, (21, 21, 3)).astype(np.uint8)
    pixels[10, 10] = (255, 0, 255)
    view = front(pixels, focal=30.0)
    allowed = np.zeros((16, 16), bool)
    allowed[layout.rows, layout.columns] = True
    normal = refine.Normal(np.zeros((16, 16, 5), np.float32), np.zeros((16, 16, 3), np.float32))
    refine.add(normal, view, plain(), start, allowed, layout, caster, RULES)
    found = _solved(normal, start)
    mu = 0.05 * np.median(normal.stencil[..., 0][normal.stencil[..., 0] > 0])
    given = start.astype(np.float64), view, layout, caster, mu, allowed

    def slope(x: np.ndarray, row: int, column: int, step: float = 1e-4) -> float:
        up, down = x.copy(), x.copy()
        up[row, column] += step
        down[row, column] -= step
        return (loss(up, *given) - loss(down, *given)) / (2 * step)

    places = [(5, 5), (8, 8), (7, 10), (4, 9), (11, 6)]
    before = [abs(slope(start[..., 0].astype(np.float64), *at)) for at in places]
    after = [abs(slope(found[..., 0].astype(np.float64), *at)) for at in places]
    assert min(before) > 1e-2 and max(after) < 2e-3 * max(before)
    outside = ~allowed
    np.testing.assert_array_equal(found[outside], start[outside])


def _solved(normal: refine.Normal, start: np.ndarray) -> np.ndarray:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        return refine.solve(normal, start, 0.05, context(Path(folder)))


def test_seams_close_and_little_else_moves() -> None:
    """A box with another noise-free color function on the texels of each chart, off by some."""
    shape = trimesh.creation.box((0.6, 0.5, 0.55))
    mesh = gltf.Mesh(shape.vertices.astype(np.float32), shape.faces.astype(np.int64))
    model = Model(mesh.positions, mesh.faces, np.zeros(12, np.int64))
    layout = lay_out(model, 256, 8, keep_uvs=False, name="")
    points = layout.points(slice(None))
    offset = 0.02 * np.argmax(np.abs(points.normals), axis=1)[:, None]
    colors = decode(photos.waves(points.positions) * 0.8 + offset)
    picture, known = np.full((256, 256, 3), 0.2, np.float32), np.zeros((256, 256), bool)
    picture[layout.rows, layout.columns], known[layout.rows, layout.columns] = colors, True
    edges = borders(layout.surface, layout.mesh.uvs)
    told: list[int] = []
    closed = close_seams(picture, known, edges, told.append)
    assert sum(told) == seams.STEPS and len(told) > 30
    for level in range(3):
        before, after = apart(picture, edges, level), apart(closed, edges, level)
        assert before.max() > 8 / 255 and after.mean() < 0.2 * before.mean()
        # Where three charts meet at a corner, a coarse texel covers all of them.
        assert after.max() < (3 / 255, 4 / 255, 0.5 * before.max())[level]
    inner = np.zeros((256, 256), bool)
    inner[layout.rows, layout.columns] = layout.inside
    from scipy.ndimage import binary_erosion

    deep = binary_erosion(inner, iterations=10)
    assert deep.any() and np.abs(closed - picture)[deep].max() < 0.02
    assert closed.min() >= 0 and closed.max() <= 1


def test_what_closing_seams_minimizes_is_the_difference_that_a_viewer_reads() -> None:
    """Against bilinear lookups in halved pictures, through SciPy; and the diagonal, one by one."""
    rng = np.random.default_rng(3)
    edges = 0.2 + 0.6 * rng.random((3, 2, 2, 2))
    system, size = seams._System(edges, 32), 32
    picture = rng.random((size, size))
    wanted = 0.0
    for level, worth in enumerate(seams.WORTH):
        coarse = picture.reshape(size >> level, 1 << level, size >> level, -1).mean(axis=(1, 3))
        for sides in edges * len(coarse):
            length = np.linalg.norm(sides[:, 1] - sides[:, 0], axis=1).max()
            share = np.linspace(0, 1, int(np.ceil(length / seams.SPACING)) + 1)[:, None]
            one, two = (
                map_coordinates(
                    coarse, (side[0] + share * (side[1] - side[0])).T[::-1] - 0.5, order=1
                )
                for side in sides
            )
            wanted += worth**2 * ((one - two) ** 2).sum()
    x = picture.reshape(-1)[system.texels]
    assert x @ system.applied(x) == pytest.approx(wanted, rel=1e-9)
    light, hold = rng.random(len(x)), rng.random(len(x))
    system.weigh(light, hold)
    for k in rng.choice(len(x), 20, replace=False):
        unit = np.zeros(len(x))
        unit[k] = 1
        assert system.applied(unit)[k] == pytest.approx(system.diagonal[k], rel=1e-9)


def test_one_round_is_enough_where_no_color_leaves_its_range() -> None:
    told: list[int] = []
    picture = np.full((32, 32, 3), 0.5, np.float32)
    picture[:, 16:] = 0.52
    edge = [[[0.2, 0.2], [0.2, 0.7], [0.3, 0.5]], [[0.8, 0.2], [0.8, 0.7], [0.7, 0.5]]]
    closed = close_seams(picture, np.ones((32, 32), bool), np.array([edge]), told.append)
    assert sum(told) == seams.STEPS and max(told) >= (seams.ROUNDS - 1) * seams.ITERATIONS
    left, right = closed[12, 6].mean(), closed[12, 25].mean()
    assert abs(left - right) < 0.005 and 0.5 < left < 0.52


def test_without_borders_nothing_is_closed() -> None:
    told: list[int] = []
    picture = np.full((8, 8, 3), 0.5, np.float32)
    closed = close_seams(picture, np.ones((8, 8), bool), np.zeros((0, 2, 3, 2)), told.append)
    assert np.array_equal(closed, picture) and closed is not picture and sum(told) == seams.STEPS


def apart(picture: np.ndarray, edges: np.ndarray, level: int) -> np.ndarray:
    """Differences at the quarters of all borders, largest channel of sRGB."""
    for _ in range(level):
        size = len(picture) // 2
        picture = picture.reshape(size, 2, size, 2, 3).mean(axis=(1, 3))
    out = []
    for border in edges:
        for share in np.linspace(0.1, 0.9, 9):
            uvs = border[:, 0] * (1 - share) + border[:, 1] * share
            first, second = (encode(read(picture, uv)) for uv in uvs)
            out.append(np.abs(first - second).max())
    return np.array(out)


def read(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear."""
    x, y = uv * len(picture) - 0.5
    left, top = int(np.floor(x)), int(np.floor(y))
    shares = np.outer([top + 1 - y, y - top], [left + 1 - x, x - left])
    return (shares[..., None] * picture[top : top + 2, left : left + 2]).sum(axis=(0, 1))


def test_the_gutter_shows_what_lies_beyond() -> None:
    """Two halves of a plane with a linear color, cut apart, one turned by a right angle."""
    picture, known = np.zeros((64, 64, 3), np.float32), np.zeros((64, 64), bool)

    def color(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([x, y, x + y], axis=-1) / 64

    rows, columns = np.mgrid[4:24, 4:24]
    # Chart one: x = column, y = row; chart two: turned, so that x = 24 + row, y = column.
    picture[4:24, 4:24] = color(columns + 0.5, rows + 0.5)
    picture[40:60, 4:24] = color(20 + rows + 0.5, columns + 0.5)
    known[4:24, 4:24] = known[40:60, 4:24] = True
    one = [[24, 4], [24, 24], [4, 4]]
    two = [[4, 40], [24, 40], [4, 60]]
    found = unfolded(picture, known, np.array([[one, two]]) / 64)
    rows, columns = np.mgrid[8:20, 25:30]
    np.testing.assert_allclose(found[8:20, 25:30], color(columns + 0.5, rows + 0.5), atol=1e-5)
    rows, columns = np.mgrid[33:39, 8:20]
    beyond = color(rows - 16 + 0.5, columns + 0.5)
    np.testing.assert_allclose(found[33:39, 8:20], beyond, atol=1e-5)
    np.testing.assert_array_equal(found[known], picture[known])


def test_virtual_cameras_see_what_was_unseen() -> None:
    """The inside of an open box: a camera has to look in."""
    shape = trimesh.creation.box((1, 1, 1))
    shape.update_faces(shape.face_normals[:, 1] < 0.5)
    both = np.concatenate([shape.faces, shape.faces[:, ::-1]])
    corners = shape.vertices[both].reshape(-1, 3).astype(np.float32)
    model = Model(corners, np.arange(len(corners)).reshape(-1, 3), np.zeros(len(both), np.int64))
    flat = np.cross(corners[1::3] - corners[::3], corners[2::3] - corners[::3])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    model = replace(model, normals=np.repeat(flat, 3, axis=0).astype(np.float32))
    layout = lay_out(model, 128, 2, keep_uvs=False, name="")
    caster = Caster(layout.surface, 1)
    points = layout.points(slice(None))
    inward = np.flatnonzero(np.einsum("tx,tx->t", points.positions, points.normals) < 0)
    eyes = virtual.towards(inward, layout, caster, RULES, 64, seed=3)
    assert eyes and all((np.abs(eye.position[[0, 2]]) < 0.5).all() for eye in eyes)
    seen = np.zeros(len(inward), bool)
    for eye in eyes:
        seen |= virtual._sees(eye, layout.points(inward), caster, RULES)
    assert seen.mean() > 0.9


def test_a_similarity_moves_cameras_and_what_they_see() -> None:
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = 2.5 * turn, (1, -2, 3)
    pose = photos.cameras(3).world_to_camera[1].double().numpy()
    made = album.moved(pose, frame)
    np.testing.assert_allclose(made[:3, :3] @ made[:3, :3].T, np.eye(3), atol=1e-6)
    point = np.array([0.3, 0.1, -0.2, 1])
    np.testing.assert_allclose(made @ (frame @ point), np.append(2.5 * (pose @ point)[:3], 1))


def test_worth_falls_towards_every_edge() -> None:
    counts = np.ones((40, 60), bool)
    counts[:, 50:] = False
    outline = np.zeros((40, 60), bool)
    outline[20, 20] = True
    worth = album._worth(counts, outline, 5.0)
    assert (worth[:, 50:] == 0).all() and worth[20, 20] == round(255 * album.FAINTEST)
    assert worth[20, 35] == 255 and worth[20, 22] == round(255 * 2 / 5)
    assert worth[20, 49] == round(255 / 5) and worth[0, 35] == round(255 * 0.5 / 5)


def test_unseen_texels_continue_what_is_beside_them() -> None:
    layout = square(64)
    points = layout.points(slice(None))
    colors = points.positions.copy()
    known = np.hypot(*(points.positions[:, :2] - 0.5).T) > 0.15
    made = guess.from_around(np.where(known[:, None], colors, 9), known, layout)
    np.testing.assert_array_equal(made[known], colors[known])
    assert np.abs(made - colors).max() < 0.2


@pytest.mark.parametrize("threads", [1, 3])
def test_pieces_cover_everything(threads: int) -> None:
    touched = np.zeros(101, int)

    def work(piece: slice) -> None:
        touched[piece] += 1

    gather._in_pieces(work, 101, threads)
    assert (touched == 1).all()
