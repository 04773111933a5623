"""Loads scalers that fettle wrote, as the old system did, and says what they make of rows; fits others for fettle to read."""
import json
import pickle
import sys
import unittest.mock
import warnings

import joblib
import joblib.numpy_pickle
import numpy
import sklearn
from sklearn.preprocessing import MinMaxScaler

folder = sys.argv[1]
with open(f"{folder}/rows.json") as file:
    rows = numpy.array(json.load(file))
answer = {"version": sklearn.__version__, "warnings": [], "scaled": {}, "back": {}, "fitted": {}}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name in ("minmax", "robust"):
        with open(f"{folder}/{name}.pkl", "rb") as file:
            scaler = pickle.load(file)
        again = joblib.load(f"{folder}/{name}.pkl")
        assert isinstance(scaler, MinMaxScaler) and numpy.array_equal(scaler.transform(rows), again.transform(rows))
        answer["scaled"][name] = scaler.transform(rows).tolist()
        answer["back"][name] = scaler.inverse_transform(scaler.transform(rows)).tolist()
    answer["warnings"] = [str(w.message) for w in caught]

for name, fitted in {"plain": MinMaxScaler().fit(rows), "range": MinMaxScaler(feature_range=(-2, 3)).fit(rows)}.items():
    with open(f"{folder}/{name}.pkl", "wb") as file:
        pickle.dump(fitted, file, protocol=4)
    joblib.dump(fitted, f"{folder}/joblib-{name}.pkl")
    with unittest.mock.patch.object(joblib.numpy_pickle.NumpyArrayWrapper.__init__, "__defaults__", (False, None)):
        joblib.dump(fitted, f"{folder}/unaligned-{name}.pkl")  # as before joblib 1.1
    for way in ("", "joblib-", "unaligned-"):
        answer["fitted"][way + name] = fitted.transform(rows).tolist()
print(json.dumps(answer))
