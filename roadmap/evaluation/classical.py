"""Classical baselines, with k-fold cross-validation."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from roadmap.data.splits import FOLDS
from roadmap.io.json import JsonObject

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

KERNEL_ROWS = 5_000  # kernel machines take quadratic time: they train on at most this many
THREADED = ("random forest", "XGBoost")
THREADED_ROWS = (
    5_000  # with fewer, threads wait for each other longer than they work: XGBoost on 2,000 rows fifteen times
)


def regressors(seed: int) -> "dict[str, BaseEstimator]":
    """Unfitted, by the name in tables."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.svm import SVR
    from sklearn.tree import DecisionTreeRegressor
    from xgboost import XGBRegressor

    return {
        "linear regression": LinearRegression(),
        "k nearest neighbours": KNeighborsRegressor(n_neighbors=10, weights="distance"),
        "support vector machine": SVR(C=10.0),
        "decision tree": DecisionTreeRegressor(min_samples_leaf=10, random_state=seed),
        "random forest": RandomForestRegressor(100, min_samples_leaf=2, max_features=0.5, random_state=seed),
        "XGBoost": XGBRegressor(n_estimators=400, max_depth=6, learning_rate=0.08, subsample=0.8, random_state=seed),
    }


def classifiers(seed: int) -> "dict[str, BaseEstimator]":
    """Unfitted, by the name in tables."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier
    from xgboost import XGBClassifier

    return {
        "logistic regression": LogisticRegression(max_iter=1000),
        "naive Bayes": GaussianNB(var_smoothing=1e-3),
        "k nearest neighbours": KNeighborsClassifier(n_neighbors=11),
        "support vector machine": SVC(C=1.0),
        "decision tree": DecisionTreeClassifier(max_depth=5, min_samples_leaf=5, random_state=seed),
        "random forest": RandomForestClassifier(100, min_samples_leaf=2, random_state=seed),
        "XGBoost": XGBClassifier(n_estimators=150, max_depth=4, learning_rate=0.05, subsample=0.8, random_state=seed),
    }


def folds_of(y: np.ndarray, stratified: bool, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers to train on and to score, of each fold. y: [n]"""
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = StratifiedKFold if stratified else KFold
    return list(kind(FOLDS, shuffle=True, random_state=seed).split(np.zeros(len(y)), y))


def compare(
    models: "Mapping[str, BaseEstimator]",
    folds: list[tuple[np.ndarray, ...]],
    final: tuple[np.ndarray, ...],
    metric: str,
) -> list[JsonObject]:
    """Fits each model on every fold and on the final split; a row of baselines.json for each.

    A split is (x_train [n, d], y_train [n], x_test [m, d], y_test [m]). metric: accuracy or r2
    """
    rows = []
    for name, model in models.items():
        if name in THREADED:
            model.set_params(n_jobs=-1 if len(final[0]) > THREADED_ROWS else 1)
        started = time.perf_counter()
        cv = [_score(model, split, metric) for split in folds]
        test = _score(model, final, metric)
        seconds = time.perf_counter() - started
        row = {"name": name, "metric": metric, "test": test, "seconds": round(seconds, 2)}
        if cv:
            row |= {"cv_mean": float(np.mean(cv)), "cv_std": float(np.std(cv)), "folds": len(cv)}
        if _is_kernel(model) and len(final[0]) > KERNEL_ROWS:
            row["rows"] = KERNEL_ROWS
        print(f"  {name:24s} {metric} {test:.4f}" + (f"  cv {row['cv_mean']:.4f} ± {row['cv_std']:.4f}" if cv else ""))
        rows.append(row)
    return rows


def _is_kernel(model: Any) -> bool:
    return type(model).__name__ in ("SVC", "SVR")


def _score(model: Any, split: tuple[np.ndarray, ...], metric: str) -> float:
    from sklearn.base import clone

    x, y, x_test, y_test = split
    scale = (0.0, 1.0) if metric == "accuracy" else (float(y.mean()), float(y.std()))
    rows = slice(KERNEL_ROWS) if _is_kernel(model) else slice(None)
    fitted = clone(model).fit(x[rows], y[rows] if metric == "accuracy" else (y[rows] - scale[0]) / scale[1])
    predictions = fitted.predict(x_test)
    if metric == "accuracy":
        return float((predictions == y_test).mean())
    return float(1 - ((predictions * scale[1] + scale[0] - y_test) ** 2).mean() / y_test.var())
