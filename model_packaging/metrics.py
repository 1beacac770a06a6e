"""Which way is better, for the metrics whose names are known."""

HIGHER_IS_BETTER = frozenset(
    {
        "accuracy",
        "average_precision",
        "balanced_accuracy",
        "explained_variance",
        "f1",
        "f1_macro",
        "matthews_correlation",
        "mean_average_precision",
        "precision",
        "precision_macro",
        "r2",
        "recall",
        "recall_macro",
        "roc_auc",
        "roc_auc_ovr",
    }
)

LOWER_IS_BETTER = frozenset(
    {
        "brier",
        "calibration_error",
        "log_loss",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_error",
        "median_absolute_error",
        "root_mean_squared_error",
    }
)

_RANKING = ("ndcg_at_", "recall_at_")


def higher_is_better(name: str) -> bool | None:
    """True, False, or None for a metric whose direction is not known."""
    if name in HIGHER_IS_BETTER or name.startswith(_RANKING):
        return True
    return False if name in LOWER_IS_BETTER else None
