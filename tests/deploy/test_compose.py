"""The server of docker-compose.yaml: each service by its text, and all of it with podman where there is one."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stock_assets.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = sorted(set(SERVICES) - {"init"})
SECRETS = {"DAGSTER_POSTGRES_PASSWORD", "POSTGRES_PASSWORD", "STOCK_ASSETS_EXPERIMENTS_URL"}
ELSEWHERE = {
    "DATA_DIR": "the volume, set in the image",
    "HOST": "set in the image; SERVING_ADDRESS and DAGSTER_ADDRESS say what is published",
    "SERVING_PORT": "of the published port",
    "SERVING_FROM_LAKE": "the service has the pipeline's own volume",
}
IMPORTED = {
    "fastapi_offline": "fastapi-offline",
    "prometheus_client": "prometheus-client",
    "pydantic_settings": "pydantic-settings",
}
IMPORTED |= {"pythonjsonlogger": "python-json-logger", "pydantic_core": "pydantic", "starlette": "fastapi"}


def environment(service: str) -> dict[str, Any]:
    """PyYAML merges `<<: [a, b]`, as Compose does."""
    found: dict[str, Any] = SERVICES[service].get("environment", {})
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_right_that_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] not in {"root", "0", "0:0"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is (name != "postgres")
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_limits_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert {"mem_limit", "cpus", "pids_limit"} <= set(service)
    assert service["restart"] == ("on-failure:5" if name == "init" else "unless-stopped")
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_asked_whether_it_is_healthy(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD-SHELL"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


def test_nothing_starts_before_what_it_needs() -> None:
    order = {
        name: {on: how["condition"] for on, how in SERVICES[name].get("depends_on", {}).items()} for name in SERVICES
    }
    assert order == {
        "postgres": {},
        "init": {"postgres": "service_healthy"},
        "code": {"init": "service_completed_successfully"},
        "webserver": {"code": "service_healthy"},
        "daemon": {"code": "service_healthy"},
        "serving": {"init": "service_completed_successfully"},
    }


def test_there_is_no_password_by_default_and_ports_are_on_loopback() -> None:
    text = (ROOT / "docker-compose.yaml").read_text("utf-8")
    used = re.findall(r"\$\{POSTGRES_PASSWORD[^}]*\}", text)
    assert used
    assert all(part.startswith("${POSTGRES_PASSWORD:?run: echo ") for part in used)
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "webserver": ["${DAGSTER_ADDRESS:-127.0.0.1}:${STOCK_ASSETS_DAGSTER_PORT:-3000}:3000"],
        "serving": ["${SERVING_ADDRESS:-127.0.0.1}:${STOCK_ASSETS_SERVING_PORT:-8000}:8000"],
    }


def test_each_image_is_built_by_one_service() -> None:
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert len(built) == len({*built}) == 2
    assert {service["image"] for service in SERVICES.values()} - {*built} == {
        "${POSTGRES_IMAGE:-postgres:17.5-bookworm}"
    }


def test_the_service_reaches_nothing_that_asks_for_no_login() -> None:
    networks = {name: service["networks"] for name, service in SERVICES.items()}
    assert networks.pop("serving") == ["front"]
    assert set(map(tuple, networks.values())) == {("back",)}


def test_the_service_has_no_secret_of_the_pipeline_and_only_code_those_of_sources() -> None:
    assert SECRETS & set(environment("serving")) == set()
    for name in set(SERVICES) - {"code"}:
        assert not [key for key in environment(name) if key.startswith(("AWS_", "KAGGLE_"))], name
    mounts = SERVICES["serving"]["volumes"]
    assert "data:/data:ro" in mounts


def test_every_setting_reaches_the_service_that_uses_it_or_is_decided_here() -> None:
    passed = {name for service in ("code", "serving") for name in environment(service) if name.startswith(PREFIX)}
    expected = {PREFIX + name.upper() for name in Settings.model_fields} - {PREFIX + name for name in ELSEWHERE}
    assert passed == expected
    given = {name: value for name, value in environment("code").items() if name.startswith(PREFIX) and value}
    assert set(given) == {"STOCK_ASSETS_EXPERIMENTS_URL"}


def test_the_base_image_is_the_same_in_both_files() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    (base,) = re.findall(r"^ARG BASE_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    for name in ("init", "serving"):
        assert SERVICES[name]["build"]["args"] == {"BASE_IMAGE": f"${{BASE_IMAGE:-{base}}}"}
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) <= {
        "${BASE_IMAGE}", "build", "base", "pipeline-packages",
    }  # fmt: skip


def test_what_the_images_are_made_of_is_given_to_the_builder_and_nothing_else() -> None:
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "deploy" / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in allowed, source


def test_the_image_of_the_service_has_all_that_the_service_imports() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    listed = {re.split(r"[\[<>=]", requirement)[0] for requirement in groups["serving"]}
    lock = (ROOT / "requirements-serving.lock").read_text("utf-8")
    locked = set(re.findall(r"^([\w-]+)(?:\[\w+\])?==", lock, re.MULTILINE))
    assert {IMPORTED.get(name, name) for name in _imported_by_serving()} <= listed
    assert "lightgbm" in listed, "the pipeline's loader of models loads it in a way of its own"
    assert listed <= locked
    assert locked & {"dagster", "duckdb", "pandas", "kaggle"} == set()


def _imported_by_serving() -> Iterator[str]:
    for path in (ROOT / "serving").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in {name.split(".")[0] for name in names}:
                if name not in sys.stdlib_module_names | {"serving", "stock_assets"}:
                    yield name


@pytest.mark.slow
def test_the_whole_of_it_with_podman() -> None:
    """`deploy/verify.sh`: several minutes, more at the first time. `make test-compose` asks for it."""
    if not os.environ.get("TEST_COMPOSE"):
        pytest.skip("TEST_COMPOSE is not set: `make test-compose` runs this")
    if os.geteuid() != 0 or not shutil.which("podman") or not shutil.which("debootstrap"):
        pytest.skip("needs root and podman (Debian: see docs/deploy.md)")
    with subprocess.Popen([ROOT / "deploy" / "verify.sh"]) as verification:
        try:
            assert verification.wait(3600) == 0
        finally:
            verification.terminate()  # it removes its containers then
