"""The plain rivals, on the channels of the newest bar: ridge regression and gradient boosting, two ways."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agent.learned.protocol import Examples
from agent.learned.sample_windows import FloatGrid, Windows
from agent.learned.temperature import fit_temperature, log_priors, softmax
from agent.study.progress import Progress
from market.errors import InputError
from market.panel import FloatArray

_PREDICTED_AT_ONCE = 100_000
_CLASSES = 3


def require_sklearn() -> None:
    """Refuse, as an `InputError`, to go on without scikit-learn."""
    if importlib.util.find_spec("sklearn") is None:
        raise InputError("scikit-learn is not installed", 'install the extra "flows": pip install "alphaglow[flows]"')


def require_lightgbm() -> None:
    """Refuse, as an `InputError`, to go on without LightGBM."""
    if importlib.util.find_spec("lightgbm") is None:
        raise InputError("LightGBM is not installed", 'install the extra "lightgbm": pip install "alphaglow[lightgbm]"')


@dataclass(frozen=True)
class Ridge:
    """Linear regression with a penalty; of classes, on their values -1, 0, 1.

    Attributes
    ----------
    alphas
        Penalties, of which the one with the least squared error on the calibration examples is taken.
    """

    kind: Literal["ridge"] = "ridge"
    alphas: tuple[float, ...] = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)

    def recipe(self) -> dict[str, object]:
        """Return its settings."""
        return asdict(self)

    def fit(
        self, train: Examples, calibration: Examples, rng: np.random.Generator, progress: Progress, resume: Path | None
    ) -> RowModel:
        """Fit one regression for each penalty, and keep the best."""
        require_sklearn()
        from sklearn.linear_model import Ridge as Regression

        x, y = train.windows.newest(), _values(train)
        x_calibration, y_calibration = calibration.windows.newest(), _values(calibration)
        fits: list[tuple[float, float, Any]] = []
        for number, alpha in enumerate(self.alphas):
            model = Regression(alpha=alpha, solver="cholesky").fit(x.astype(np.float64), y, sample_weight=train.weights)
            error = float(np.average((model.predict(x_calibration) - y_calibration) ** 2, weights=calibration.weights))
            fits.append((error, alpha, model))
            progress("ridge", number + 1, len(self.alphas))
        error, alpha, best = min(fits, key=lambda fit: fit[0])
        return RowModel(best, False, {"alpha": alpha, "calibration_error": error})


def _without_threads(settings: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if name != "threads"}


@dataclass(frozen=True)
class Boosting:
    """Gradient boosting of shallow trees on histograms, stopped early on the calibration examples.

    Attributes
    ----------
    least, penalty
        Examples in a leaf at least, and the penalty on its value.
    patience
        Rounds without a lower calibration loss after which it stops.
    threads
        Of OpenMP. More than one wait for each other on a busy machine, and lose manifold.
    """

    kind: Literal["boosting"] = "boosting"
    rounds: int = 300
    lr: float = 0.03
    leaves: int = 15
    least: int = 100
    penalty: float = 1.0
    patience: int = 20
    threads: int = 1

    def recipe(self) -> dict[str, object]:
        """Return its settings; threads do not change the outcome."""
        return _without_threads(asdict(self))

    def fit(
        self, train: Examples, calibration: Examples, rng: np.random.Generator, progress: Progress, resume: Path | None
    ) -> RowModel:
        """Add trees until the calibration loss has not fallen for some rounds."""
        require_sklearn()
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits

        made = HistGradientBoostingClassifier if train.is_class else HistGradientBoostingRegressor
        model = made(
            max_iter=self.rounds,
            learning_rate=self.lr,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=self.least,
            l2_regularization=self.penalty,
            early_stopping=True,
            n_iter_no_change=self.patience,
            random_state=int(rng.integers(2**31)),
        )
        progress("boosting", 0, 1)
        kept = np.isin(calibration.labels, train.labels) if train.is_class else np.ones(len(calibration), dtype=bool)
        with threadpool_limits(self.threads):
            model.fit(
                train.windows.newest(),
                train.labels,
                sample_weight=train.weights,
                X_val=calibration.windows.newest()[kept],
                y_val=calibration.labels[kept],
                sample_weight_val=calibration.weights[kept],
            )
        progress("boosting", 1, 1)
        figures: dict[str, object] = {"trees": int(model.n_iter_)}
        if not train.is_class or len(model.classes_) < _CLASSES:
            return RowModel(model, train.is_class, figures)
        return _with_shares(model, train, calibration, figures)


@dataclass(frozen=True)
class LightGbm:
    """Gradient boosting by LightGBM, stopped early on the calibration examples; settings as those of `Boosting`.

    Attributes
    ----------
    columns, rows
        Shares of channels and of examples that each tree sees, the latter drawn again each round.
    """

    kind: Literal["lightgbm"] = "lightgbm"
    rounds: int = 300
    lr: float = 0.03
    leaves: int = 15
    least: int = 100
    penalty: float = 1.0
    patience: int = 20
    columns: float = 0.8
    rows: float = 0.8
    threads: int = 1

    def recipe(self) -> dict[str, object]:
        """Return its settings; threads do not change the outcome."""
        return _without_threads(asdict(self))

    def fit(
        self, train: Examples, calibration: Examples, rng: np.random.Generator, progress: Progress, resume: Path | None
    ) -> RowModel:
        """Add trees until the calibration loss has not fallen for some rounds."""
        require_lightgbm()
        import lightgbm

        seen = lightgbm.Dataset(train.windows.newest(), train.labels, weight=train.weights, params={"verbosity": -1})
        known = seen.create_valid(calibration.windows.newest(), calibration.labels, weight=calibration.weights)

        def tick(state: Any) -> None:  # noqa: ANN401 - of LightGBM
            progress("lightgbm", state.iteration + 1, self.rounds)

        progress("lightgbm", 0, self.rounds)
        stop = lightgbm.early_stopping(self.patience, verbose=False)
        params = self._params(train, int(rng.integers(2**31)))
        booster = lightgbm.train(params, seen, self.rounds, valid_sets=[known], callbacks=[stop, tick])
        figures: dict[str, object] = {"trees": int(booster.best_iteration)}
        if not train.is_class:
            return RowModel(_Booster(booster), False, figures)
        return _with_shares(_Booster(booster), train, calibration, figures)

    def _params(self, train: Examples, seed: int) -> dict[str, object]:
        """Return the parameters as LightGBM names them."""
        task = {"objective": "multiclass", "num_class": _CLASSES} if train.is_class else {"objective": "regression"}
        return {
            **task,
            "learning_rate": self.lr,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.least,
            "lambda_l2": self.penalty,
            "feature_fraction": self.columns,
            "bagging_fraction": self.rows,
            "bagging_freq": 1,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads,
            "verbosity": -1,
        }


@dataclass(frozen=True, eq=False)
class _Booster:
    """A booster of LightGBM with scikit-learn's two ways to be asked."""

    booster: Any
    classes_: tuple[int, ...] = tuple(range(_CLASSES))

    def predict(self, rows: FloatGrid) -> FloatArray:
        """Return (M,) values."""
        return np.asarray(self.booster.predict(rows, num_threads=1), dtype=np.float64)

    def predict_proba(self, rows: FloatGrid) -> FloatArray:
        """Return (M, 3) probabilities."""
        return np.asarray(self.booster.predict(rows, num_threads=1), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class RowModel:
    """A fitted model with scikit-learn's methods that reads the newest bar."""

    model: Any
    is_class: bool
    figures: dict[str, object]

    def predict(self, windows: Windows) -> FloatArray:
        """Return (M,) the expected class value, or the regression's value."""
        from threadpoolctl import threadpool_limits

        out = np.empty(len(windows))
        with threadpool_limits(1):
            for start in range(0, len(windows), _PREDICTED_AT_ONCE):
                rows = slice(start, start + _PREDICTED_AT_ONCE)
                x = windows.take(rows).newest()
                out[rows] = (
                    self.model.predict_proba(x) @ (np.asarray(self.model.classes_) - 1.0)
                    if self.is_class
                    else self.model.predict(x)
                )
        return out

    def facts(self) -> dict[str, object]:
        """Return the figures of the fit."""
        return self.figures


@dataclass(frozen=True, eq=False)
class RowClasses(RowModel):
    """A fitted classifier of the newest bar with the classes' true shares and a temperature: it tells probabilities."""

    priors: FloatArray
    temperature: float

    def probabilities(self, windows: Windows) -> FloatArray:
        """Return (M, 3) probabilities of short, hold and long."""
        return softmax((_log_chances(self.model, windows.newest()) + self.priors) / self.temperature)


def _with_shares(
    model: Any,  # noqa: ANN401 - a classifier with `predict_proba`
    train: Examples,
    calibration: Examples,
    figures: dict[str, object],
) -> RowClasses:
    """Return a classifier that was taught as if classes came equally often, with their shares and a temperature."""
    priors = log_priors(train.labels, _CLASSES)
    logits = _log_chances(model, calibration.windows.newest()) + priors
    temperature = fit_temperature(logits, calibration.labels.astype(np.int64))
    return RowClasses(model, True, {**figures, "temperature": temperature}, priors, temperature)


def _log_chances(model: Any, rows: FloatGrid) -> FloatArray:  # noqa: ANN401 - of scikit-learn
    return np.asarray(np.log(np.maximum(model.predict_proba(rows), 1e-12)))


def _values(examples: Examples) -> FloatArray:
    return examples.labels - 1.0 if examples.is_class else examples.labels
