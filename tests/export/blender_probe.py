"""Run inside of Blender's Python: `python blender_probe.py JOB.json`.

For every file of the job: import it with Blender's own importer as a user would, without touching
an option, write down what arrived, and render it unlit with Cycles on the CPU.
"""

import json
import sys
from pathlib import Path

import bpy
from mathutils import Matrix

IMPORTERS = {
    ".glb": lambda p: bpy.ops.import_scene.gltf(filepath=p),
    ".obj": lambda p: bpy.ops.wm.obj_import(filepath=p),
    ".ply": lambda p: bpy.ops.wm.ply_import(filepath=p),
    ".stl": lambda p: bpy.ops.wm.stl_import(filepath=p),
    ".usd": lambda p: bpy.ops.wm.usd_import(filepath=p),
    ".usda": lambda p: bpy.ops.wm.usd_import(filepath=p),
    ".usdc": lambda p: bpy.ops.wm.usd_import(filepath=p),
    ".usdz": lambda p: bpy.ops.wm.usd_import(filepath=p),
    ".fbx": lambda p: bpy.ops.import_scene.fbx(filepath=p),
    ".fbx+": lambda p: bpy.ops.wm.fbx_import(filepath=p),
}
"""`.fbx+` is the newer importer in C++."""


def main(path: str) -> None:
    job = json.loads(Path(path).read_text())
    found = {}
    for name, entry in job["files"].items():
        bpy.ops.wm.read_factory_settings(use_empty=True)
        kind = entry.get("importer") or Path(entry["path"]).suffix.lower()
        IMPORTERS[kind](entry["path"])
        bpy.context.view_layer.update()
        found[name] = described()
        if entry.get("picture"):
            shown(job["camera"], entry["picture"], entry.get("hidden", []))
    Path(job["report"]).write_text(json.dumps(found))


def meshes():
    return [one for one in bpy.context.scene.objects if one.type == "MESH"]


def described():
    objects = {}
    for one in meshes():
        mesh, matrix = one.data, one.matrix_world
        corners = [matrix @ vertex.co for vertex in mesh.vertices]
        turn = matrix.to_3x3()
        objects[one.name] = {
            "low": [min(c[k] for c in corners) for k in range(3)],
            "high": [max(c[k] for c in corners) for k in range(3)],
            "scale": list(one.scale),
            "rotation": [list(row) for row in turn.normalized()],
            "faces": len(mesh.polygons),
            "vertices": len(mesh.vertices),
            "uv_layers": [layer.name for layer in mesh.uv_layers],
            "colors": [attribute.name for attribute in mesh.color_attributes],
            "materials": [
                slot.material.name if slot.material else None for slot in one.material_slots
            ],
            "volume": volume(mesh, matrix),
            "custom_normals": bool(mesh.has_custom_normals),
        }
    return {
        "objects": objects,
        "materials": {m.name: material(m) for m in bpy.data.materials if m.users},
        "empties": [one.name for one in bpy.context.scene.objects if one.type == "EMPTY"],
    }


def volume(mesh, matrix):
    """Signed: positive where the winding is outwards."""
    mesh.calc_loop_triangles()
    total = 0.0
    for triangle in mesh.loop_triangles:
        a, b, c = (matrix @ mesh.vertices[v].co for v in triangle.vertices)
        total += a.dot(b.cross(c)) / 6
    return total


def principled(one):
    if not one.use_nodes:
        return None
    nodes = [node for node in one.node_tree.nodes if node.type == "BSDF_PRINCIPLED"]
    return nodes[0] if nodes else None


def material(one):
    surface = principled(one)
    if surface is None:
        return {}
    inputs = {}
    for name in ("Base Color", "Metallic", "Roughness", "Alpha", "Normal", "Emission Color"):
        socket = surface.inputs[name]
        if socket.is_linked:
            inputs[name] = traced(socket)
        elif hasattr(socket.default_value, "__len__"):
            inputs[name] = list(socket.default_value)
        else:
            inputs[name] = socket.default_value
    inputs["Emission Strength"] = surface.inputs["Emission Strength"].default_value
    return inputs | {"backface_culling": one.use_backface_culling}


def traced(socket):
    """The image that feeds a socket, and by what it passes."""
    passed = []
    while socket.is_linked:
        link = socket.links[0]
        node = link.from_node
        if node.type == "TEX_IMAGE":
            space = node.image.colorspace_settings.name
            loaded = node.image.has_data or bool(node.image.size[0])
            return {
                "image": node.image.name,
                "space": space,
                "size": list(node.image.size),
                "loaded": loaded,
                "output": link.from_socket.name,
                "passed": passed,
            }
        passed.append(node.type)
        ins = [i for i in node.inputs if i.is_linked]
        if not ins:
            return {"passed": passed}
        socket = ins[0]
    return {"passed": passed}


def shown(camera, picture, hidden):
    """Every base color as light, from the camera, on nothing."""
    scene = bpy.context.scene
    for one in bpy.context.scene.objects:
        one.hide_render = one.name in hidden
    for one in bpy.data.materials:
        unlit(one)
    for one in meshes():
        if not any(slot.material for slot in one.material_slots):
            bare(one)
    data = bpy.data.cameras.new("camera")
    data.sensor_fit, data.angle = "VERTICAL", camera["fovy"]
    data.clip_start, data.clip_end = 1e-4, 1e6
    eye = bpy.data.objects.new("camera", data)
    eye.matrix_world = Matrix(camera["to_world"])
    scene.collection.objects.link(eye)
    scene.camera = eye
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples = "CPU", camera["samples"]
    scene.cycles.use_denoising = scene.cycles.use_adaptive_sampling = False
    scene.cycles.pixel_filter_type = "BOX"
    scene.cycles.filter_width = 1.0
    scene.cycles.max_bounces = 0
    scene.cycles.seed = 1
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.resolution_x = scene.render.resolution_y = camera["size"]
    scene.render.resolution_percentage = 100
    scene.render.film_transparent = True
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.filepath = picture
    bpy.ops.render.render(write_still=True)


def unlit(one):
    """Base color as light, and nothing where alpha is 0."""
    surface = principled(one)
    if surface is None:
        return
    tree = one.node_tree
    light = tree.nodes.new("ShaderNodeEmission")
    clear = tree.nodes.new("ShaderNodeBsdfTransparent")
    mix = tree.nodes.new("ShaderNodeMixShader")
    carried(tree, surface.inputs["Base Color"], light.inputs["Color"])
    carried(tree, surface.inputs["Alpha"], mix.inputs[0])
    tree.links.new(clear.outputs[0], mix.inputs[1])
    tree.links.new(light.outputs[0], mix.inputs[2])
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(mix.outputs[0], output.inputs["Surface"])


def carried(tree, source, target):
    if source.is_linked:
        tree.links.new(source.links[0].from_socket, target)
    else:
        target.default_value = source.default_value


def bare(one):
    """A mesh without material: its vertex colors, as the tutorials show it."""
    made = bpy.data.materials.new("bare")
    made.use_nodes = True
    tree = made.node_tree
    tree.nodes.clear()
    light = tree.nodes.new("ShaderNodeEmission")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    if one.data.color_attributes:
        color = tree.nodes.new("ShaderNodeVertexColor")
        color.layer_name = one.data.color_attributes[0].name
        tree.links.new(color.outputs["Color"], light.inputs["Color"])
    tree.links.new(light.outputs["Emission"], output.inputs["Surface"])
    one.data.materials.clear()
    one.data.materials.append(made)


if __name__ == "__main__":
    main(sys.argv[-1])
