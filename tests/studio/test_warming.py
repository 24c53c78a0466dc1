"""After warming, neither a picture nor a selection of what is seen has anything left to compile."""

import subprocess
import sys

WORK = """
import gc
import numpy as np
from splatworks.stages.formats.edits import Select
from splatworks.stages.formats.regions import Rectangle, Term
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.scene.layers import Scene, new_layer
from splatworks.stages.scene.operations import perform
from splatworks.studio.gestures import Eye
from splatworks.studio.pictures import Look, Pictures
from splatworks.studio.warming import warm
from numba.core.dispatcher import Dispatcher

def kernels():
    found = (one for one in gc.get_objects() if isinstance(one, Dispatcher))
    return {(one.__module__, one.__name__): len(one.overloads) for one in found}

warm(2)
before = kernels()
assert sum(before.values()) > 10, before
rng = np.random.default_rng(0)
shapes = {"means": 3, "log_scales": 3, "quaternions": 4}
parts = {name: rng.normal(size=(500, k)).astype(np.float32) for name, k in shapes.items()}
sh, opacities = rng.normal(size=(500, 4, 3)), rng.normal(size=500)
splats = RawSplats(**parts, sh=sh.astype(np.float32), logit_opacities=opacities.astype(np.float32))
scene = Scene((new_layer("a", splats), new_layer("b", splats)))
camera = Eye((0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 6.0), 1.0, (300, 200)).viewpoint()
for mode in ("splats", "centers", "depth", "normals"):
    Pictures(2).take(scene, camera, Look(mode=mode))
whole = Rectangle(camera=camera, corner=(0, 0), opposite=(300, 200), through="visible")
seen = perform(scene, Select(layer="a", term=Term(shape=whole))).scene.layer("a").selected
assert 0 < seen.sum() < 500
after = kernels()
new = {name: count for name, count in after.items() if count != before.get(name)}
assert not any(new.values()), new
"""


def test_nothing_is_left_to_compile() -> None:
    subprocess.run([sys.executable, "-c", WORK], check=True)
