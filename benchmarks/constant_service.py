"""The ceiling: an endpoint of FastAPI that does nothing."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/ready")
@app.get("/predict")
async def predict() -> int:
    return 12345
