"""What editing a large scene costs, step by step, and what the lazy moves save.

    python benchmarks/editing.py [GAUSSIANS]

Random Gaussians of SH degree 3. Processor seconds on one thread, the best of three. The peer for a
move is what moving at once costs: turning means, quaternions and harmonics of the selection.
"""

import json
import os
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from splatworks.stages.formats import edits, regions
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.scene.layers import Scene, baked, new_layer
from splatworks.stages.scene.session import Session


def cloud(count: int) -> RawSplats:
    rng = np.random.default_rng(0)
    shapes = ((count, 3), (count, 3), (count,), (count, 4), (count, 16, 3))
    return RawSplats(*(rng.standard_normal(shape, np.float32) for shape in shapes))


def seconds(work: Callable[[], object]) -> float:
    """The best of three, so that a busy machine counts little."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    session = Session(Scene((new_layer("a", cloud(count)),)))
    half = regions.Plane(point=(0.0, 0.0, 0.0), normal=(1.0, 0.0, 0.0))
    select = edits.Select(term=regions.Term(shape=half))
    turn = edits.Move(rotation=(1.0, 0.2, 0.0, 0.0), translation=(0.1, 0.0, 0.0))
    figures = {"select by plane": seconds(lambda: session.do(select))}

    def first_move() -> None:
        session.do(select)
        session.do(turn)

    figures["first move of the selection"] = max(
        seconds(first_move) - figures["select by plane"], 0.0
    )
    figures["every further move"] = seconds(lambda: session.do(turn))
    figures["undo"] = seconds(session.undo)
    figures["moving at once, each time"] = seconds(lambda: baked(session.scene.layers[0]))
    for name, value in figures.items():
        print(f"{name:30}{1000 * value:12.3f} ms")
    ratio = figures["moving at once, each time"] / max(figures["every further move"], 1e-6)
    print(f"a further move is {ratio:,.0f} times cheaper than moving at once")
    print(json.dumps({"gaussians": count, "seconds": figures}))


if __name__ == "__main__":
    main()
