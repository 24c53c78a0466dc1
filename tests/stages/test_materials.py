"""Textures and materials looked up, against the definitions written as loops."""

import numpy as np
import pytest
from splatworks.stages.formats.model import Material, Model, Texture
from splatworks.stages.geometry import sampling
from splatworks.stages.geometry.appearance import Appearance, Places
from splatworks.stages.geometry.sampling import look_up, pyramid

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
UVS = np.float32([[0, 1], [1, 1], [1, 0], [0, 0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def linear(byte: float) -> float:
    value = byte / 255
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def wrapped(index: int, size: int, mode: str) -> int:
    if mode == "repeat":
        return index % size
    if mode == "clamp":
        return min(max(index, 0), size - 1)
    period = list(range(size)) + list(range(size))[::-1]
    return period[index % (2 * size)]


def by_hand(pixels: np.ndarray, u: float, v: float, wrap: tuple[str, str]) -> np.ndarray:
    """Bilinear in linear light, texel centres at +0.5."""
    height, width = pixels.shape[:2]
    x, y = u * width - 0.5, v * height - 0.5
    out = np.zeros(3)
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for column in (int(np.floor(x)), int(np.floor(x)) + 1):
            weight = (1 - abs(x - column)) * (1 - abs(y - row))
            texel = pixels[wrapped(row, height, wrap[1]), wrapped(column, width, wrap[0])]
            out += weight * np.array([linear(value) for value in texel])
    return out


def asked(source, uvs: np.ndarray, footprint_texels: float = 1.0, density: float = 1.0):
    """Look up single points: a face each, all three corners at the point."""
    count = len(uvs)
    corners = np.repeat(uvs[:, None], 3, axis=1)
    return look_up(
        source, corners, np.full(count, density), np.arange(count),
        np.full((count, 3), 1 / 3), np.full(count, 1 / footprint_texels),
    )  # fmt: skip


@pytest.mark.parametrize("u_wrap", ["repeat", "mirror", "clamp"])
@pytest.mark.parametrize("v_wrap", ["repeat", "mirror", "clamp"])
def test_lookups_match_the_definition(u_wrap, v_wrap) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 5, 3)).astype(np.uint8)
    uvs = rng.uniform(-2.5, 2.5, (40, 2))
    source = pyramid(Texture(pixels, (u_wrap, v_wrap)), color=True)
    found = asked(source, uvs)
    for value, (u, v) in zip(found, uvs, strict=True):
        np.testing.assert_allclose(value, by_hand(pixels, u, v, (u_wrap, v_wrap)), atol=2e-5)


def test_numbers_are_not_decoded_and_nearest_is_nearest() -> None:
    pixels = np.uint8([[[0, 128, 255], [255, 0, 0]]])
    plain = asked(pyramid(Texture(pixels), color=False), np.array([[0.25, 0.5], [0.5, 0.5]]))
    np.testing.assert_allclose(
        plain, np.array([[0, 128, 255], [127.5, 64, 127.5]]) / 255, atol=1e-6
    )
    sharp = asked(pyramid(Texture(pixels, nearest=True), color=False), np.array([[0.49, 0.5]]))
    np.testing.assert_allclose(sharp[0], pixels[0, 0] / 255, atol=1e-6)


def test_levels_are_means_in_linear_light() -> None:
    """Black and white stripes one texel wide: half the light, whatever the phase."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, ::2] = 255
    source = pyramid(Texture(pixels), color=True)
    uvs = np.random.default_rng(0).uniform(0, 1, (50, 2))
    far = asked(source, uvs, footprint_texels=8)
    np.testing.assert_allclose(far, 0.5, atol=0.005)
    near = asked(source, uvs, footprint_texels=1)
    assert near.std() > 0.2
    # One level further each time the footprint doubles, less the sharpening of half a level.
    assert sampling.SHARPEN_LEVELS == 0.5
    ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 64, axis=0)
    ramp = np.repeat(ramp, 3, axis=2)
    ramp[:, 32:] = 0
    levels = pyramid(Texture(ramp, ("clamp", "clamp")), color=False)
    place = np.array([[0.5, 0.5]])
    ends = [asked(levels, place, footprint_texels=f * 2**0.5)[0, 0] for f in (2, 4)]
    halved = ramp[:, :, 0].reshape(64, 32, 2).mean(axis=2) / 255
    quarter = halved.reshape(64, 16, 2).mean(axis=2)
    np.testing.assert_allclose(ends[0], halved[0, 15:17].mean(), atol=0.005)
    np.testing.assert_allclose(ends[1], quarter[0, 7:9].mean(), atol=0.005)


def test_odd_sides_lose_no_texel() -> None:
    pixels = np.zeros((1, 3, 3), np.uint8)
    pixels[0, 2] = 255
    source = pyramid(Texture(pixels), color=False)
    assert list(map(tuple, source.sizes)) == [(3, 1), (1, 1)]
    assert source.values[-3] == 85


@pytest.mark.parametrize("color", [True, False])
def test_halving_even_sides_is_the_general_rule(color: bool) -> None:
    """The short way agrees with the long one to the bit."""
    pixels = np.random.default_rng(2).integers(0, 256, (64, 32, 4)).astype(np.uint8)
    table, codes = (
        (sampling._LINEAR, sampling._ENCODE) if color else (sampling._PLAIN, sampling._ENCODE_PLAIN)
    )
    short, long = np.zeros((2, 32, 16, 4), np.uint8)
    sampling._halve_even(pixels, table, codes, short)
    sampling._halve(pixels, table, False, codes, long)
    np.testing.assert_array_equal(short, long)
    level = pyramid(Texture(pixels), color=color)
    start = level.starts[1]
    np.testing.assert_array_equal(level.values[start : start + long.size], long.reshape(-1))


def test_what_is_cut_out_does_not_stain_the_rest() -> None:
    """Red leaves on transparent green: no mixture shows green."""
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 1] = 255
    pixels[::2] = (255, 0, 0, 255)
    cut = pyramid(Texture(pixels), color=True, cut_out=True)
    uvs = np.random.default_rng(1).uniform(0, 1, (30, 2))
    for footprint in (1, 4, 16):
        found = asked(cut, uvs, footprint)
        seen = found[:, 3] > 0.05
        assert seen.any() and (found[seen, 0] > 0.9).all() and (found[seen, 1] < 0.1).all()
    np.testing.assert_allclose(asked(cut, uvs, 64)[:, 3], 0.5, atol=0.01)


def square(material: Material, **more) -> Appearance:
    kinds = np.zeros(2, np.int64)
    model = Model(SQUARE, FACES, kinds, (material,), uvs=(UVS,), **more)
    return Appearance(model)


def places(count: int, seed: int = 0, texels_per_m: float = 1e6) -> Places:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet([1, 1, 1], count)
    return Places(rng.integers(0, 2, count), weights, np.full(count, texels_per_m))


def test_base_color_is_texture_times_factor_times_vertex_color() -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
    colors = rng.uniform(0, 1, (4, 4)).astype(np.float32)
    factor = (0.5, 0.25, 1.0, 0.5)
    transform = ((2.0, 0.0, 0.1), (0.0, -1.0, 0.3))
    texture = Texture(pixels, ("mirror", "repeat"), transform=transform)
    source = square(Material(base_color=texture, base_color_factor=factor, alpha_mode="BLEND"),
                    colors=colors)  # fmt: skip
    here = places(20)
    found = source.base_color(here)
    for k in range(20):
        corner = FACES[here.faces[k]]
        u, v = here.barycentrics[k] @ UVS[corner]
        tone = by_hand(pixels, 2 * u + 0.1, -v + 0.3, ("mirror", "repeat"))
        wanted = np.append(tone, 1) * factor * (here.barycentrics[k] @ colors[corner])
        np.testing.assert_allclose(found[k], wanted, atol=1e-4)
    opaque = square(Material(base_color=texture, base_color_factor=factor))
    assert (opaque.base_color(here)[:, 3] == 1).all()


def test_cut_outs_answer_their_covered_share() -> None:
    """A quarter of the picture passes the cutoff once the factor is in."""
    pixels = np.full((64, 64, 4), 255, np.uint8)
    pixels[..., 3] = 100
    pixels[::2, ::2, 3] = 200
    material = Material(base_color=Texture(pixels), alpha_mode="MASK", alpha_cutoff=0.5,
                        base_color_factor=(1.0, 1.0, 1.0, 0.8))  # fmt: skip
    found = square(material).base_color(places(200, texels_per_m=2.0))
    np.testing.assert_allclose(found[:, 3], 0.25, atol=0.02)


def test_the_other_slots_apply_factors_and_strengths() -> None:
    def even(*values: int) -> Texture:
        return Texture(np.uint8([[values]]))

    material = Material(
        metallic_roughness=even(10, 51, 204), metallic_factor=0.5, roughness_factor=0.25,
        occlusion=even(51, 9, 9), occlusion_strength=0.5, emissive=even(255, 0, 188),
        emissive_factor=(1.0, 1.0, 0.5), emissive_strength=3.0,
    )  # fmt: skip
    source, here = square(material), places(5)
    np.testing.assert_allclose(source.metallic_roughness(here), [[0.05, 0.4]] * 5, atol=1e-6)
    np.testing.assert_allclose(source.occlusion(here), [[0.6]] * 5, atol=1e-6)
    np.testing.assert_allclose(source.emissive(here), [[3, 0, 1.5 * linear(188)]] * 5, atol=1e-4)


def test_several_materials_each_answer_for_their_faces() -> None:
    red = Material(base_color_factor=(1.0, 0.0, 0.0, 1.0))
    blue = Material(base_color_factor=(0.0, 0.0, 1.0, 1.0))
    model = Model(SQUARE, FACES, np.array([1, 0]), (red, blue), uvs=(UVS,))
    here = places(30)
    found = Appearance(model).base_color(here)
    np.testing.assert_allclose(found[:, 2], here.faces == 0)


def test_normal_maps_bend_along_their_own_frame() -> None:
    """u runs along +X and v downwards, so that red leans to +X and green to +Y."""
    tilted = np.uint8([[[255 * 0.8, 127.5 + 0.5, 255 * 0.9]]])
    x, y, z = (tilted[0, 0].astype(float) / 255) * 2 - 1
    normals = np.tile(np.float32([0, 0, 1]), (4, 1))
    material = Material(normal=Texture(tilted), normal_scale=0.5)
    here, up = places(6), np.tile([0.0, 0, 1], (6, 1))
    wanted = np.array([0.5 * x, 0.5 * y, z])
    wanted /= np.linalg.norm(wanted)
    found = square(material, normals=normals).normals(here, up)
    np.testing.assert_allclose(found, np.tile(wanted, (6, 1)), atol=1e-5)
    # With an authored tangent along +Y and w = -1: red leans to +Y, green to -(n x t) = +X.
    given = np.tile(np.float32([0, 1, 0, -1]), (4, 1))
    found = square(material, normals=normals, tangents=given).normals(here, up)
    np.testing.assert_allclose(found, np.tile(wanted[[1, 0, 2]], (6, 1)), atol=1e-5)


def test_only_double_sided_surfaces_turn_to_the_asker() -> None:
    normals = np.tile(np.float32([0, 0, 1]), (4, 1))
    here, below = places(4), np.tile([0.0, 0, -1], (4, 1))
    for double in (False, True):
        found = square(Material(double_sided=double), normals=normals).normals(here, below)
        np.testing.assert_allclose(found[:, 2], -1.0 if double else 1.0)


def test_density_counts_texels_per_square_metre() -> None:
    texture = Texture(np.zeros((8, 16, 3), np.uint8), transform=((3.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
    np.testing.assert_allclose(square(Material(base_color=texture)).texels_per_m2(), 3 * 128)


def test_materials_share_a_picture_unless_they_cut_it_out_differently() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (4, 4, 4)).astype(np.uint8)

    def material(mode, cutoff=0.5, factor=1.0) -> Material:
        return Material(
            base_color=Texture(pixels), occlusion=Texture(pixels), alpha_mode=mode,
            alpha_cutoff=cutoff, base_color_factor=(1.0, 1.0, 1.0, factor),
        )  # fmt: skip

    materials = (
        material("OPAQUE"), material("OPAQUE"), material("MASK", 0.2), material("MASK", 0.2),
        material("MASK", 0.8), material("MASK", 0.2, 0.5), material("BLEND"),
    )  # fmt: skip
    count = len(materials)
    positions = np.tile([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]], (count, 1))
    model = Model(
        positions, np.arange(3 * count).reshape(-1, 3), np.arange(count), materials,
        uvs=(positions[:, :2].astype(np.float32),),
    )  # fmt: skip
    source = Appearance(model)
    places = Places(np.arange(count), np.full((count, 3), 1 / 3), np.full(count, 1e9))
    found = source.base_color(places)
    # Plain color, three cut-outs, blended color; then the numbers of the occlusion alone.
    assert len(source._pyramids) == 5
    source.occlusion(places)
    assert len(source._pyramids) == 1
    for k in range(count):
        alone = Appearance(
            Model(
                model.positions[:3],
                model.faces[:1],
                np.zeros(1, np.int64),
                materials[k : k + 1],
                uvs=(model.uvs[0][:3],),
            )
        )
        here = Places(np.zeros(1, np.int64), places.barycentrics[:1], places.texels_per_m[:1])
        np.testing.assert_array_equal(alone.base_color(here)[0], found[k])
