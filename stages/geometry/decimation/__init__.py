"""Fewer triangles for any mesh, as found in the wild.

After "Simplifying Textured Triangle Meshes in the Wild" (Liu, Zhang, Yuksel; ACM TOG 44(6), 2025):
the soup becomes a simplicial 2-complex (`complex`), components that nearly touch are linked
(`virtual_edges`), edges collapse in order of a plane quadric with memory and an area quadric
without (`quadrics`, `collapse`), and points of the result are followed back through the history
(`mapping`). A level may then be fitted to the input (`fitting`). `reference` is the decimation in
plain Python.
"""

from ..components import Surface, canonical
from .decimate import Decimation, Level, Report, correspond, simplify
from .fitting import fit
from .rules import Rules

__all__ = ["Decimation", "Level", "Report", "Rules", "correspond", "decimate", "fit", "simplify"]


def decimate(
    surface: Surface,
    *,
    target_faces: int,
    rules: Rules = Rules(),  # noqa: B008 - frozen
) -> Surface:
    """About `target_faces` triangles (a few less where pairs vanish together), canonical order.

    A surface that already has no more comes back as it is.
    """
    if target_faces < 4:
        raise ValueError(f"target_faces must be at least 4, got {target_faces}.")
    if len(surface.faces) <= target_faces:
        return surface
    level = simplify(surface, targets=[target_faces], rules=rules).levels[-1]
    return canonical(Surface(level.positions, level.faces))
