"""What must hold in a process so that results do not depend on the number of threads."""

import os
import sys
from collections.abc import Mapping
from types import MappingProxyType

CALM: Mapping[str, str] = MappingProxyType(
    {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_CBWR": "COMPATIBLE",
        "TOKENIZERS_PARALLELISM": "false",
    }
)


def calm() -> None:
    """One thread inside each numeric library, and one code path in MKL.

    Stages use several cores by threads of their own over fixed parts of the work. The variables
    are read when the libraries load; a torch that somebody loaded earlier is told directly.
    """
    os.environ.update(CALM)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
