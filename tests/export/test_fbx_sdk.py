"""FBX through Autodesk's own SDK, which Unreal, Unity and Maya read with.

FBX2glTF has it inside. `npm install fbx2gltf`, and SPLATWORKS_FBX2GLTF names the program,
node_modules/fbx2gltf/bin/Linux/FBX2glTF.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from splatworks.stages.formats import wild

from .props import prop
from .readers import Corners, wanted

PROGRAM = os.environ.get("SPLATWORKS_FBX2GLTF")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="no SPLATWORKS_FBX2GLTF")


def through_sdk(path: Path) -> tuple[Corners, list[str]]:
    """Corners in metres with y up, and the paths of the nodes."""
    out = path.with_name("sdk.glb")
    words = [PROGRAM, "-i", str(path), "-o", str(out), "--binary", "--verbose"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and out.is_file(), done.stdout + done.stderr
    model = wild.read(out)
    names = [model.materials[k].name for k in model.face_materials]
    uvs = model.uvs[0][model.faces] * [1, -1] + [0, 1]
    nodes = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("node ")]
    return Corners(model.positions[model.faces], model.normals[model.faces], uvs, names), nodes


@pytest.mark.parametrize("tool", ["any", "blender", "unreal", "unity", "maya"])
def test_geometry_and_materials(exported, tool: str) -> None:
    (path,) = exported(tool=tool, format="fbx").glob("*.fbx")
    found, _ = through_sdk(path)
    rows = wanted(prop()).sorted_rows(normals=False)
    np.testing.assert_allclose(found.sorted_rows(normals=False), rows, atol=2e-4)
    assert len(set(found.materials)) == 3


def test_embedded_pictures_come_out_as_they_went_in(exported) -> None:
    out = exported(format="fbx", file="one.fbx")
    through_sdk(out / "one.fbx")
    apart = exported(format="fbx")
    found = sorted((out / "one.fbm").glob("*.png"))
    assert len(found) == 7
    for picture in found:
        assert picture.read_bytes() == (apart / picture.name).read_bytes()


def test_levels_hang_where_the_tools_look_for_them(exported) -> None:
    out = exported(tool="unreal", format="fbx", lods=True, collision="hull")
    nodes = through_sdk(out / "SM_prop.fbx")[1]
    assert set(nodes) == {
        "/RootNode", "/RootNode/SM_prop", "/RootNode/SM_prop/SM_prop_LOD0",
        "/RootNode/SM_prop/SM_prop_LOD1", "/RootNode/UCX_SM_prop_LOD0_00",
    }  # fmt: skip
    nodes = through_sdk(exported(tool="unity", format="fbx", lods=True) / "prop.fbx")[1]
    assert set(nodes) == {"/RootNode", "/RootNode/prop_LOD0", "/RootNode/prop_LOD1"}
