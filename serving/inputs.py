"""The volume model's two inputs as query parameters: units, and the limits that keep predictions finite."""

from typing import Annotated

from fastapi import Query

from stock_assets.learning.volume import MAX_VOLUME

VolMovingAvg = Annotated[
    float,
    Query(
        ge=0,
        le=MAX_VOLUME,
        allow_inf_nan=False,
        description="Mean daily volume over the last 30 trading days, in shares.",
        examples=[12345],
    ),
]
AdjCloseRollingMed = Annotated[
    float,
    Query(
        ge=0,
        allow_inf_nan=False,
        description="Median adjusted close over the last 30 trading days, in dollars.",
        examples=[25],
    ),
]
