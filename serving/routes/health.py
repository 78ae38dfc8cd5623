"""`/health`: is the process alive, and is a model in service."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from serving.dependencies import NO_MODEL, CurrentModel, Store

router = APIRouter(prefix="/health", tags=["health"])


class Live(BaseModel):
    """The answer of a process that runs."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The answer of a service that predicts: the model in service."""

    status: Literal["ready"] = "ready"
    model: str
    version: str
    promoted_at: datetime
    problem: str | None = Field(description="Why the promoted version is not the one in service, if so.")


@router.get("/live")
async def live() -> Live:
    """The process answers; nothing is said about a model."""
    return Live()


@router.get("/ready", responses=NO_MODEL)
async def ready(model: CurrentModel, store: Store) -> Ready:
    """A model is in service: predictions will be answered."""
    return Ready(model=model.name, version=model.version, promoted_at=model.promoted_at, problem=store.problem)
