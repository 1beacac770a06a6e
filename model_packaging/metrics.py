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
        "precision",
        "r2",
        "recall",
        "roc_auc",
    }
)

LOWER_IS_BETTER = frozenset(
    {
        "brier",
        "log_loss",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_error",
        "median_absolute_error",
        "root_mean_squared_error",
    }
)


def higher_is_better(name: str) -> bool | None:
    """True, False, or None for a metric whose direction is not known."""
    if name in HIGHER_IS_BETTER:
        return True
    return False if name in LOWER_IS_BETTER else None
