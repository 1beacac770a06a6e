"""Pack a LightGBM classifier. Usage: python lightgbm_model.py FOLDER"""

import sys

import lightgbm
from data import tumours

from model_packaging import pack

inputs, answers = tumours()
model = lightgbm.LGBMClassifier(n_estimators=30, num_leaves=7, n_jobs=1, verbose=-1).fit(inputs, answers)
package = pack(model, name="tumours", inputs=inputs, output=sys.argv[1])
print(f"{package.path}@{package.digest}")
