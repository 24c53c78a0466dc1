"""Pictures made ready for a tool: sizes, factors, channels, names."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from splatworks.stages.export.corners import weld, with_frames
from splatworks.stages.export.looks import Shelf, Style, look, resized, wanted_size
from splatworks.stages.export.names import clean, distinct, prefixed
from splatworks.stages.export.profiles import PROFILES
from splatworks.stages.formats import srgb
from splatworks.stages.formats.model import Material, Texture

from .props import picture, prop

BODY = prop().materials[0]


def style(packing: str = "separate", largest: int = 4096, tool: str = "any", **more) -> Style:
    settings = {"flip_green": False} | more
    return Style(profile=PROFILES[tool], packing=packing, largest_px=largest, **settings)


def opened(one) -> np.ndarray:
    import io

    return np.asarray(Image.open(io.BytesIO(one.data)))


def test_factors_are_worked_into_the_pictures() -> None:
    made = look(BODY, "body", "T", style(), Shelf())
    base = opened(made.maps["base_color"].picture) / 255
    expected = srgb.encode(srgb.decode(BODY.base_color.pixels / 255) * [0.8, 0.9, 1.0])
    assert np.abs(base - expected).max() <= 0.5 / 255 + 1e-9
    surface = BODY.metallic_roughness.pixels / 255
    rough = opened(made.maps["roughness"].picture)[..., 0] / 255
    assert np.abs(rough - 0.75 * surface[..., 1]).max() <= 0.5 / 255 + 1e-9
    metal = opened(made.maps["metallic"].picture)[..., 0] / 255
    assert np.abs(metal - 0.5 * surface[..., 2]).max() <= 0.5 / 255 + 1e-9
    shade = opened(made.maps["occlusion"].picture)[..., 0] / 255
    assert np.abs(shade - (0.5 + 0.5 * BODY.occlusion.pixels[..., 0] / 255)).max() < 0.003
    # Multiplied once: with a picture the number is neutral.
    assert made.base_color == made.emissive == (1.0, 1.0, 1.0)
    assert made.emissive_strength == 2.0


def test_orm_and_smoothness_have_their_channels() -> None:
    orm = opened(look(BODY, "b", "T", style("orm"), Shelf()).maps["roughness"].picture) / 255
    surface = BODY.metallic_roughness.pixels / 255
    assert np.abs(orm[..., 0] - (0.5 + 0.5 * BODY.occlusion.pixels[..., 0] / 255)).max() < 0.003
    assert np.abs(orm[..., 1] - 0.75 * surface[..., 1]).max() < 0.003
    assert np.abs(orm[..., 2] - 0.5 * surface[..., 2]).max() < 0.003
    made = look(BODY, "b", "T", style("unity", tool="unity"), Shelf())
    (packed,) = (one for one in made.beside if "MetallicSmoothness" in one.file)
    pixels = opened(packed) / 255
    assert np.abs(pixels[..., 3] - (1 - 0.75 * surface[..., 1])).max() < 0.003
    assert np.abs(pixels[..., 0] - 0.5 * surface[..., 2]).max() < 0.003
    assert not packed.srgb


def test_what_cannot_be_connected_lies_beside_with_the_mean_in_its_place() -> None:
    connects = frozenset({"base_color", "normal", "emissive"})
    made = look(BODY, "b", "T", style("orm", connects=connects), Shelf())
    assert set(made.maps) == connects
    assert [one.file for one in made.beside] == ["T_ORM.png"]
    mean = 0.75 * BODY.metallic_roughness.pixels[..., 1].mean() / 255
    assert made.roughness == pytest.approx(mean)


def test_pictures_are_averaged_in_linear_light() -> None:
    checks = np.indices((32, 32)).sum(axis=0) % 2 * np.uint8(255)
    pixels = np.repeat(checks[..., None].astype(np.uint8), 3, axis=2)
    small = resized(pixels, style(largest=8), color=True)
    assert small.shape == (8, 8, 3) and set(small.reshape(-1)) == {188}  # sRGB of 0.5.
    assert set(resized(pixels, style(largest=8), color=False).reshape(-1)) == {128}
    assert resized(pixels, style(largest=32), color=True) is pixels
    gray = np.where(pixels > 0, np.uint8(200), np.uint8(40))
    mean = srgb.encode(srgb.decode(np.array([40, 200]) / 255).mean(keepdims=True)) * 255
    assert set(resized(gray, style(largest=8), color=True).reshape(-1)) == {round(float(mean[0]))}


@pytest.mark.parametrize(
    ("size", "largest", "powers", "wanted"),
    [((300, 200), 4096, False, (300, 200)), ((300, 200), 4096, True, (256, 128)),
     ((4000, 1000), 2048, False, (2048, 512)), ((1, 3000), 1024, True, (1, 1024)),
     ((256, 256), 256, True, (256, 256))],
)  # fmt: skip
def test_sizes(size, largest, powers, wanted) -> None:
    assert wanted_size(size, largest, powers) == wanted


def test_smaller_normal_maps_still_have_unit_length() -> None:
    made = look(replace(BODY, normal_scale=2.0), "b", "T", style(largest=16), Shelf())
    vectors = opened(made.maps["normal"].picture) / 255 * 2 - 1
    assert np.abs(np.linalg.norm(vectors, axis=-1) - 1).max() < 0.02
    steep = BODY.normal.pixels / 255 * 2 - 1
    assert np.abs(vectors[..., 1]).mean() > 1.3 * np.abs(steep[..., 1]).mean()


def test_one_picture_one_file() -> None:
    shelf, pixels = Shelf(), picture(16, 1)
    material = Material(base_color=Texture(pixels))
    first = look(material, "a", "T_a", style(), shelf).maps["base_color"].picture
    again = look(material, "b", "T_b", style(), shelf).maps["base_color"].picture
    other = Material(base_color=Texture(picture(16, 2)))
    third = look(other, "c", "t_A", style(), shelf).maps["base_color"].picture
    assert first is again and first.file == "T_a_BaseColor.png"
    assert third.file == "t_A_BaseColor_2.png"  # Not alike for Windows either.


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("ship", "ship"), ("Body work/ä", "Body_work_a"), ("../../etc/passwd", "etc_passwd"),
     ("3d", "_3d"), ("con", "_con"), ("猫", "asset"), ("", "asset"), ("a\0\1Model", "a_Model"),
     ("x" * 99, "x" * 64), ("été", "ete")],
)  # fmt: skip
def test_clean_names(text: str, wanted: str) -> None:
    assert clean(text) == wanted


def test_distinct_names_and_prefixes() -> None:
    assert distinct(["a b", "A_B", "", "?"], "M") == ["a_b", "A_B_2", "M", "M_2"]
    assert prefixed("SM_", "ship") == prefixed("SM_", "SM_ship") == "SM_ship"


def test_welding_keeps_the_back_of_a_sheet() -> None:
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    positions = np.concatenate([corners, corners, corners + np.array([0, 1, 0])])
    faces = np.array([[0, 1, 2], [5, 4, 3], [6, 7, 8]])
    places, welded = weld(positions, faces)
    assert np.array_equal(places[welded], positions[faces])
    assert len(places) == 3 + 3 + 2  # The third face shares a corner with the first.
    assert not set(welded[0]) & set(welded[1]) and set(welded[0]) & set(welded[2])


def test_frames_are_added_where_they_are_missing() -> None:
    model = prop()
    made = with_frames(replace(model, normals=None))
    assert np.array_equal(made.positions[made.faces], model.positions[model.faces])
    assert np.array_equal(made.uvs[0][made.faces], model.uvs[0][model.faces])
    box = slice(0, 12)  # Its creases are sharp, so that the normals are those of the sides.
    normals = model.normals[model.faces[box]]
    np.testing.assert_allclose(made.normals[made.faces[box]], normals, atol=1e-6)
    tangents = made.tangents[made.faces[box]]
    assert np.abs(np.linalg.norm(tangents[..., :3], axis=-1) - 1).max() < 1e-5
    assert np.abs((tangents[..., :3] * normals).sum(axis=-1)).max() < 1e-5
    # The tangent goes where u grows: along the edge from corner 0 to corner 1.
    along = model.positions[model.faces[box, 1]] - model.positions[model.faces[box, 0]]
    flat = model.uvs[0][model.faces[box, 1]] - model.uvs[0][model.faces[box, 0]]
    straight = (np.abs(flat[:, 1]) < 1e-6) & (flat[:, 0] > 0)
    cosine = (tangents[straight, 0, :3] * along[straight]).sum(axis=-1)
    np.testing.assert_allclose(cosine, np.linalg.norm(along[straight], axis=-1), rtol=1e-5)
    # And w · (normal x tangent) goes up in the picture: from corner 1 to corner 2 of these faces.
    first = slice(0, 12, 2)
    upwards = model.positions[model.faces[first, 2]] - model.positions[model.faces[first, 1]]
    t = made.tangents[made.faces[first, 1]]
    bitangent = t[:, 3:] * np.cross(model.normals[model.faces[first, 1]], t[:, :3])
    cosine = (bitangent * upwards).sum(axis=-1) / np.linalg.norm(upwards, axis=-1)
    np.testing.assert_allclose(cosine, 1, atol=1e-5)
    again = with_frames(made)
    assert again is made
