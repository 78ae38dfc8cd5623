"""What the settings ask for in protection, read before a worker starts; hence without the web framework."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stock_assets.api_keys import read_keys
from stock_assets.errors import UserError
from stock_assets.settings import Settings

if TYPE_CHECKING:
    from serving.rate_limit import RateLimit

ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")


@dataclass(frozen=True)
class Protection:
    """What the settings ask for; `keys` are hashes."""

    keys: tuple[bytes, ...]
    limit: "RateLimit | None"
    origins: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> "Protection":
        """Raises `UserError` for a setting that cannot be used."""
        return cls(
            keys=read_keys(settings.api_keys) if settings.api_keys else (),
            limit=_rate_limit(settings.rate_limit) if settings.rate_limit else None,
            origins=tuple(_origins(settings.cors_origins or "")),
        )


def _rate_limit(text: str) -> "RateLimit":
    from serving.rate_limit import RateLimit  # noqa: PLC0415 - takes longer to load than the rest of the application

    return RateLimit(text)


def _origins(text: str) -> Iterator[str]:
    for origin in filter(None, (part.strip() for part in text.split(","))):
        if not ORIGIN.fullmatch(origin):
            raise UserError(
                f"STOCK_ASSETS_CORS_ORIGINS: {origin} is no origin; one is as browsers send it, https://example.com"
            )
        yield origin
