"""The whole OpenAPI document held against the service, by requests that are made up from it, wrong ones included."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.conftest import Models
from tests.serving.small_market import publish_next_day_model, publish_next_prices, publish_tables, publish_volume_model
from tests.serving.test_process import serve

pytestmark = pytest.mark.slow

CONFORMANCE = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[str]:
    """A service that has everything."""
    publish_tables(tmp_path)
    publish_volume_model(tmp_path)
    publish_next_day_model(tmp_path)
    publish_next_prices(tmp_path)
    with serve(Models(tmp_path)) as url:
        yield url


@pytest.fixture
def empty(models: Models) -> Iterator[str]:
    """A service before the first run of the pipeline."""
    with serve(models) as url:
        yield url


def test_every_answer_is_as_described(whole: str) -> None:
    assert _faults(whole, [not_a_server_error, *CONFORMANCE], examples=40) == {}


def test_without_a_model_too_and_the_only_failure_is_to_say_so(empty: str) -> None:
    def unavailable_at_most(ctx: Any, response: Any, case: Any) -> None:
        assert response.status_code < 500 or response.status_code == 503

    assert _faults(empty, [unavailable_at_most, *CONFORMANCE], examples=10) == {}


def _faults(url: str, checks: list[Any], examples: int) -> dict[str, str]:
    """By operation, what Schemathesis found first; several kinds at most once each."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    found = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in GenerationMode:
            try:
                _ask(operation, mode, checks, examples)
            except Unsatisfiable:
                continue  # nothing can be wrong where nothing is asked for
            except BaseExceptionGroup as group:
                found[f"{operation.label} {mode.value}"] = "\n".join(str(error) for error in group.exceptions)
    return found


def _ask(operation: Any, mode: GenerationMode, checks: list[Any], examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def asked(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=checks)

    asked()
