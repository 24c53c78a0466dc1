"""Run as `python fbx_probe.py FILE.fbx`: what ufbx reads, as JSON.

A process of its own that lets nothing go before it ends, since the young binding can take the
interpreter down when its objects are collected.
"""

import gc
import json
import os
import sys

import ufbx

KEPT = []


def kept(value):
    KEPT.append(value)
    return value


def main(path: str) -> None:
    gc.disable()
    scene = kept(ufbx.load_file(path))
    found = {
        "version": scene.metadata.version,
        "warnings": [one.description for one in scene.metadata.warnings],
        "up": int(scene.settings.axes.up),
        "front": int(scene.settings.axes.front),
        "unit_meters": scene.settings.unit_meters,
        "lods": [
            [(level.distance, int(level.display)) for level in one.lod_levels]
            for one in kept(scene.lod_groups)
        ],
        "meshes": {},
        "materials": {},
    }
    for one in kept(scene.meshes):
        kept(one)
        node = kept(kept(one.instances)[0])
        found["meshes"][node.name] = {"parent": kept(node.parent).name, **mesh(one)}
    for one in kept(scene.materials):
        found["materials"][kept(one).name] = material(one)
    print(json.dumps(found), flush=True)
    os._exit(0)


def mesh(one):
    def corners(attribute):
        values = [list(value) for value in kept(kept(attribute).values)]
        return [values[index] for index in kept(attribute.indices)]

    return {
        "positions": corners(one.vertex_position),
        "normals": corners(one.vertex_normal) if one.vertex_normal.exists else None,
        "uvs": {kept(each).name: corners(each.vertex_uv) for each in kept(one.uv_sets)},
        "vertices": one.num_vertices,
        "face_materials": list(kept(one.face_material)),
        "sizes": [face.num_indices for face in kept(one.faces)],
        "materials": [kept(each).name for each in kept(one.materials)],
    }


def material(one):
    maps = kept(one.fbx)
    textures = {}
    for each in kept(one.textures):
        texture = kept(kept(each).texture)
        video = kept(texture.video)
        textures[each.material_prop] = {
            "file": texture.relative_filename,
            "bytes": len(kept(video.content)),
            "uv_set": texture.uv_set,
            "wrap": [int(texture.wrap_u), int(texture.wrap_v)],
        }
    return {
        "color": list(kept(maps.diffuse_color).value_vec4),
        "emission": kept(maps.emission_factor).value_vec4.x,
        "shininess": kept(maps.specular_exponent).value_vec4.x,
        "reflection": kept(maps.reflection_factor).value_vec4.x,
        "transparency": kept(maps.transparency_factor).value_vec4.x,
        "textures": textures,
    }


if __name__ == "__main__":
    main(sys.argv[1])
