"""Measurements of tumours, and whether each was malignant; scikit-learn ships them."""

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer


def tumours() -> tuple[pd.DataFrame, np.ndarray]:
    """Ten columns, and the answer as a text."""
    loaded = load_breast_cancer(as_frame=True)
    return loaded.data.iloc[:, :10], np.where(loaded.target == 0, "malignant", "benign")
