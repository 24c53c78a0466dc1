"""All edits of a script, also those that are stages of their own."""

from ...pipeline.contract import Context
from ..edit.moving import Show
from ..edit.retouch import retouched
from ..formats import edits
from ..formats.edits import Edit
from ..scene import operations
from ..scene.layers import Scene
from ..scene.operations import Outcome
from ..scene.session import Perform
from ..stitch.edit import stitched


def performing(ctx: Context, show: Show | None = None) -> Perform:
    """What does every edit; those that take long have threads, progress and room from `ctx`.
    `show` is given pictures of a retouched view as it forms."""

    def perform(scene: Scene, edit: Edit) -> Outcome:
        if isinstance(edit, edits.Stitch):
            return stitched(scene, edit, ctx)
        if isinstance(edit, edits.Retouch):
            return retouched(scene, edit, ctx, show)
        return operations.perform(scene, edit)

    return perform
