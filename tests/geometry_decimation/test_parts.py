"""Which of many loose parts are still there when few faces are left."""

import numpy as np
import pytest
from splatworks.stages.geometry.components import Surface
from splatworks.stages.geometry.decimation import Rules, simplify

from .shapes import box, bumpy, fan, grid, moved, together

SIZES = np.linspace(0.9, 1, 20)


def cards(sizes: np.ndarray) -> Surface:
    """Squares of two triangles each, far from each other, in rows of five."""
    return together(
        *(moved(grid(1), [2.0 * (n % 5), 2.0 * (n // 5), 0], size) for n, size in enumerate(sizes))
    )


def left(surface: Surface, faces: int, rules: Rules = Rules(), **given) -> list[int]:  # noqa: B008
    """Numbers of the cards that still have a face."""
    level = simplify(surface, targets=[faces], rules=rules, **given).levels[0]
    assert len(level.faces) == faces
    corners = level.positions[level.faces].mean(axis=1)
    return sorted({int(x // 2 + 5 * (y // 2)) for x, y, _ in corners})


def test_small_parts_go_before_large_ones_lose_their_last_face() -> None:
    surface = cards(SIZES)
    assert left(surface, 20) == list(range(20))
    assert left(surface, 8) == list(range(12, 20))
    # Without the price, a card of one triangle is the next to go.
    assert len(left(surface, 20, Rules(vanish_penalty=0.0))) == 10


def test_a_thin_closed_part_stays_as_a_sheet() -> None:
    """A plate has no border, so that next to nothing speaks against its getting narrower."""
    plate = box((1.0, 1.0, 0.002), cuts=2)
    crumbs = [box((0.05, 0.05, 0.05), (2 + 0.2 * n, 0, 0), cuts=1) for n in range(20)]
    level = simplify(together(plate, *crumbs), targets=[12]).levels[0]
    assert (level.positions[:, 0] < 1).any()


def area_by_part(surface: Surface, faces: int, centers, rules: Rules = Rules(), **given):  # noqa: B008
    """Areas of what is left near each center, and of all of it."""
    level = simplify(surface, targets=[faces], rules=rules, **given).levels[0]
    assert 0 < len(level.faces) <= faces
    corners = level.positions[level.faces]
    areas = (
        np.linalg.norm(
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
        )
        / 2
    )
    nearest = np.linalg.norm(corners.mean(axis=1)[:, None] - centers, axis=2).argmin(axis=1)
    return np.bincount(nearest, areas, minlength=len(centers)), areas.sum()


def scene(seed: int) -> tuple[Surface, np.ndarray, np.ndarray]:
    """A rough ball, boxes of 2.2 to 6 % of the area and crumbs below 1 %: centers and areas."""
    rng = np.random.default_rng(seed)
    parts, centers = [bumpy(3, seed)], [np.zeros(3)]
    for n in range(5):
        size = rng.uniform(0.28, 0.4) * np.array(
            [1.0, rng.uniform(0.5, 1.4), rng.uniform(0.7, 1.4)]
        )
        centers.append(np.array([3.0 + n, 2.0 * rng.uniform(-1, 1), 0.0]))
        parts.append(box(size, centers[-1], cuts=2))
    for n in range(12):
        centers.append(np.array([3.0 + 0.4 * n, 4.0, 0.0]))
        parts.append(box((0.1, 0.1, 0.1), centers[-1], cuts=1))
    areas = [
        c.sum()
        for c in (
            np.linalg.norm(
                np.cross(*(np.diff(p.positions[p.faces], axis=1).transpose(1, 0, 2))), axis=1
            )
            / 2
            for p in parts
        )
    ]
    return together(*parts), np.array(centers), np.array(areas)


@pytest.mark.parametrize("seed", range(3))
def test_large_parts_are_not_lost_while_they_earn_faces(seed: int) -> None:
    surface, centers, areas = scene(seed)
    share = areas / areas.sum()
    large = np.flatnonzero(share[1:6] >= 0.02) + 1
    assert len(large) >= 3 and share[6:].max() < 0.01
    for faces in (400, 150, int(2.5 / share[large].min()) + 2):
        kept = area_by_part(surface, faces, centers)[0] / areas
        # The two sides of what has become a sheet are one, so that half of the floor may be left.
        assert (kept[large] > 0.45 / 2).all(), (faces, kept[large])


def beside_a_ball() -> tuple[Surface, np.ndarray, np.ndarray]:
    """Two blobs of 3.5 % of the area that hardly matter, centers of all, and importance."""
    blobs = (moved(bumpy(2, 5 + n), [2.5 + n, 0, 0], 0.2) for n in range(2))
    surface = together(bumpy(3), *blobs)
    centers = np.array([[0.0, 0, 0], [2.5, 0, 0], [3.5, 0, 0]])
    return surface, centers, np.where(surface.positions[:, 0] > 2, 0.03, 1.0)


def test_parts_that_hardly_matter_keep_their_floor_and_no_more() -> None:
    surface, centers, importance = beside_a_ball()
    whole = area_by_part(surface, 10_000, centers)[0]

    def kept(faces: int, **rules) -> np.ndarray:
        left = area_by_part(surface, faces, centers, Rules(**rules), importance=importance)
        return left[0][1:] / whole[1:]

    assert (kept(78) > 0.45).all()
    assert (kept(78, part_floor=0.0) < 0.25).all()
    assert kept(78, part_floor=0.2) == pytest.approx(kept(78, part_floor=0.0), rel=0.3)
    # Of 78 faces they earn 2.73.
    assert (kept(78, part_share=0.03) > 0.45).all() and (kept(78, part_share=0.04) < 0.25).all()
    assert (kept(78, part_faces=2.7) > 0.45).all() and (kept(78, part_faces=3.3) < 0.25).all()
    assert (kept(40) == 0).all()


def test_the_target_is_reached_whatever_the_floor() -> None:
    surface, centers, importance = beside_a_ball()
    rules = Rules(part_floor=0.99, part_faces=0.1, part_share=0.0)
    for faces in (12, 5, 1):
        area_by_part(surface, faces, centers, rules, importance=importance)


def test_the_largest_part_has_no_floor() -> None:
    """Its area may fall to that of the plane that an accordion is on the whole."""
    folded = grid(40, lambda x, y: 0.05 * np.abs((20 * x) % 2 - 1))
    other = moved(grid(2), [2.0, 0, 0])
    kept, _ = area_by_part(together(folded, other), 12, np.array([[0.5, 0.5, 0], [2.5, 0.5, 0]]))
    assert kept[0] == pytest.approx(1, abs=0.1)
    assert kept[1] == pytest.approx(1, abs=0.05)


def test_closed_thin_parts_shrink_less_where_area_has_a_price() -> None:
    """Twenty plates, whose rims weigh next to nothing, beside a ball."""
    centers = np.array([[3 + 1.5 * (n % 5), 1.5 * (n // 5), 0.0] for n in range(20)])
    plates = (box((1.0, 1.0, 0.004), center, cuts=3) for center in centers)
    surface = together(bumpy(3), *plates)
    priced, free = (
        area_by_part(
            surface, 60, np.array([[0.0, 0, 0], *centers]),
            Rules(shrink_penalty=price, part_floor=0.0),
        )[0][1:]
        for price in (0.1, 0.0)
    )  # fmt: skip
    assert priced.min() > 0.85
    assert np.median(free) < 0.8


def test_many_sheets_at_one_edge_do_not_miss_the_target() -> None:
    """A collapse of such an edge takes a face of each sheet at once."""
    flat = Surface(fan(9).positions * [1, 1, 0.02], fan(9).faces)
    books = (moved(flat, [3.0 + 2.5 * n, 0, 0], 0.6 + 0.05 * n) for n in range(6))
    surface = together(bumpy(2), *books)
    targets = list(range(150, 40, -7))
    chain = simplify(surface, targets=targets).levels
    for target, level in zip(targets, chain, strict=True):
        alone = simplify(surface, targets=[target]).levels[0]
        assert target - 1 <= len(alone.faces) <= target
        assert target - 1 <= len(level.faces) <= target


def test_faces_that_become_doubles_do_not_miss_the_target() -> None:
    """A tetrahedron comes down to one face at once; a ball beside it has faces to spare."""
    corners = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    one = Surface(np.array(corners, float), np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]))
    sizes = np.random.default_rng(0).uniform(0.15, 0.3, 60)
    crumbs = (moved(one, [2.0 + 3 * n, 0, 0], size) for n, size in enumerate(sizes))
    surface = together(bumpy(2), *crumbs)
    for target in range(61, 199, 8):
        assert target - 1 <= len(simplify(surface, targets=[target]).levels[0].faces) <= target


def test_transparent_parts_have_no_floor() -> None:
    surface, centers, importance = beside_a_ball()
    clear = np.where(surface.positions[:, 0] > 3, 0.05, 1.0)
    left = area_by_part(surface, 80, centers, shown=clear, importance=importance)[0]
    assert left[1] > 0.15 and left[2] == 0


def test_transparent_cards_go_first() -> None:
    """Ten squares of equal size, every other one almost clear."""
    surface = cards(np.ones(10))
    shares = np.where(np.arange(10) % 2 == 1, 0.1, 1.0)
    share = np.repeat(shares, 4)
    assert left(surface, 5, importance=share, shown=share) == [0, 2, 4, 6, 8]


def corners_left_and_right(surface: Surface, shown: np.ndarray) -> np.ndarray:
    """Border edges on either side of x = 1/2 when forty faces are left."""
    level = simplify(surface, targets=[40], shown=shown).levels[0]
    sides = np.sort(level.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, faces = np.unique(sides, axis=0, return_counts=True)
    middle = level.positions[edges[faces == 1]].mean(axis=1)[:, 0]
    return np.array([(middle < 0.5).sum(), (middle > 0.5).sum()])


def test_borders_of_what_is_transparent_yield() -> None:
    """Ragged squares, the left half of each clear: it loses corners, the right one none."""
    square = grid(12)
    clear, solid = np.zeros(2), np.zeros(2)
    for seed in range(6):
        shaken = np.random.default_rng(seed).normal(size=(169, 3)) * [0.01, 0.01, 0]
        surface = Surface(square.positions + shaken, square.faces)
        shown = np.where(surface.positions[:, 0] < 0.5, 0.1, 1.0)
        here = corners_left_and_right(surface, shown)
        there = corners_left_and_right(surface, np.ones(169))
        assert here[0] < there[0]
        clear, solid = clear + here, solid + there
    assert clear[0] <= 0.75 * solid[0]
    assert clear[1] == pytest.approx(solid[1], rel=0.05)


def test_all_shown_is_as_if_nothing_was_said() -> None:
    surface = cards(SIZES)
    one = simplify(surface, targets=[20], shown=np.ones(len(surface.positions))).levels[0]
    two = simplify(surface, targets=[20]).levels[0]
    assert one.positions.tobytes() == two.positions.tobytes()
    assert one.faces.tobytes() == two.faces.tobytes()


@pytest.mark.parametrize("shown", [np.zeros(4), np.full(4, np.nan), np.ones(3)])
def test_wrong_shares_are_refused(shown: np.ndarray) -> None:
    with pytest.raises(ValueError, match="shown"):
        simplify(grid(1), targets=[1], shown=shown)
