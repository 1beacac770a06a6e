"""Pack a folder that MLflow wrote. Usage: python mlflow_folder.py FOLDER"""

import sys
import tempfile

import mlflow.sklearn
from data import tumours
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_packaging import pack

inputs, answers = tumours()
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(inputs, answers)
with tempfile.TemporaryDirectory() as folder:
    # A pickle, MLflow's other form, would need allow_pickle here and again wherever the package is loaded.
    mlflow.sklearn.save_model(model, f"{folder}/logged", serialization_format="skops", pip_requirements=[])
    package = pack(f"{folder}/logged", name="tumours", inputs=inputs, output=sys.argv[1])
print(f"{package.path}@{package.digest}")
