"""Tools that take positions and faces and give nothing else back."""

import numpy as np
from adapter import main
from judge import glb
from judge.model import bare, weld


def meshlab(places, faces, target, timer):
    import pymeshlab

    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(pymeshlab.Mesh(places, faces))
    with timer:
        meshes.meshing_decimation_quadric_edge_collapse(targetfacenum=target)
    mesh = meshes.current_mesh()
    return mesh.vertex_matrix(), mesh.face_matrix()


def meshoptimizer(places, faces, target, timer):
    import meshoptimizer as library

    indices = np.ascontiguousarray(faces.ravel(), np.uint32)
    points = np.ascontiguousarray(places, np.float32)
    out = np.zeros_like(indices)
    with timer:
        count = library.simplify(
            out, indices, points, target_index_count=3 * target, target_error=1e10
        )
    return places, out[:count].reshape(-1, 3)


def open3d(places, faces, target, timer):
    from splatworks.renderers.open3d_import import open3d as load

    library = load()
    mesh = library.geometry.TriangleMesh(
        library.utility.Vector3dVector(places), library.utility.Vector3iVector(faces)
    )
    with timer:
        mesh = mesh.simplify_quadric_decimation(target)
    return np.asarray(mesh.vertices), np.asarray(mesh.triangles)


def pyfqmr(places, faces, target, timer):
    import pyfqmr as library

    tool = library.Simplify()
    tool.setMesh(places, faces)
    with timer:
        tool.simplify_mesh(target_count=target, aggressiveness=7, verbose=False)
    return tool.getMesh()[:2]


def fast_simplification(places, faces, target, timer):
    import fast_simplification as library

    points = np.ascontiguousarray(places, np.float32)
    with timer:
        return library.simplify(points, faces.astype(np.int32), target_count=target)


TOOLS = (meshlab, meshoptimizer, open3d, pyfqmr, fast_simplification)


def run(source, target, out, variant, timer):
    """Welded and freed of degenerate faces first: all of them want that."""
    model = glb.read(source)
    places, faces = weld(model.positions, model.faces)
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    tool = {tool.__name__: tool for tool in TOOLS}[variant]
    places, faces = tool(places, faces, target, timer)
    glb.write(out, bare(places, faces))


main(run)
