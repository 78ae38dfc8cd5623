"""Takes the pictures of the page for the documentation: `make run`, then `.venv/bin/python -m docs.screenshots`.

They show the data folder of the settings, whose prices must be generated ones. Needs Debian's Chromium.
"""

import sys
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

from stock_assets.settings import load_settings
from tests.serving.browsing import DESKTOP, PHONE, Visit, chromium
from tests.serving.conftest import Models
from tests.serving.test_process import serve

IMAGES = Path(__file__).parent / "images"
SHOTS: dict[str, dict[str, Any]] = {
    "page-light": {"viewport": DESKTOP | {"height": 1250}, "color_scheme": "light"},
    "page-dark": {"viewport": DESKTOP | {"height": 1250}, "color_scheme": "dark"},
    "page-phone": {"viewport": PHONE | {"height": 1000}, "color_scheme": "light", "device_scale_factor": 2},
}
COLOURS = 128


def main() -> None:
    data_dir = load_settings().data_dir
    with serve(Models(data_dir)) as url, chromium() as browser:
        source = httpx2.get(url, headers={"Accept": "application/json"}).json()["source"]
        if source != "demo":
            sys.exit(f"{data_dir} has prices of source {source}; the pictures show generated ones (make run)")
        for name, options in SHOTS.items():
            visit = Visit(browser, url, **options)
            visit.open()
            visit.wait_for_charts()
            visit.page.screenshot(path=(path := IMAGES / f"{name}.png"))
            Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
            print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
