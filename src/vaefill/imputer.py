"""`VAEImputer`: the scikit-learn face of the imputer of tables."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, check_random_state, resample
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits
from torch import Tensor
from tqdm import tqdm

from vaefill.errors import FileError, InputError
from vaefill.image_imputer import ImageImputer
from vaefill.models.divergences import SMALLEST_DF
from vaefill.models.files import load as load_model
from vaefill.storage import unreadable, write_bytes
from vaefill.tables.columns import Columns, fit_columns
from vaefill.tables.completion import BLOCK, Completion, fit_completion
from vaefill.tables.frames import as_array, is_frame, with_columns
from vaefill.tables.kinds import Choice
from vaefill.tables.packing import pack, unpack
from vaefill.training.devices import Device, pick_device

#: Of the files that `VAEImputer.save` writes; a change that old versions cannot read raises it.
FILE_VERSION = 1

_CHOICES = {
    "experts": ("fast", "thorough"),
    "prior": ("gaussian", "student_t"),
    "likelihood": ("gaussian", "student_t"),
    "unseen": ("missing", "error"),
    "device": ("cpu", "cuda", "auto"),
}
_RANGES: dict[str, tuple[type, float, float]] = {
    "df": (Real, SMALLEST_DF, math.inf),
    "n_latents": (Integral, 0, 1024),
    "max_iter": (Integral, 1, 1e9),
    "validation_fraction": (Real, 0.01, 0.5),
    "max_samples": (Integral, 2, math.inf),
}
#: What a fit leaves behind beside columns and completion, and how JSON gives it back.
_FITTED: dict[str, Callable[[Any], Any]] = {
    "feature_names_in_": lambda names: np.array(names, dtype=object),
    "indicator_features_": lambda numbers: np.array(numbers, dtype=np.intp),
    "loss_curve_": lambda points: [tuple(point) for point in points],
    "n_features_in_": int,
    "n_iter_": int,
    "seed_": int,
}


class VAEImputer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # they have no types
    r"""Fill in missing values with a conditional variational autoencoder.

    Learns from a table with gaps, then fills these and those of new rows, in one pass. The guess
    of a cell blends, per column and chosen on held-out cells,

    - the conditional mean of a multivariate normal, fitted by EM to the values and to their normal
      scores,
    - an ensemble of conditional VAEs, trained on cells hidden from it to correct the former with
      the help of the nearest rows,
    - with ``experts="thorough"``, a chain of extremely randomised trees.

    Intervals and draws follow the errors in held-out cells. They hold where cells are missing at
    random; where a value is missing because of what it is (MNAR), nothing is promised.

    Parameters
    ----------
    missing_values : float, int, str, None or pandas.NA, default=nan
        What stands for a missing value. nan, None, NaT and NA always do.
    kinds : mapping from column to kind, optional
        For columns, by name or number, whose kind does not follow from their dtype:
        ``"continuous"`` (floats, by default), ``"bounded"`` or ``("bounded", lower, upper)``,
        ``"count"`` (integers from 0), ``"binary"`` (booleans), ``"ordered"`` (ordered categories),
        ``"categorical"`` (categories and texts).
    experts : {"fast", "thorough"}, default="fast"
        Whether the trees are asked too: several times as slow, better on tables with sharp edges.
    prior : {"gaussian", "student_t"}, default="gaussian"
        Of the latent code.
    df : float, default=5.0
        Degrees of freedom of the t prior.
    likelihood : {"gaussian", "student_t"}, default="gaussian"
        Of numeric cells. With ``"student_t"`` outliers neither draw the fit to them nor mislead the
        guesses in their row.
    n_latents : int, default=16
        Coordinates of the code.
    hidden : tuple of int, default=(96, 96, 96)
        Widths of the hidden layers.
    max_iter : int, default=1200
        Most steps of the optimiser; it stops earlier when held-out cells are filled in no better.
    validation_fraction : float, default=0.1
        Share of the observed cells to hold out while fitting: they stop the training, and choose
        blend and intervals.
    max_samples : int, default=50_000
        Rows to learn from at most, drawn uniformly from those given.
    sample_posterior : bool, default=False
        Whether `transform` fills in one draw from the predictive distribution, for multiple
        imputation, instead of the best guess.
    add_indicator : bool, default=False
        Whether to append one column per column that had gaps when fitted: True, in arrays of
        numbers 1, where a cell is missing.
    keep_empty_features : bool, default=False
        Whether columns without any observed value when fitted are kept, instead of dropped, and
        filled with 0, or what is nothing in their dtype: False, "missing_value".
    unseen : {"missing", "error"}, default="missing"
        What a category in new data is taken for that was not there when fitted.
    random_state : int, RandomState or None, default=None
        Seed of everything random; an int for the same result at each call.
    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where to compute.
    verbose : int, default=0
        Whether to show progress and loss.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns when fitted.
    feature_names_in_ : ndarray of str
        Their names, if all are strings.
    columns_ : Columns
        Kind, range and categories of each column.
    n_iter_ : int
        Steps of the optimiser.
    loss_curve_ : list of (int, float, float)
        Step, loss on hidden cells in training, squared error in held-out cells.

    See Also
    --------
    sklearn.impute.IterativeImputer : Chained regressions.
    sklearn.impute.KNNImputer : Means of the nearest rows.

    Examples
    --------
    >>> import numpy as np
    >>> from vaefill import VAEImputer
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=200)
    >>> X = np.column_stack([x, 2 * x + 1 + 0.1 * rng.normal(size=200)])
    >>> X[0, 1] = np.nan
    >>> filled = VAEImputer(max_iter=20, random_state=0).fit_transform(X)
    >>> bool(abs(filled[0, 1] - (2 * x[0] + 1)) < 0.3)
    True
    """

    def __init__(
        self,
        *,
        missing_values: Any = math.nan,
        kinds: Mapping[str | int, Choice] | None = None,
        experts: Literal["fast", "thorough"] = "fast",
        prior: Literal["gaussian", "student_t"] = "gaussian",
        df: float = 5.0,
        likelihood: Literal["gaussian", "student_t"] = "gaussian",
        n_latents: int = 16,
        hidden: Sequence[int] = (96, 96, 96),
        max_iter: int = 1200,
        validation_fraction: float = 0.1,
        max_samples: int = 50_000,
        sample_posterior: bool = False,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        unseen: Literal["missing", "error"] = "missing",
        random_state: Any = None,
        device: Device = "cpu",
        verbose: int = 0,
    ) -> None:
        self.missing_values = missing_values
        self.kinds = kinds
        self.experts = experts
        self.prior = prior
        self.df = df
        self.likelihood = likelihood
        self.n_latents = n_latents
        self.hidden = hidden
        self.max_iter = max_iter
        self.validation_fraction = validation_fraction
        self.max_samples = max_samples
        self.sample_posterior = sample_posterior
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.unseen = unseen
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from a table with gaps.

        Parameters
        ----------
        X : array or data frame of shape (n_samples, n_features)
            The table.
        y : None
            Not used.

        Raises
        ------
        InputError
            When a setting is out of range, or a column cannot be used (dates, infinite values,
            texts that differ in nearly every row): the message names it.
        ValueError, TypeError
            scikit-learn's own: for sparse or complex matrices, arrays without rows, names that are
            not all strings.
        """
        self._check_settings()
        X = self._validated(X, reset=True)
        random = check_random_state(self.random_state)
        self.seed_ = int(random.randint(2**31 - 1))
        self.columns_: Columns = fit_columns(
            X, kinds=self.kinds, missing_values=self.missing_values
        )
        gaps = self.columns_.missing(X) if self.add_indicator else np.zeros((1, 0), dtype=bool)
        self.indicator_features_ = np.flatnonzero(gaps.any(0))
        values, observed = self.columns_.encode(X)
        rows = np.flatnonzero(observed.any(1))
        if len(rows) > self.max_samples:
            size = {"n_samples": self.max_samples, "random_state": random}
            rows = np.sort(resample(rows, replace=False, **size))
        self.loss_curve_: list[tuple[int, float, float]] = []
        self.completion_ = self._fit_completion(values[rows], observed[rows]) if len(rows) else None
        self.n_iter_ = max([1, *(step for step, _, _ in self.loss_curve_)])
        return self

    def _fit_completion(self, values: NDArray[Any], observed: NDArray[np.bool_]) -> Completion:
        device = pick_device(self.device)
        progress = tqdm(total=self.max_iter, desc=type(self).__name__, disable=not self.verbose)
        # Steps are too small to share: several threads gain nothing on an idle machine, and wait
        # for one another up to fifty times as long on a busy one.
        with progress as bar, threadpool_limits(limits=1):

            def report(step: int, loss: float, held_out: float) -> None:
                self.loss_curve_.append((step, loss, held_out))
                bar.set_postfix(loss=f"{loss:.3f}", held_out=f"{held_out:.3f}", refresh=False)
                bar.update(step - bar.n)

            return fit_completion(
                torch.from_numpy(values).to(device),
                torch.from_numpy(observed).to(device),
                self.columns_.slots.to(device),
                thorough=self.experts == "thorough",
                code_df=self.df if self.prior == "student_t" else math.inf,
                robust=self.likelihood == "student_t",
                n_latents=self.n_latents,
                hidden=self.hidden,
                max_iter=self.max_iter,
                validation_fraction=self.validation_fraction,
                generator=torch.Generator(device).manual_seed(self.seed_),
                report=report,
            )

    def transform(self, X: Any) -> Any:
        """Fill in what is missing, without learning anew.

        Parameters
        ----------
        X : array or data frame of shape (n_samples, n_features)
            Rows with the columns of the fitted table; anything may be missing in them.

        Returns
        -------
        array or data frame, as `X`
            Observed cells are as they were, bit by bit. Missing ones hold the best guess, within
            the observed range of their column, or one draw if `sample_posterior`. A row without any
            observed cell gets each column's overall guess.

        Raises
        ------
        InputError
            When the columns are not those of the fitted table, or a value is infinite.
        ValueError
            scikit-learn's own, when names, their order or the number of columns differ.
        """
        if self.sample_posterior:
            return self.sample(X, 1)[0]
        return self.fill(X)[0]

    def sample(self, X: Any, n_draws: int = 5, *, first_row: int = 0, part: int = 0) -> Any:
        """Fill in draws from the predictive distribution: several imputations.

        Analyse each, and pool the analyses by Rubin's rules (`vaefill.metrics.rubin.pool`). The
        cells of a row vary together; the quantiles of a cell's draws are those of `interval`.

        Parameters
        ----------
        X : array or data frame of shape (n_samples, n_features)
            See `transform`.
        n_draws : int, default=5
            Number of imputations.
        first_row : int, default=0
            Where `X` is a piece of a longer table, the number of its first row there: a multiple
            of 1024. Pieces that are cut at such rows get the draws of the whole.
        part : int, default=0
            Number of that table among several, each of which gets draws of its own.

        Returns
        -------
        array of shape (n_draws, n_samples, n_features_out), or list of n_draws data frames
            Each as `transform` gives it; the same ones for the same fit and rows.
        """
        _check_number("n_draws", n_draws, Integral, 1, math.inf)
        drawn = self.fill(X, n_draws=n_draws, first_row=first_row, part=part)
        return drawn if is_frame(X) else np.stack(drawn)

    def interval(self, X: Any, level: float = 0.9) -> tuple[Any, Any]:
        """Bound what is missing.

        Parameters
        ----------
        X : array or data frame of shape (n_samples, n_features)
            See `transform`.
        level : float, default=0.9
            Share of missing cells that shall lie within, from 0 to 1.

        Returns
        -------
        lower, upper : arrays or data frames, each as `transform` gives them
            Where a cell is observed, both are its value. More than two categories without an order
            have no bounds: both are the most probable one.
        """
        _check_level(level)
        _, lower, upper = self.fill(X, level=level)
        return lower, upper

    def fill(
        self,
        X: Any,
        *,
        n_draws: int = 0,
        level: float | None = None,
        first_row: int = 0,
        part: int = 0,
    ) -> list[Any]:
        """Fill in guesses or draws, and bounds, in the time of one of them.

        Parameters
        ----------
        X : array or data frame of shape (n_samples, n_features)
            See `transform`.
        n_draws : int, default=0
            Number of draws; 0 for the best guess.
        level : float, optional
            See `interval`; by default no bounds are given.
        first_row, part : int, default=0
            See `sample`.

        Returns
        -------
        list of arrays or data frames, each as `transform` gives it
            The draws, or the guess; then, with a `level`, lower and upper bound.
        """
        _check_number("n_draws", n_draws, Integral, 0, math.inf)
        if level is not None:
            _check_level(level)
        _check_number("first_row", first_row, Integral, 0, math.inf)
        if first_row % BLOCK:
            raise InputError(
                f"first_row = {first_row}: must be a multiple of {BLOCK}, the rows that are filled"
                " at a time; cut the table there"
            )
        _check_number("part", part, Integral, 0, math.inf)
        X = self._validated(X)
        values, observed = self._encoded(X)
        if self.completion_ is None:
            results = values.expand(max(n_draws, 1) + 2 * (level is not None), -1, -1)
        else:
            # Sums in several threads come out otherwise: bytes would depend on the machine's cores.
            # Only this thread is held back, so that others can fill at the same time.
            with threadpool_limits(limits=1, user_api="openmp"):
                results = self.completion_.complete(
                    values,
                    observed,
                    n_draws=n_draws,
                    level=level,
                    seed=self.seed_,
                    first_block=first_row // BLOCK,
                    part=part,
                )
        known = observed.cpu().numpy()
        filled = [
            self.columns_.decode(result, known, X, keep_empty=self.keep_empty_features)
            for result in results.cpu().numpy()
        ]
        if not self.add_indicator:
            return filled
        names = self._indicator_names(self.columns_.names or range(self.n_features_in_))
        gaps = self.columns_.missing(X)[:, self.indicator_features_]
        return [with_columns(table, names, gaps) for table in filled]

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Log-likelihood of each row's observed cells.

        Under the multivariate normal that is fitted to the encoded table: it tells ordinary rows
        from strange ones, and is comparable between rows in which the same columns are observed.

        Returns
        -------
        array of shape (n_samples,)
            In nats, in the columns' own units; 0 for a row without any observed cell.
        """
        values, observed = self._encoded(self._validated(X))
        if self.completion_ is None:
            return np.zeros(len(values))
        return self.completion_.log_likelihood(values, observed).cpu().numpy()

    def get_feature_names_out(
        self, input_features: Sequence[str] | None = None
    ) -> NDArray[np.object_]:
        """Names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the columns, where the fitted table had none.

        Returns
        -------
        array of str
            Without columns that were empty, with ``missingindicator_*`` if asked for.
        """
        check_is_fitted(self)
        known = getattr(self, "feature_names_in_", None)
        if input_features is None:
            names = [f"x{i}" for i in range(self.n_features_in_)] if known is None else list(known)
        elif known is not None and not np.array_equal(known, input_features):
            raise ValueError("input_features is not equal to feature_names_in_")
        elif len(input_features) != self.n_features_in_:
            raise ValueError(
                f"input_features should have length equal to number of features "
                f"({self.n_features_in_}), got {len(input_features)}"
            )
        else:
            names = list(input_features)
        kept = np.flatnonzero(~self.columns_.empty | self.keep_empty_features)
        return np.array([*(names[i] for i in kept), *self._indicator_names(names)], dtype=object)

    def save(self, path: str | Path) -> None:
        """Write the fitted imputer with its settings to one file, whole or not at all.

        The same imputer gives the same bytes. `load` reads them.

        Parameters
        ----------
        path : path-like
            The file; its directory is made if it does not exist.
        """
        write_bytes(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """Give what `save` writes."""
        check_is_fitted(self)
        completion, tensors = pack(self.completion_)
        state = {
            "version": FILE_VERSION,
            "settings": {
                **self.get_params(deep=False),
                "missing_values": self.columns_.sentinel,
                "kinds": list((self.kinds or {}).items()),
                # Another kind of random state has done its part: the fit's own seed goes on.
                "random_state": self.random_state
                if isinstance(self.random_state, Integral)
                else None,
            },
            "columns": self.columns_.to_dict(),
            "completion": completion,
            "fitted": {name: getattr(self, name, None) for name in _FITTED},
        }
        # One key: safetensors keeps several in no fixed order, and bytes would differ.
        metadata = {"imputer": json.dumps(state, sort_keys=True, default=_plain)}
        return safetensors.torch.save(tensors, metadata)

    @classmethod
    def load(cls, path: str | Path, *, device: Device = "cpu") -> "VAEImputer | ImageImputer":
        """Read what `save` wrote, or an image model of the pipeline; nothing in it is executed.

        Parameters
        ----------
        path : path-like
            The file.
        device : {"cpu", "cuda", "auto"}, default="cpu"
            Where to compute.

        Returns
        -------
        VAEImputer or ImageImputer
            Ready to `transform`: the imputer of tables as it was fitted, or one of images.

        Raises
        ------
        FileError
            When the file is missing, truncated, something else, or of a newer version.
        """
        where = pick_device(device)
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                text = (file.metadata() or {}).get("imputer")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if any(tensor.isnan().any() for tensor in tensors.values()):
                raise FileError(f"{path}: holds nan where numbers should be; replace it")
            if text is None:
                return ImageImputer(load_model(path, device=where))
            state = json.loads(text)
            if state["version"] > FILE_VERSION:
                raise FileError(
                    f"{path}: written by a newer vaefill (format {state['version']}, this one "
                    f"reads {FILE_VERSION}); update vaefill"
                )
            return cls._restored(state, tensors, where)
        except (OSError, safetensors.SafetensorError) as error:
            raise unreadable(path, "an imputer or model (.safetensors)", error) from error
        except FileError:
            raise
        except Exception as error:  # whatever does not work now is in the file
            raise unreadable(path, "an imputer of vaefill", error) from error

    @classmethod
    def _restored(
        cls, state: dict[str, Any], tensors: dict[str, Tensor], device: torch.device
    ) -> Self:
        settings = state["settings"]
        absent = settings["missing_values"] is None
        restored = {
            "missing_values": math.nan if absent else settings["missing_values"],
            "kinds": {_hashable(key): _hashable(kind) for key, kind in settings["kinds"]} or None,
            "hidden": _hashable(settings["hidden"]),
            "device": device.type,
        }
        imputer = cls(**{**settings, **restored})
        imputer._check_settings()
        imputer.columns_ = Columns.from_dict(state["columns"])
        imputer.completion_ = unpack(state["completion"], tensors, device)
        if not isinstance(imputer.completion_, Completion | None):
            raise TypeError(f"{type(imputer.completion_).__name__} where a completion should be")
        for name, restore in _FITTED.items():
            if (value := state["fitted"][name]) is not None:
                setattr(imputer, name, restore(value))
        imputer._try_out()
        return imputer

    def _try_out(self) -> None:
        """Fill in rows of nothing: parts of a file that do not fit together raise now, not later.

        Raises
        ------
        Exception
            Of any kind.
        """
        names = getattr(self, "feature_names_in_", self.columns_.names)
        if names is not None and tuple(names) != self.columns_.names:
            raise ValueError("two lists of names")
        nothing = np.full((6, self.n_features_in_), None, dtype=object)
        values, _ = self._encoded(nothing)
        slots = self.columns_.slots.to(values.device)
        # Columns take turns to be there, at either end: all, or none, would leave ways untried.
        turns = (slots.column < 0, slots.column % 2 == 0, slots.column % 2 == 1)
        observed = torch.stack(turns).repeat(2, 1)
        ends = torch.stack([slots.lower, slots.upper]).repeat_interleave(3, 0)
        values = ends.where(observed, values)
        results = values.unsqueeze(0)
        if self.completion_ is not None:
            results = self.completion_.complete(
                values, observed, n_draws=1, level=0.5, seed=self.seed_
            )
        if not results.isfinite().all():
            raise ValueError("what it fills in is not finite")
        for result in results.cpu().numpy():
            self.columns_.decode(result, observed.cpu().numpy(), nothing, keep_empty=True)
        self.get_feature_names_out()

    def __sklearn_tags__(self) -> Tags:  # noqa: D105
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_settings(self) -> None:
        """Say in one line which setting is out of range."""
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise InputError(f"{name} = {value!r}: must be one of {', '.join(choices)}")
        for name, allowed in _RANGES.items():
            _check_number(name, getattr(self, name), *allowed)
        widths = list(self.hidden) if isinstance(self.hidden, Iterable) else []
        if not widths or not all(isinstance(width, Integral) and width >= 1 for width in widths):
            raise InputError(
                f"hidden = {self.hidden!r}: must be one or more whole numbers, such as (96, 96)"
            )

    def _validated(self, X: Any, *, reset: bool = False) -> Any:
        """Hold number and names of the columns against those of the fit."""
        if not reset:
            check_is_fitted(self)
        if is_frame(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if 0 in X.shape:
                raise InputError(
                    f"a data frame of shape {X.shape}: give at least one row and column"
                )
            return X
        # scikit-learn has the words for sparse matrices, `columns_` for infinite values.
        array = X if issparse(X) else as_array(X)
        return validate_data(self, array, reset=reset, dtype=None, ensure_all_finite=False)

    def _encoded(self, X: Any) -> tuple[Tensor, Tensor]:
        values, observed = self.columns_.encode(
            X, unseen="error" if self.unseen == "error" else "warn"
        )
        device = "cpu" if self.completion_ is None else self.completion_.standard.mu.device
        return torch.from_numpy(values).to(device), torch.from_numpy(observed).to(device)

    def _indicator_names(self, names: Sequence[Any]) -> list[str]:
        return [f"missingindicator_{names[i]}" for i in self.indicator_features_.tolist()]


def _check_number(name: str, value: Any, kind: type, low: float, high: float) -> None:
    """Raise InputError for what is no number of the kind within its range."""
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        number = "a whole number" if kind is Integral else "a number"
        raise InputError(f"{name} = {value!r}: must be {number} from {low:g} to {high:g}")


def _check_level(level: float) -> None:
    """Raise InputError for what is no share between 0 and 1."""
    if not isinstance(level, Real) or not 0 < level < 1:
        raise InputError(f"level = {level!r}: must lie between 0 and 1, such as 0.9")


def _plain(value: Any) -> Any:
    """Turn arrays and numbers of NumPy into what JSON has."""
    return value.tolist()


def _hashable(value: Any) -> Any:
    """Turn a list, which is what JSON has for a tuple, back into one."""
    return tuple(value) if isinstance(value, list) else value
