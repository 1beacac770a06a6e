"""Pack an estimator of types that skops does not know, as a pickle. Usage: python pickle_model.py FOLDER

Loading it runs whatever code its maker put into it: whoever serves it must set MODELBERTH_ALLOW_PICKLE=1.
"""

import sys

from data import tumours
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_packaging import pack

inputs, answers = tumours()
model = make_pipeline(StandardScaler(), GaussianProcessClassifier(RBF(3.0), optimizer=None)).fit(inputs, answers)
package = pack(model, name="tumours", inputs=inputs, output=sys.argv[1], allow_pickle=True)
print(package.manifest["model"]["stored"])
print(f"{package.path}@{package.digest}")
