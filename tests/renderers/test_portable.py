"""The same kernels for other processors: the tests of agreement, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = ("test_simd.py", "test_agreement.py", "test_contributors.py")
MACHINES = {
    # Baseline of the architecture: SSE2 or NEON, without FMA on x86.
    "vectors of 128 bits": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    # The layout that AVX-512 gets; on others each vector takes several registers.
    "sixteen lanes": {"SPLATWORKS_LANES": "16"},
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", MACHINES.values(), ids=MACHINES)
def test_agreement_holds_there_too(settings: dict[str, str], tmp_path: Path) -> None:
    given = os.environ | settings | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *(str(HERE / name) for name in FILES)],
        env=given,
        capture_output=True,
        text=True,
        cwd=HERE.parents[1],
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
