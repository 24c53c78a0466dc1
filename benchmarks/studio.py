"""What the studio's answers cost, without a browser: message to reply, and the picture at rest.

    python benchmarks/studio.py [GAUSSIANS] [--threads 2]

Two shells of half the Gaussians each, SH degree 3. "Reply" is the whole way of a message: the edit,
the script on disk, the text, the histogram and the splats for the page (at most 20,000), packed as
viser sends them. "Picture" is the full scene at 512 x 512 by our renderer, as JPEG. Wall time,
median and worst of the rounds; the bars are 150 ms and 400 ms. The peer is doing without what makes
it quick: moving at once instead of by palette, and sending all splats instead of the proxy.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from splatworks.stages.formats import edits, regions, splats
from splatworks.stages.formats.splats import RawSplats
from splatworks.stages.scene.layers import baked
from splatworks.studio import gestures
from splatworks.studio.gestures import Eye, Pick
from splatworks.studio.page import Page
from splatworks.studio.workspace import open_workspace
from viser._image_encoding import cv2_imencode_with_fallback

REPLY_MS, PICTURE_MS = 150, 400
ROUNDS = 9


def shell(count: int, seed: int) -> RawSplats:
    """A bumpy sphere of thin splats of many sizes, as captures are."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points *= 0.4 * (0.85 + 0.15 * np.sin(7 * points[:, :1]) * np.sin(5 * points[:, 1:2]))
    logs = np.log(0.4 * np.sqrt(4 * np.pi / count)) + 0.6 * rng.standard_normal((count, 3))
    logs[:, 0] -= 1.4
    sh = 0.2 * rng.standard_normal((count, 16, 3))
    parts = {
        "means": points + np.array([0.6 * seed, 0, 0]),
        "log_scales": logs,
        "logit_opacities": 0.5 + 2 * rng.standard_normal(count),
        "quaternions": rng.standard_normal((count, 4)),
        "sh": sh,
    }
    return RawSplats(**{name: part.astype(np.float32) for name, part in parts.items()})


class Browser:
    """Stands for one that is connected: takes what the page sends."""

    client_id = 0

    def __init__(self, page: Page, eye: Eye) -> None:
        self.scene = page.server.scene
        self.atomic = page.server.atomic
        self.camera = SimpleNamespace(
            wxyz=eye.rotation, position=eye.position, fov=eye.fovy_rad, near=0.01,
            image_width=eye.size_px[0], image_height=eye.size_px[1], look_at=(0.3, 0.0, 0.0),
            on_update=lambda call: call,
        )  # fmt: skip

    def add_notification(self, title: str, body: str, **_: object) -> None:
        raise SystemExit(f"{title}: {body}")


def milliseconds(work: Callable[[], object], before: Callable[[], object] | None = None) -> dict:
    """Median and worst."""
    taken = []
    for _ in range(ROUNDS):
        if before is not None:
            before()
        start = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - start))
    return {"median": round(statistics.median(taken), 1), "worst": round(max(taken), 1)}


def measured(count: int, threads: int, folder: Path) -> dict[str, dict]:
    paths = [
        splats.save(shell(count // 2, seed), folder / f"{name}.ply")
        for seed, name in enumerate(("one", "two"))
    ]
    space, _ = open_workspace(paths, folder / "out", threads=threads)
    page = Page(space, "127.0.0.1", 0, None)
    eye = Eye((0.0, 1.0, 0.0, 0.0), (0.3, 0.0, 1.8), np.radians(50), (512, 512))
    browser = Browser(page, eye)
    page._arrived(browser)  # type: ignore[arg-type]
    for visitor in page._visitors.values():
        visitor.rest.close()  # Pictures are measured apart.
    through, seen = (Pick(layer="one", through=name) for name in ("everything", "visible"))
    turn = edits.Move(layer="one", translation=(0.01, 0, 0), rotation=(1, 0.05, 0, 0))
    whole = edits.Move(layer="one", of="all", rotation=(1, 0.05, 0, 0))

    def rectangle(pick: Pick) -> edits.Select:
        return gestures.rectangle(eye, (0.2, 0.2), (0.5, 0.6), pick)

    def picture() -> bytes:
        return cv2_imencode_with_fallback("jpeg", page.picture(browser), 92, "rgb")

    sphere = gestures.sphere((0, 0, 0), 0.3, through)
    opaque = edits.Select(
        layer="one", term=regions.Term(shape=regions.Range(property="opacity", low=0.5))
    )
    picture()
    space.do(rectangle(through))
    figures = {
        "reply: select by rectangle": milliseconds(lambda: space.do(rectangle(through))),
        "reply: select by sphere": milliseconds(lambda: space.do(sphere)),
        "reply: select by opacity": milliseconds(lambda: space.do(opaque)),
        "reply: first move of a selection": milliseconds(
            lambda: space.do(turn), lambda: space.do(rectangle(through))
        ),
        "reply: further move": milliseconds(lambda: space.do(turn)),
        "reply: move of a layer": milliseconds(lambda: space.do(whole)),
        "reply: undo": milliseconds(space.undo),
        "reply: redo": milliseconds(space.redo),
        "picture: nothing changed": milliseconds(picture),
        "picture: after a move": milliseconds(picture, lambda: space.do(whole)),
        "picture: after a selection": milliseconds(picture, lambda: space.do(sphere)),
        "also: select what is seen in a rectangle": milliseconds(lambda: space.do(rectangle(seen))),
    }
    layer = space.scene.layer("one")
    figures["peer: a move done at once, nothing sent"] = milliseconds(lambda: baked(layer))
    figures["peer: all splats sent instead of the proxy"] = milliseconds(
        lambda: page._proxies.of(space.scene, most=count)
    )
    page.close()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("gaussians", type=int, nargs="?", default=200_000)
    parser.add_argument("--threads", type=int, default=2)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(words.gaussians, words.threads, Path(folder))
    held = True
    for name, value in figures.items():
        bar = {"reply": REPLY_MS, "picture": PICTURE_MS}.get(name.partition(":")[0])
        held = held and (bar is None or value["median"] <= bar)
        wanted = "" if bar is None else f"   at most {bar}"
        print(f"{name:46}{value['median']:9.1f} ms, worst {value['worst']:7.1f}{wanted}")
    print(json.dumps({"gaussians": words.gaussians, "threads": words.threads, "ms": figures}))
    print("all bars held" if held else "NOT all bars held")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
