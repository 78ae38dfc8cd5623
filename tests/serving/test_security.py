"""Keys, limits and origins, in front of the whole application."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient
from pydantic import SecretStr
from starlette.types import Message, Receive, Scope, Send

import serving.rate_limit
from serving.app import create_app
from serving.rate_limit import RateLimit
from serving.security import MEGABYTE, MOST_BODIES, BodyLimit
from stock_assets.errors import UserError
from stock_assets.settings import Settings
from tests.serving.conftest import QUESTION, Models

KEY, OTHER = "correct-horse-battery", "staple-of-another-one"
ORIGIN = "https://desk.example.com"


@contextmanager
def service(models: Models, *, client: tuple[str, int] = ("192.0.2.1", 1), **settings: Any) -> Iterator[TestClient]:
    """A service with a model under settings of its own."""
    if not models.pointer.exists():
        models.promote(models.publish()[0])
    with TestClient(create_app(Settings(data_dir=models.data_dir, **settings)), client=client) as running:
        yield running


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}, {"X-API-Key": OTHER}])
def test_a_known_key_opens_it(models: Models, headers: dict[str, str]) -> None:
    with service(models, api_keys=SecretStr(f"{KEY},{OTHER}")) as client:
        assert client.get("/predict", params=QUESTION, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-API-Key": KEY[:-1]}, {"Authorization": KEY}, {"Authorization": f"Basic {KEY}"}, {"X-API-Key": ""}],
)
def test_without_a_known_key_nothing_is_told(models: Models, headers: dict[str, str]) -> None:
    with service(models, api_keys=SecretStr(KEY)) as client:
        for path in ("/predict", "/docs", "/openapi.json", "/metrics", "/models", "/static", "/health", "/nowhere"):
            refused = client.get(path, params=QUESTION, headers=headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert "X-API-Key" in refused.json()["detail"]
            assert "x-model-version" not in refused.headers


def test_probes_and_the_page_need_no_key(models: Models) -> None:
    with service(models, api_keys=SecretStr(KEY)) as client:
        for path in ("/health/live", "/health/ready", "/"):
            assert client.get(path).status_code == 200
        for path in ("/ping", "/v2/health/live", "/static/nothing", "/favicon.ico"):
            assert client.get(path).status_code != 401


def test_the_summary_for_programs_needs_a_key(models: Models) -> None:
    with service(models, api_keys=SecretStr(KEY)) as client:
        as_json = {"Accept": "application/json"}
        assert client.get("/", headers=as_json).status_code == 401
        assert client.get("/", headers={**as_json, "X-API-Key": KEY}).json()["model"] == "volume_model"


def test_a_refusal_below_the_inference_protocol_is_in_its_shape(models: Models) -> None:
    with service(models, api_keys=SecretStr(KEY)) as client:
        assert list(client.get("/v2/models/volume_model").json()) == ["error"]
        key = {"X-API-Key": KEY}
        assert client.get("/v2/nothing", headers=key).json() == {"error": "Not Found"}
        assert client.delete("/v2/models/volume_model", headers=key).json() == {"error": "Method Not Allowed"}
        assert client.get("/nothing", headers=key).json() == {"detail": "Not Found"}


def test_a_detour_to_an_open_path_stays_closed(models: Models) -> None:
    with service(models, api_keys=SecretStr(KEY)) as client:
        for path in ("/health/../predict", "/health/%2e%2e/predict", "/static/%2e%2e/predict", "/PREDICT"):
            assert client.get(path, params=QUESTION).status_code in (401, 404, 405)


def test_the_api_description_says_what_is_asked_for(models: Models) -> None:
    with service(models, api_keys=SecretStr(KEY), rate_limit="1000/minute") as client:
        document = client.get("/openapi.json", headers={"X-API-Key": KEY}).json()
    predict, live = document["paths"]["/predict"]["get"], document["paths"]["/health/live"]["get"]
    assert document["components"]["securitySchemes"]["bearer"] == {"type": "http", "scheme": "bearer"}
    assert predict["security"] == [{"bearer": []}, {"header": []}]
    assert {"401", "429"} <= set(predict["responses"])
    assert live["security"] == []
    assert not {"401", "429"} & set(live["responses"])


def test_without_keys_the_api_description_asks_for_none(good_client: TestClient) -> None:
    document = good_client.get("/openapi.json").json()
    assert "securitySchemes" not in document["components"]
    assert "401" not in document["paths"]["/predict"]["get"]["responses"]


def test_who_asks_too_often_waits(models: Models) -> None:
    with service(models, rate_limit="3/minute") as client:
        statuses = [client.get("/predict", params=QUESTION).status_code for _ in range(4)]
        refused = client.get("/predict", params=QUESTION)
        assert client.get("/health/ready").status_code == 200
    assert statuses == [200, 200, 200, 429]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["detail"].startswith("more than 3 per 1 minute; try again in ")


def test_waiting_as_long_as_told_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000.3
    monkeypatch.setattr("time.time", lambda: now)
    limit = RateLimit("2 per 10 seconds")
    assert [limit.wait("a"), limit.wait("a"), limit.wait("b")] == [0, 0, 0]
    for _ in range(20):
        wait = limit.wait("a")
        assert 1 <= wait <= 10
        now += wait
        assert limit.wait("a") == 0
        while limit.wait("a") == 0:
            pass


def test_each_key_has_a_limit_of_its_own_and_guesses_count_for_the_address(models: Models) -> None:
    with service(models, api_keys=SecretStr(f"{KEY},{OTHER}"), rate_limit="2/minute") as client:

        def ask(key: str) -> int:
            return client.get("/predict", params=QUESTION, headers={"X-API-Key": key}).status_code

        assert [ask(KEY) for _ in range(3)] == [200, 200, 429]
        assert [ask(f"a-guess-of-length-{n}") for n in range(3)] == [401, 401, 429]
        assert [ask(OTHER) for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(models: Models, one: str, other: str, shared: bool) -> None:
    models.promote(models.publish()[0])
    app = create_app(Settings(data_dir=models.data_dir, rate_limit="1/hour"))
    statuses = [TestClient(app, client=(host, 1)).get("/metrics").status_code for host in (one, other)]
    assert statuses == [200, 429 if shared else 200]


def test_the_memory_of_clients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.rate_limit, "MOST_CLIENTS", 50)
    limit = RateLimit("1/day")
    assert [limit.wait(str(client)) for client in range(1000)] == [0] * 1000
    assert len(limit._storage.storage) <= 101


@pytest.mark.parametrize("text", ["many", "0/minute", "5", "1/minute;2/second", "-1/minute", "1/fortnight"])
def test_a_wrong_limit_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"STOCK_ASSETS_RATE_LIMIT=.*such as 100/minute or 20/second") as refused:
        RateLimit(text)
    assert "\n" not in str(refused.value)


def test_a_page_of_a_named_origin_may_ask_and_read_refusals(models: Models) -> None:
    settings = {
        "api_keys": SecretStr(KEY),
        "rate_limit": "2/minute",
        "cors_origins": f"http://localhost:5173, {ORIGIN}",
    }
    with service(models, **settings) as client:
        asked = [client.get("/predict", params=QUESTION, headers={"Origin": ORIGIN}) for _ in range(3)]
        answered = client.get("/predict", params=QUESTION, headers={"Origin": ORIGIN, "X-API-Key": KEY})
    assert [answer.status_code for answer in (*asked, answered)] == [401, 401, 429, 200]
    for answer in (*asked, answered):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in answer.headers
    assert {"X-Model-Version", "X-Request-Id"} <= set(answered.headers["access-control-expose-headers"].split(", "))


def test_a_browser_may_ask_beforehand_without_a_key(models: Models) -> None:
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    with service(models, api_keys=SecretStr(KEY), cors_origins=ORIGIN) as client:
        allowed = client.options("/predict", headers={"Origin": ORIGIN, **ask})
        refused = client.options("/predict", headers={"Origin": "https://elsewhere.example.com", **ask})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


def test_other_origins_are_told_nothing(models: Models, good_client: TestClient) -> None:
    with service(models, cors_origins=ORIGIN) as client:
        for running in (client, good_client):
            answer = running.get("/predict", params=QUESTION, headers={"Origin": "https://elsewhere.example.com"})
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("text", ["*", "example.com", f"{ORIGIN}/", f"{ORIGIN}/page", "null", "https://*.example.com"])
def test_what_is_no_origin_is_one_line(models: Models, text: str) -> None:
    with pytest.raises(UserError, match=r"STOCK_ASSETS_CORS_ORIGINS: .* is no origin; .*https://example.com"):
        create_app(Settings(data_dir=models.data_dir, cors_origins=f"{ORIGIN},{text}"))


def test_a_body_that_says_it_is_too_large_is_not_read(models: Models) -> None:
    with service(models, max_body_mb=1) as client:
        refused = client.post("/predict", content=b" " * 1_000_001, headers={"Content-Type": "application/json"})
        taken = client.post("/predict", content=b" " * 1_000_000, headers={"Content-Type": "application/json"})
    assert refused.status_code == 413
    assert refused.json() == {"detail": "the body is larger than 1 MB (STOCK_ASSETS_MAX_BODY_MB); send it in parts"}
    assert taken.status_code in (400, 422)


def test_a_body_that_does_not_say_is_stopped_where_it_is_too_large(models: Models) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(30):
            sent += 100_000
            yield b" " * 100_000

    with service(models, max_body_mb=1) as client:
        refused = client.post("/predict", content=endless(), headers={"Content-Type": "application/json"})
    assert refused.status_code == 413
    assert "larger than 1 MB" in refused.json()["detail"]


def test_bodies_that_are_sent_at_once_are_bounded_together_and_freed_after_their_answers() -> None:
    stop: list[Message] = [{"type": "http.request", "body": b"x" * MEGABYTE, "more_body": True}]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if scope["path"]:
            await limit({**scope, "path": scope["path"][1:]}, receive_one, send)

    async def receive_one() -> Message:
        return stop[0]

    async def send(_: Message) -> None:
        raise AssertionError("nothing is answered here")

    limit = BodyLimit(app, megabytes=1)
    scope = {"type": "http", "method": "POST", "headers": []}
    for _ in range(2):
        asyncio.run(limit({**scope, "path": "x" * (MOST_BODIES - 1)}, receive_one, send))
    with pytest.raises(HTTPException, match="503"):
        asyncio.run(limit({**scope, "path": "x" * MOST_BODIES}, receive_one, send))
    asyncio.run(limit({**scope, "path": "x" * (MOST_BODIES - 1)}, receive_one, send))


def test_the_api_description_says_that_a_body_may_be_too_large(good_client: TestClient) -> None:
    paths = good_client.get("/openapi.json").json()["paths"]
    with_body = [operation for path in paths.values() for operation in path.values() if "requestBody" in operation]
    assert with_body
    assert all("413" in operation["responses"] for operation in with_body)


@pytest.mark.parametrize(
    ("path", "told"), [("/invocations", "message"), ("/v2/models/volume_model/infer", "error"), ("/predict", "detail")]
)
def test_each_protocol_says_in_its_own_shape_that_a_body_is_too_large(models: Models, path: str, told: str) -> None:
    with service(models, max_body_mb=1) as client:
        for content in (b" " * 1_000_001, iter([b" " * 600_000] * 2)):
            refused = client.post(path, content=content, headers={"Content-Type": "application/json"})
            assert (refused.status_code, "larger than 1 MB" in refused.json()[told]) == (413, True)
