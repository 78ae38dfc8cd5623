"""Every setting: an environment variable `STOCK_ASSETS_*` (or a line in `.env`), typed, with its default.

Nothing else reads the environment, except for Dagster's `DAGSTER_HOME` and MLflow's `MLFLOW_TRACKING_URI`.
"""

import shlex
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stock_assets.errors import UserError

PREFIX = "STOCK_ASSETS_"

Port = Annotated[int, Field(ge=1, le=65535)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Settings(BaseSettings):
    """The settings; a field's description is its line in the README and in `.env.example`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    data_dir: Path = Field(Path("data"), description="Folder of everything the pipeline writes.")
    source: Literal["demo", "folder", "kaggle"] = Field(
        "demo", description="Where prices come from: `demo` generates them, `folder` reads yours, `kaggle` downloads."
    )
    source_path: Path | None = Field(
        None, description="For `folder`: a folder or a zip with `stocks/*.csv` and `etfs/*.csv`."
    )
    kaggle_dataset: str = Field(
        "jacksoncrow/stock-market-dataset",
        pattern=r"^[\w-]+/[\w-]+(/versions/[1-9]\d*)?$",
        description="For `kaggle`: owner and name, and `/versions/2` at the end to stay with that version.",
    )
    demo_files: int = Field(
        300, ge=30, le=20_000, description="For `demo`: price files to generate; 8049 is full size."
    )
    demo_start: date = Field(
        date(1980, 1, 2),
        ge=date(1962, 1, 2),
        le=date(2018, 12, 31),
        description="For `demo`: first possible day of listing; a later one gives a smaller market.",
    )
    demo_seed: int = Field(7, ge=0, description="For `demo`: the same seed gives the same bytes.")
    crypto_path: Path | None = Field(
        None,
        description="A CSV file of a crypto asset, `date,price,volume,marketCap`, or a folder of such; the file's name "
        "is the asset. Unset: generated ones.",
    )
    train_share: Share = Field(0.7, description="Share of the feature rows, oldest first, that models are trained on.")
    validation_share: Share = Field(
        0.15, description="Share of the rows after those that choices are made on; the rest is the test window."
    )
    folds: int = Field(
        0,
        ge=0,
        le=20,
        description="Walk-forward folds before the test window that the volume model's candidates are measured on too.",
    )
    retrain_share: float = Field(
        0,
        ge=0,
        le=1,
        description="Share of new feature rows that retrains the model; 0: any change of the features does.",
    )
    retrain_drift: float | None = Field(
        None,
        gt=0,
        description="Population stability index of an input that retrains the model too, such as `0.2`. Unset: none.",
    )
    search_trials: int = Field(
        20,
        ge=1,
        le=1000,
        description="Trials of a search for hyper-parameters, those of earlier runs on the same data included.",
    )
    threads: int | None = Field(
        None, ge=1, description="Threads of DuckDB and LightGBM. Unset: the CPUs this container may use."
    )
    memory_limit: str | None = Field(
        None,
        pattern=r"^\d+(\.\d+)?\s?[KMGT]i?B$",
        description="DuckDB's memory limit, such as `4GB`. Unset: half of what this container may use.",
    )
    lock_timeout: float = Field(
        1800, ge=0, description="Seconds that a run waits for another one on the same data folder."
    )
    automation: bool = Field(
        False, description="`true` starts the sensor on the source and the daily schedule; else the UI's switches do."
    )
    poll_seconds: int = Field(
        30, ge=5, description="How often the sensor looks at the source; at Kaggle every ten minutes."
    )
    settle_seconds: float = Field(
        60, ge=0, description="How long a folder or zip must stay as it is before the sensor takes a copy for done."
    )
    alert_webhook: SecretStr | None = Field(
        None, description="Address that is sent a JSON `text` when a run fails, such as Slack's. It starts the sensor."
    )
    experiments_url: SecretStr | None = Field(
        None,
        description="Database that every training is appended to, such as `postgresql://user:password@host/name`. "
        "Unset: `experiments.db` in the data folder.",
    )
    lake_url: str | None = Field(
        None,
        pattern=r"^(s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/.*)?|[^:]*)$",
        description="Where tables and models are published for other machines: `s3://bucket/prefix` or a folder. "
        "Unset: nowhere but in the data folder.",
    )
    engine: Literal["local", "dask"] = Field(
        "local",
        description="What computes features and trains models: `local`, this process, or `dask`, the workers of a "
        "cluster.",
    )
    dask_scheduler: str | None = Field(
        None,
        pattern=r"^(tcp|tls)://\S+:\d+$",
        description="For `dask`: address of the scheduler, such as `tcp://host:8786`. Unset: workers on this machine, "
        "for a step and gone after it.",
    )
    host: str = Field("127.0.0.1", description="Address that the UI and the service listen on.")
    dagster_port: Port = Field(3000, description="Port of the Dagster UI (`make dev`).")
    serving_port: Port = Field(8000, description="Port of the prediction service.")
    serving_workers: int = Field(1, ge=1, le=64, description="Processes of the prediction service.")
    serving_from_lake: bool = Field(
        False,
        description="`true` makes the service fetch what it serves from the lake into its data folder: for a host "
        "without the pipeline.",
    )
    request_seconds: float = Field(
        30, gt=0, description="Seconds that the service gives a request, its body's arrival included."
    )
    max_body_mb: int = Field(32, ge=1, le=1024, description="Largest body that the service takes, in megabytes.")
    max_rows: int = Field(1_000_000, ge=1, description="Most rows that the service predicts in one request.")
    api_keys: SecretStr | None = Field(
        None,
        description="Keys that the service asks for, separated by commas: each a key, `sha256:` and its hash, or `@` "
        "and a file with one a line. Unset: it asks for none.",
    )
    rate_limit: str | None = Field(
        None, description="Requests a client may make of each worker, such as `100/minute` or `20/second`. Unset: any."
    )
    cors_origins: str | None = Field(
        None, description="Origins whose pages may call the service, separated by commas. Unset: only its own."
    )
    prediction_log: bool = Field(
        False, description="`true` keeps what the service was asked and answered, as Parquet in `logs/predictions`."
    )
    shadow_version: str | None = Field(
        None, description="Version of the volume model that scores the same requests unseen, for `/metrics`."
    )
    reload_seconds: float = Field(1, gt=0, le=60, description="How often the service looks for a newly promoted model.")

    @field_validator("data_dir", "source_path", "crypto_path")
    @classmethod
    def _expand_home(cls, path: Path | None) -> Path | None:
        return path.expanduser() if path else path


WHERE = frozenset(
    {"data_dir", "lake_url", "engine", "dask_scheduler", "host", "dagster_port", "serving_port", "serving_workers"}
    | {"serving_from_lake"}
)
"""Settings that say where something runs or lies, not what is made."""


def reproduce(settings: Settings) -> str:
    """The command that makes elsewhere what these settings made, without secrets."""
    set_ones = [
        f"{PREFIX}{name.upper()}={shlex.quote(str(value))}"
        for name, value in settings
        if value != type(settings).model_fields[name].default and name not in WHERE and not isinstance(value, SecretStr)
    ]
    return " ".join([*set_ones, "stock-assets run"])


def load_settings() -> Settings:
    """The settings in force now. Raises `UserError` in one line for a value that cannot be used."""
    try:
        return Settings()
    except UnicodeDecodeError as error:
        raise UserError(f".env is not UTF-8 text: {error}; save it again as UTF-8") from error
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        raise UserError(f"{name}={first['input']!s}: {first['msg']}. See the settings table in README.md.") from error
