"""`models/<name>/parameters.json`: hyper-parameters that a search found better, for the next training to use."""

import json
from typing import Any

from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.learning.search_space import SPACES, fault_of


def found_parameters(layout: Layout, model: str) -> dict[str, Any]:
    """What takes the place of the model's own parameters; empty where there is no file.

    Raises `UserError` for a file that cannot be used, and for a parameter that no search may choose.
    """
    path = layout.parameters(model)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; {_REMEDY}") from error
    parameters = content.get("parameters") if isinstance(content, dict) else None
    if fault := fault_of(parameters, SPACES[model]):
        raise UserError(f"{path} cannot be used: {fault}; {_REMEDY}")
    return dict(parameters or {})


_REMEDY = "remove it to go back to the model's own parameters"
