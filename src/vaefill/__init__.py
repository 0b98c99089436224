"""Does a heavy-tailed latent space fill in missing data better than a Gaussian one?

`VAEImputer` fills in tables. All else is imported from the folders, for example
``from vaefill.models import VAE`` or ``from vaefill.inference import infer``. Nothing is imported
here, so that ``import vaefill`` stays cheap: PyTorch is loaded with the first model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaefill.imputer import VAEImputer

__all__ = ["VAEImputer", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "VAEImputer":
        return import_module("vaefill.imputer").VAEImputer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
