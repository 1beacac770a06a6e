# pyright: basic
# (scikit-learn carries no types)
"""Permutation importance. Source: A. Fisher, C. Rudin, F. Dominici, JMLR 20 (2019)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

ROWS = 4000


def importance(model: Any, task: str, inputs: Any, target: Any, seed: int) -> dict[str, Any]:
    from sklearn.inspection import permutation_importance

    pick = np.linspace(0, len(inputs) - 1, min(len(inputs), ROWS)).astype(int)
    scoring = "r2" if task == "regression" else "accuracy"
    if task == "classification" and len(model.classes_) == 2 and hasattr(model, "predict_proba"):
        scoring = "roc_auc"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Any = permutation_importance(
            model, inputs.iloc[pick], target[pick], scoring=scoring, n_repeats=3, random_state=seed
        )
    features = {
        str(name): {"mean": round(float(mean), 8), "std": round(float(std), 8)}
        for name, mean, std in zip(inputs.columns, found.importances_mean, found.importances_std, strict=True)
    }
    return {"metric": scoring, "features": features}
