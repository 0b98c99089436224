"""The pipeline's stages: read params, load what they depend on, one library call, write.

They run as ``python -m stages.NAME`` from the project's root and use the `vaefill` of their own
checkout, whichever one is installed: DVC runs queued experiments in copies of the repository.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
