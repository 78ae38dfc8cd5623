"""The files of the page, kept compressed in memory: the project's own, and plotly's from its installed package."""

import gzip
import hashlib
import threading
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

PAGE = Path(__file__).parent / "page"
TYPES = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "service.js": "text/javascript; charset=utf-8",
    "search.js": "text/javascript; charset=utf-8",
    "words.js": "text/javascript; charset=utf-8",
    "inputs.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "symbol.js": "text/javascript; charset=utf-8",
    "tryit.js": "text/javascript; charset=utf-8",
    "crypto.js": "text/javascript; charset=utf-8",
    "models.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
PLOTLY = "plotly.min.js"


@dataclass(frozen=True)
class Asset:
    """A file as it is sent. `version` changes with its content or, for the page, with that of any of its files."""

    content: bytes
    compressed: bytes
    media_type: str
    version: str


class Assets:
    """Files by name, read and compressed once; made for threads."""

    def __init__(self) -> None:
        self._plotly: Asset | None = None
        self._compressing = threading.Lock()

    def get(self, name: str) -> Asset | None:
        """None for a name that is none of the page's."""
        return self.plotly() if name == PLOTLY else self.own.get(name)

    @cached_property
    def own(self) -> dict[str, Asset]:
        """The project's own. `index.html` names the others by their version."""
        files = {name: (PAGE / name).read_bytes() for name in TYPES}
        digest = hashlib.sha256()
        for content in files.values():
            digest.update(content)
        page = digest.hexdigest()[:12]
        names = {b"{page}": page.encode(), b"{plotly}": _plotly_version().encode()}
        for placeholder, value in names.items():
            files["index.html"] = files["index.html"].replace(placeholder, value)
        return {name: Asset(content, _zipped(content), TYPES[name], page) for name, content in files.items()}

    def plotly(self) -> Asset:
        """4.8 MB, of which only the compressed 1.5 MB are kept; a browser that takes no gzip is rare."""
        with self._compressing:
            if self._plotly is None:
                content = _plotly_file().read_bytes()
                self._plotly = Asset(b"", _zipped(content), TYPES["page.js"], _plotly_version())
            return self._plotly


def unzipped(asset: Asset) -> bytes:
    """The content, for who takes no gzip."""
    return asset.content or gzip.decompress(asset.compressed)


def _zipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _plotly_version() -> str:
    return version("plotly")


def _plotly_file() -> Path:
    """Found without importing plotly, which takes much longer than reading the file."""
    spec = find_spec("plotly")
    assert spec  # noqa: S101 - it is a requirement
    assert spec.origin  # noqa: S101
    return Path(spec.origin).parent / "package_data" / PLOTLY
