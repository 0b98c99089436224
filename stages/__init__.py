"""The pipeline's stages: read params, load what they depend on, one library call, write.

They run as ``python -m stages.NAME`` from the project's root and use the code of their own
checkout, whichever one is installed: DVC runs queued experiments in copies of the repository.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from study.params import read_yaml
from vaefill.errors import InputError

# Sums differ with the number of threads that share them, whatever the machine's own setting. These
# are read when NumPy and PyTorch start. Where there is no number, the stage says so.
with suppress(InputError):
    threads = read_yaml("params.yaml").get("threads")
    if isinstance(threads, int):
        os.environ |= dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)
        )
