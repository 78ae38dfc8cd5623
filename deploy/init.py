"""Before the servers of docker-compose.yaml start: databases, tables and DAGSTER_HOME.

Run at the first start and at each upgrade. Whatever is there already stays as it is. Raises what its steps raise: a
failure keeps the servers from starting.
"""

import os
import subprocess
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from stock_assets.experiments_table import prepare
from stock_assets.publishing import staged
from stock_assets.settings import Settings, load_settings

INSTANCE_FILE = Path(__file__).with_name("dagster.yaml")


def main() -> None:
    settings = load_settings()
    make_home(Path(os.environ["DAGSTER_HOME"]))
    make_experiments_database(settings)
    prepare(settings)
    subprocess.run(["dagster", "instance", "migrate"], check=True)


def make_home(home: Path) -> None:
    """The instance's file is that of this image, also after an upgrade."""
    with staged(home / INSTANCE_FILE.name) as file:
        file.write_bytes(INSTANCE_FILE.read_bytes())


def make_experiments_database(settings: Settings) -> None:
    """The database of STOCK_ASSETS_EXPERIMENTS_URL, by the server's database `postgres`, which is always there."""
    if settings.experiments_url is None:
        return
    url = make_url(settings.experiments_url.get_secret_value()).set(drivername="postgresql+pg8000")
    engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT", hide_parameters=True)
    with engine.connect() as connection:
        names = connection.scalars(text("SELECT datname FROM pg_database")).all()
        if url.database not in names:
            connection.execute(text(f'CREATE DATABASE "{url.database}"'))
    engine.dispose()


if __name__ == "__main__":
    main()
