"""Does a heavy-tailed latent space fill in missing data better than a Gaussian one?

The modules are flat and hold one concept each; import them by name, for example
``from vaefill.vae import VAE``. Nothing is re-exported here: a stage of the pipeline
then depends on exactly the modules that it uses.
"""

__version__ = "0.1.0"
