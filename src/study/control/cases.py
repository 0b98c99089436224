"""What the control tries, by the names of its table; it needs no torch."""

#: Units of the hidden layer of a truth, and of the models that learn from it.
TRUTHS = {"linear": (0, 0), "nonlinear": (12, 64)}
#: What codes are drawn from: the model that is right for them.
CODES = {"gauss": "gauss", "t": "t", "shared_t": "multivariate_t"}
#: Models, as arguments of `vaefill.models.vae.VAE`.
MODELS: dict[str, dict[str, str]] = {
    "gauss": {"family": "gauss"},
    "t": {"family": "t", "joint": "product"},
    "multivariate_t": {"family": "t", "joint": "multivariate"},
}
#: The truth itself, as a model.
ORACLE = "oracle"
LOG_LIKELIHOOD = "log_likelihood"
COVERAGE = "coverage_0.9"
METRICS = (LOG_LIKELIHOOD, "rmse", "crps", COVERAGE)
#: Instead of all scores of a model whose training diverged: the epoch in which it was stopped.
DIVERGED = "diverged"
COLUMNS = ("truth", "codes", "model", "seed", "missing", "metric", "value")
