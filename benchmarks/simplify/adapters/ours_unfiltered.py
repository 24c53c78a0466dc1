"""Our whole command with the normal filter of the successive mapping switched off.

No option does that: it only makes results worse. What it buys is measured here.
"""

from adapter import main
from splatworks.pipeline.commands.simplify import simplify
from splatworks.stages.simplify import following
from tools import TEXTURE_PX

correspond = following.correspond


def unfiltered(decimation, level, faces, points, *, threads):
    return correspond(decimation, level, faces, points, filtered=False, threads=threads)


def run(source, target, out, variant, timer):
    following.correspond = unfiltered
    with timer:
        simplify(source, out=out, faces=target, threads=1, texture_size=TEXTURE_PX)


main(run)
