"""Does a heavy-tailed latent space fill in missing data better than a Gaussian one?

Import from the folders, for example ``from vaefill.models import VAE`` or
``from vaefill.inference import infer``. Nothing is imported here, so that ``import vaefill`` stays
cheap: PyTorch is loaded with the first model.
"""

__version__ = "0.1.0"
