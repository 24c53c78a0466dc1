"""Our decimation alone, without atlas and texture. The variant is JSON: fields of `Rules`."""

import json

import numpy as np
from adapter import main
from judge import glb
from judge.model import bare
from splatworks.stages.geometry.components import Surface
from splatworks.stages.geometry.decimation import Rules, simplify


def run(source, target, out, variant, timer):
    model = glb.read(source)
    rules = Rules(**json.loads(variant or "{}"))
    # Kernels are compiled once per machine; loading them from the cache is not what is timed.
    simplify(Surface(np.eye(3), np.array([[0, 1, 2]])), targets=[1], rules=rules)
    with timer:
        made = simplify(Surface(model.positions, model.faces), targets=[target], rules=rules)
    level = made.levels[-1]
    glb.write(out, bare(level.positions, level.faces))


main(run)
