"""Pack a scikit-learn pipeline as ONNX, which needs no scikit-learn to serve. Usage: python onnx_model.py FOLDER"""

import sys

from data import tumours
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_packaging import pack

inputs, answers = tumours()
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(inputs, answers)
package = pack(model, name="tumours", inputs=inputs, output=sys.argv[1], prefer_onnx=True)
print(package.manifest["model"]["stored"])
print(f"{package.path}@{package.digest}")
