"""MeshLab's quadric collapse that looks at texture coordinates, through OBJ."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pymeshlab
from adapter import main
from judge import glb
from judge.model import weld
from PIL import Image


def run(source, target, out, variant, timer):
    model = glb.read(source)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_obj(model, Path("in.obj"))
        meshes = pymeshlab.MeshSet()
        meshes.load_new_mesh("in.obj")
        with timer:
            meshes.meshing_decimation_quadric_edge_collapse_with_texture(targetfacenum=target)
        # Materials are told apart by their texture: MTL names do not survive.
        meshes.save_current_mesh("out.obj", save_textures=False)
        glb.write(out, read_obj(Path("out.obj"), model))


def write_obj(model, path):
    places, faces = weld(model.positions, model.faces)
    lines = ["mtllib in.mtl"] + [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in places]
    lines += [f"vt {u:.9g} {1 - v:.9g}" for u, v in model.uvs.reshape(-1, 2)]
    library = []
    for number in np.unique(model.material):
        material = model.materials[number]
        name = f"m{number}"
        library += [f"newmtl {name}", f"map_Kd {name}.png"]
        pixels = material.pixels
        if pixels is None:
            pixels = np.full((4, 4, 4), 255, np.uint8)
        Image.fromarray(pixels[..., :3]).save(path.parent / f"{name}.png")
        lines.append(f"usemtl {name}")
        for face in np.flatnonzero(model.material == number):
            corners = zip(faces[face], range(3 * face, 3 * face + 3), strict=True)
            lines.append("f " + " ".join(f"{v + 1}/{t + 1}" for v, t in corners))
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".mtl").write_text("\n".join(library) + "\n")


def read_obj(path, model):
    textures = {}
    name = ""
    for line in next(path.parent.glob(f"{path.name}.mtl")).read_text().splitlines():
        words = line.split()
        if words[:1] == ["newmtl"]:
            name = words[1]
        if words[:1] == ["map_Kd"]:
            textures[name] = int(Path(words[1]).stem[1:])
    places, uvs, faces, corners, material, number = [], [], [], [], [], 0
    for line in path.read_text().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            places.append([float(w) for w in words[1:4]])
        elif words[0] == "vt":
            uvs.append([float(words[1]), 1 - float(words[2])])
        elif words[0] == "usemtl":
            number = textures[words[1]]
        elif words[0] == "f":
            split = [w.split("/") for w in words[1:4]]
            faces.append([int(s[0]) - 1 for s in split])
            corners.append([int(s[1]) - 1 for s in split])
            material.append(number)
    return replace(
        model,
        positions=np.array(places),
        faces=np.array(faces),
        uvs=np.array(uvs)[np.array(corners)],
        colors=np.ones((len(faces), 3, 4)),
        material=np.array(material),
    )


main(run)
