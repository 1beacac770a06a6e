"""Pack a CatBoost classifier. Usage: python catboost_model.py FOLDER"""

import sys

import catboost
from data import tumours

from model_packaging import pack

inputs, answers = tumours()
model = catboost.CatBoostClassifier(
    iterations=30, depth=3, random_seed=0, thread_count=1, verbose=0, allow_writing_files=False
)
model.fit(inputs, answers)
package = pack(model, name="tumours", inputs=inputs, output=sys.argv[1])
print(f"{package.path}@{package.digest}")
