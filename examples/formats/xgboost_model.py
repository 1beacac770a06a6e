"""Pack an XGBoost classifier. Usage: python xgboost_model.py FOLDER"""

import sys

import xgboost
from data import tumours

from model_packaging import pack

inputs, answers = tumours()
# XGBoost knows its classes as 0 and 1 only, so their names are given.
model = xgboost.XGBClassifier(n_estimators=30, max_depth=3, n_jobs=1).fit(inputs, answers == "malignant")
package = pack(model, name="tumours", inputs=inputs, output=sys.argv[1], classes=["benign", "malignant"])
print(f"{package.path}@{package.digest}")
