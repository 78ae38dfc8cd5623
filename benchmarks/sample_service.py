"""A service as the published samples have it: FastAPI, a plain function, a pickled LGBMRegressor in MODEL_PICKLE."""

import os
import pickle
from pathlib import Path

from fastapi import FastAPI

app = FastAPI()
model = pickle.loads(Path(os.environ["MODEL_PICKLE"]).read_bytes())  # noqa: S301 - written by the benchmark itself


@app.get("/ready")
def ready() -> bool:
    return True


@app.get("/predict")
def predict(vol_moving_avg: float, adj_close_rolling_med: float) -> int:
    return int(model.predict([[vol_moving_avg, adj_close_rolling_med]])[0])
