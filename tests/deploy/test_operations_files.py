"""The files for systemd, Prometheus and Kubernetes: they parse, and name what there is."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from serving.app import create_app
from stock_assets.cli import app
from stock_assets.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
RULES = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text("utf-8"))["groups"][0]["rules"]
DOCUMENT = (ROOT / "docs" / "deploy.md").read_text("utf-8")
SETTINGS = {PREFIX + name.upper() for name in Settings.model_fields}


def resources(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text("utf-8")))


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here")
    return found


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A service that has nothing to serve."""
    return TestClient(create_app(Settings(data_dir=tmp_path_factory.mktemp("nothing"))))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_alerts_are_on_metrics_of_the_service(client: TestClient, rule: dict[str, Any]) -> None:
    families = text_string_to_metric_families(client.get("/metrics").text)
    kinds = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    there = {family.name + end for family in families for end in kinds.get(family.type, ())}
    named = re.findall(r"(serving_\w+)(?:\{(.*?)\})?", rule["expr"])
    assert {name for name, _ in named} <= there
    for name, selector in named:
        labels = REGISTRY._names_to_collectors[name]._labelnames  # type: ignore[attr-defined]
        assert set(re.findall(r'(\w+)[=!]~?"', selector)) <= set(labels)


def test_every_alert_is_explained() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (page|warn|info) \|", DOCUMENT, re.MULTILINE)

    assert rows == [(rule["alert"], rule["labels"]["severity"]) for rule in RULES]


def test_the_alerts_fire_on_what_they_are_for() -> None:
    """By Prometheus' own tool (Debian: in the package prometheus)."""
    promtool = program("promtool")
    for arguments in (["check", "config", "scrape.yaml"], ["test", "rules", "rules_test.yaml"]):
        done = subprocess.run(
            [promtool, *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_units_are_sound(tmp_path: Path) -> None:
    """By systemd's own tool, with this environment in the place of the one that they are for."""
    analyze = program("systemd-analyze")
    for path in (DEPLOY / "systemd").glob("stock-assets-*"):
        text = path.read_text("utf-8").replace("/opt/stock-assets/.venv/bin", str(Path(sys.executable).parent))
        (tmp_path / path.name).write_text(text, "utf-8")
    units = sorted(map(str, tmp_path.glob("stock-assets-*")))
    assert len(units) == len(UNITS) + 1
    done = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "stock-assets" in line]) == (0, [])


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_the_units_start_what_there_is_and_may_do_little(path: Path) -> None:
    text = path.read_text("utf-8")
    for command in re.findall(r"^Exec\w+=(\S+)", text, re.MULTILINE):
        assert (Path(sys.executable).parent / Path(command).name).exists()
    for place in re.findall(r"/opt/stock-assets/(deploy/\S+)", text):
        assert (ROOT / place).exists()
    for line in ("User=stock-assets", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet="):
        assert f"\n{line}\n" in text
    assert "\nMemoryMax=" in text
    assert ("\nRestart=always\n" in text) == ("oneshot" not in text)


def test_the_environment_file_names_settings() -> None:
    text = (DEPLOY / "systemd" / "stock-assets.env").read_text("utf-8")
    named = set(re.findall(r"^#?(\w+)=", text, re.MULTILINE))
    wanted = set(re.findall(r"env: (\w+)", (DEPLOY / "dagster.yaml").read_text("utf-8")))

    assert {name for name in named if name.startswith(PREFIX)} <= SETTINGS
    assert {name for name in named if name.startswith("DAGSTER_POSTGRES_")} == wanted


def test_the_pods_are_given_settings_and_probed_where_they_answer(client: TestClient) -> None:
    deployment, service, scaler, budget = resources("serving.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {entry["name"] for entry in container["env"]} <= SETTINGS
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        assert client.get(container[probe]["httpGet"]["path"]).status_code in {200, 503}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


def test_the_chart_is_given_settings_and_the_volume() -> None:
    (values,) = resources("values.yaml")
    (volume,) = resources("data.yaml")
    (code,) = values["dagster-user-deployments"]["deployments"]
    assert {entry["name"] for entry in code["env"]} <= SETTINGS
    assert code["volumes"][0]["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]
    launcher = values["runLauncher"]["config"]["customRunLauncher"]
    assert f"module: {launcher['module']}\n  class: {launcher['class']}\n" in (DEPLOY / "dagster.yaml").read_text(
        "utf-8"
    )


def test_commands_and_files_of_the_document_exist() -> None:
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    named = re.findall(r"(?:bin/|run --rm \w+ |^ +)stock-assets ([a-z-]+)", DOCUMENT, re.MULTILINE)
    assert {"run", "backup", "restore"} <= set(named) <= known
    for place in re.findall(r"(?<![\w/])deploy/[\w./-]*\w", DOCUMENT):
        assert (ROOT / place).exists(), place
