"""Judge a model: cross-validation, backtesting, hold-out, segments, leakage, and comparison with another one."""

from .run import validate

__all__ = ["validate"]
