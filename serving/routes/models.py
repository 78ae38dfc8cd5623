"""`/models`: what is served and on disk, what each version was measured to be worth, and its card."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from serving.catalogue import CARD_FILE, PLOTS, PURPOSES, SERVED, Catalogue, Listing, Version
from serving.dependencies import Problem, Store
from serving.store import ModelStore
from stock_assets.registry import RegistryError

router = APIRouter(prefix="/models", tags=["models"])

CARD_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""A card is one page with its styles and pictures in it, and without scripts."""
FOR_EVER = "private, max-age=31536000, immutable"
"""A version never changes, so what was asked for by version need not be asked for again."""
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is no such thing."}}
UNREADABLE: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "It should be there and cannot be read; the detail says why."}
}


class ModelSummary(BaseModel):
    """A model, the version of it that is in use, and what that is worth."""

    name: str
    predicts: str = Field(description="What it predicts, in short.")
    version: str | None = Field(description="The version in use; null before the first.")
    promoted_at: datetime | None
    baseline: str | None = Field(description="The simple rule that it must beat.")
    skill: float | None = Field(description="The share of the baseline's MAE that it saves on the test window.")
    versions: int = Field(description="How many versions GET /models/{name} lists.")
    problem: str | None = Field(description="Why there is none in use, or why it is not the promoted one.")


class ModelList(BaseModel):
    """All models, the project's own first."""

    models: list[ModelSummary]


class ModelDetails(ModelSummary):
    """A model with its newest versions, at most 100 and the promoted one."""

    listed: list[Version] = Field(description="Newest first.")


async def _catalogue(request: Request) -> Catalogue:
    catalogue: Catalogue = request.app.state.catalogue
    return catalogue


Models = Annotated[Catalogue, Depends(_catalogue)]


async def _listing(catalogue: Models, name: str) -> Listing:
    listing = await asyncio.to_thread(catalogue.listing, name)
    if listing is None:
        raise HTTPException(404, f"there is no model {name}; GET /models lists them")
    return listing


OfModel = Annotated[Listing, Depends(_listing)]
VersionAsked = Annotated[
    str | None, Query(max_length=100, description="A version on disk, in place of the one in use.")
]


async def _chosen(name: str, listing: OfModel, store: Store, version: VersionAsked = None) -> Version:
    """The version asked for, or the one in use."""
    wanted = version or _in_use(name, listing, store)[0]
    if wanted is None:
        raise HTTPException(404, listing.problem or store.problem)
    for found in listing.versions:
        if found.version == wanted:
            return found
    raise HTTPException(404, f"there is no version {wanted}; GET /models/{name} lists them")


Chosen = Annotated[Version, Depends(_chosen)]


@router.get("")
async def models(catalogue: Models, store: Store) -> ModelList:
    """What is served, and how much better it is than its baseline."""

    def all_of_them() -> list[ModelSummary]:
        listings = ((name, catalogue.listing(name)) for name in catalogue.names())
        return [_summary(name, listing, store) for name, listing in listings if listing]

    return ModelList(models=await asyncio.to_thread(all_of_them))


@router.get("/{name}", responses=NOT_FOUND)
async def model(name: str, listing: OfModel, store: Store) -> ModelDetails:
    """The versions of a model, with their errors, those of the baselines, and the candidates beside them."""
    return ModelDetails(**dict(_summary(name, listing, store)), listed=listing.versions)


@router.get(
    "/{name}/card",
    response_class=Response,
    responses={200: {"content": {"text/html": {}}, "description": "The card, a page of its own."}}
    | NOT_FOUND
    | UNREADABLE,
)
async def card(name: str, catalogue: Models, chosen: Chosen, version: VersionAsked = None) -> Response:
    """The card of a version, for people to read: what it is for, how well it does, what it is made of."""
    content = await _content(catalogue, name, chosen.version, CARD_FILE)
    headers = {"Content-Security-Policy": CARD_POLICY, "Cache-Control": FOR_EVER if version else "no-cache"}
    return Response(content, media_type="text/html", headers=headers)


@router.get(
    "/{name}/plots/{plot}.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "The picture."}} | NOT_FOUND | UNREADABLE,
)
async def picture(name: str, plot: str, catalogue: Models, chosen: Chosen, version: VersionAsked = None) -> Response:
    """A picture of the card, by a name that the version's `plots` has."""
    content = await _content(catalogue, name, chosen.version, f"{PLOTS}{plot}.png")
    headers = {"Cache-Control": FOR_EVER if version else "no-cache"}
    return Response(content, media_type="image/png", headers=headers)


async def _content(catalogue: Catalogue, name: str, version: str, file: str) -> bytes:
    try:
        content = await asyncio.to_thread(catalogue.content, name, version, file)
    except RegistryError as error:
        raise HTTPException(409, catalogue.told(error, name)) from error
    if content is None:
        raise HTTPException(404, f"version {version} of {name} has no {file}")
    return content


def _in_use(name: str, listing: Listing, store: ModelStore) -> tuple[str | None, datetime | None, str | None]:
    """The version, since when, and the problem. This service may lag behind the pointer of the model that it serves."""
    if name == SERVED:
        model = store.model
        return (model.version, model.promoted_at, store.problem) if model else (None, None, store.problem)
    pointer = listing.pointer
    return (pointer.version, pointer.promoted_at, None) if pointer else (None, None, listing.problem)


def _summary(name: str, listing: Listing, store: ModelStore) -> ModelSummary:
    version, promoted_at, problem = _in_use(name, listing, store)
    used = next((found for found in listing.versions if found.version == version), None)
    return ModelSummary(
        name=name,
        predicts=PURPOSES.get(name) or (used and used.about) or "Its manifest does not say.",
        version=version,
        promoted_at=promoted_at,
        baseline=used.baseline if used else None,
        skill=used.metrics.skill.get(used.baseline or "") if used else None,
        versions=len(listing.versions),
        problem=problem or (used.problem if used else None),
    )
