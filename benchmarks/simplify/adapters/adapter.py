"""What every adapter does: read the arguments, time the tool's own work, report in one line."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `judge`


class Timer:
    """CPU seconds of what runs between `start` and `stop`."""

    seconds = 0.0
    peak_bytes = 0
    """Of processes that the adapter starts; its own is seen from outside."""

    def __enter__(self) -> "Timer":
        self._begun = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self._begun


def main(run: Callable[[Path, int, Path, str, Timer], None]) -> None:
    """`ADAPTER.py IN.glb FACES OUT.glb [VARIANT]`."""
    source, faces, out, *variant = sys.argv[1:]
    timer = Timer()
    run(
        Path(source).resolve(),
        int(faces),
        Path(out).resolve(),
        variant[0] if variant else "",
        timer,
    )
    print(json.dumps({"seconds": timer.seconds, "peak_bytes": timer.peak_bytes}))
