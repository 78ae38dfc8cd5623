"""A version that answers the same questions unseen, so that it is known before anybody is told what it says."""

from typing import NamedTuple

import numpy as np

from serving.backlog import Rows
from serving.loading import ModelRefusedError
from serving.metrics import SHADOW_DIFFERENCE, SHADOW_FAILURES, SHADOW_LOG_RATIO, SHADOW_ROWS
from serving.model import LoadedModel, Volumes
from serving.store import ModelStore, logger
from stock_assets.registry import RegistryError


class Shadow(NamedTuple):
    """The version that is compared with whatever is served."""

    model: LoadedModel

    def score(self, rows: Rows) -> Volumes:
        """What it would have answered, in whole shares; how far that is from what was answered goes to `/metrics`."""
        volumes = np.rint(self.model.predict_many(rows.inputs)).astype(np.int64)
        versions = self.model.name, rows.model.version, self.model.version
        SHADOW_ROWS.labels(*versions).inc(len(volumes))
        SHADOW_DIFFERENCE.labels(*versions).inc(float(np.abs(volumes - rows.volumes).sum(dtype=np.float64)))
        # One share more on both sides: days without trading have no logarithm.
        ratios = np.abs(np.log1p(volumes) - np.log1p(rows.volumes))
        SHADOW_LOG_RATIO.labels(*versions).inc(float(ratios.sum()))
        return volumes


async def load_shadow(store: ModelStore, version: str) -> Shadow | None:
    """The version as a shadow; None where it cannot be one, which is logged and counted."""
    try:
        model = await store.version(version)
        problem = "there is no such version; `stock-assets models list volume_model` shows them"
    except (RegistryError, ModelRefusedError, OSError) as error:
        model, problem = None, str(error)
    if model is None:
        SHADOW_FAILURES.labels(version).inc()
        logger.error("STOCK_ASSETS_SHADOW_VERSION=%s: %s; the service goes on without a shadow", version, problem)
        return None
    logger.info("version %s answers the same requests unseen", version)
    return Shadow(model)
