"""Who may ask, and how often."""

from starlette.types import ASGIApp, Scope


class Guard:
    """Decides about a request before anything is done for it."""

    def refusal(self, scope: Scope) -> ASGIApp | None:
        """The answer to a request that may not pass; None for all others."""
        return None
