"""Blender's decimate modifier (collapse), seams merged on import, as module `bpy`."""

import bpy
from adapter import main


def run(source, target, out, variant, timer):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(source), merge_vertices=True)
    objects = [thing for thing in bpy.context.scene.objects if thing.type == "MESH"]
    bpy.ops.object.select_all(action="DESELECT")
    for thing in objects:
        thing.select_set(True)
    bpy.context.view_layer.objects.active = objects[0]
    if len(objects) > 1:
        bpy.ops.object.join()
    thing = bpy.context.view_layer.objects.active
    modifier = thing.modifiers.new("decimate", "DECIMATE")
    modifier.ratio = target / sum(len(p.vertices) - 2 for p in thing.data.polygons)
    modifier.use_collapse_triangulate = True
    with timer:
        bpy.ops.object.modifier_apply(modifier=modifier.name)
    bpy.ops.export_scene.gltf(filepath=str(out), export_format="GLB")


main(run)
