"""`GET /predict`: one prediction as a bare integer."""

from fastapi import APIRouter, Response

from serving.dependencies import NO_MODEL, CurrentModel
from serving.inputs import AdjCloseRollingMed, VolMovingAvg

VERSION_HEADER = "X-Model-Version"

router = APIRouter(tags=["predictions"])


@router.get(
    "/predict",
    response_description="The predicted volume in shares: a bare JSON integer.",
    responses={
        200: {
            "headers": {
                VERSION_HEADER: {
                    "description": "The version of the model that answered.",
                    "schema": {"type": "string"},
                }
            }
        },
        **NO_MODEL,
    },
)
async def predict(
    model: CurrentModel,
    vol_moving_avg: VolMovingAvg,
    adj_close_rolling_med: AdjCloseRollingMed,
    response: Response,
) -> int:
    """Predict the day's trading volume, in shares, from the 30-day windows that end on it."""
    response.headers[VERSION_HEADER] = model.version
    return model.predict(vol_moving_avg, adj_close_rolling_med)
