"""The Kaggle client with what it lacks: time limits, silence, downloads that may be cut, and errors in one line.

Importing this imports `kaggle`, so only the function that talks to Kaggle does.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import requests
import urllib3
from kaggle.api import kaggle_api_extended  # type: ignore[import-untyped]
from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest  # type: ignore[import-untyped]
from requests.adapters import HTTPAdapter

from stock_assets.errors import UserError, first_line
from stock_assets.ingest import resumable
from stock_assets.ingest.kaggle_credentials import REMEDY, find_credentials
from stock_assets.ingest.patience import BusyError
from stock_assets.publishing import Report

kaggle_api_extended.print = lambda *_, **__: None  # it prints advice on stdout, which is the user's terminal

_BUSY = (429, 500, 502, 503, 504)


class _LimitedAdapter(HTTPAdapter):
    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        return super().send(*args, **kwargs | {"timeout": resumable.TIMEOUT})


class Client(kaggle_api_extended.KaggleApi):  # type: ignore[misc]
    """`KaggleApi` that does not wait for ever and does not write what is not the file into the file."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report

    def build_kaggle_client(self) -> Any:
        client = super().build_kaggle_client()
        http = client.http_client()
        http._init_session()
        for scheme in ("https://", "http://"):
            http._session.mount(scheme, _LimitedAdapter())
        return client

    def _authenticate_anonymously(self) -> bool:
        """Called when all else has failed; what follows would end in `exit()`, which closes stdin too."""
        raise UserError(f"Kaggle does not accept the credentials in {find_credentials()}: {REMEDY}")

    def download_file(self, response: requests.Response, outfile: str, *_: Any, **__: Any) -> None:
        """In place of the client's own, which appends an error page to the part and takes it for the rest."""
        resumable.fetch(response, Path(outfile), self.report)

    def current_version_number(self, owner: str, name: str) -> int:
        request = ApiGetDatasetRequest()
        request.owner_slug, request.dataset_slug = owner, name
        with self.build_kaggle_client() as client:
            return int(client.datasets.dataset_api_client.get_dataset(request).current_version_number)


@contextmanager
def in_one_line(dataset: str) -> Iterator[None]:
    """What the client raises as `BusyError` where it may pass, and as `UserError` where the user must mend it.

    Without the cause, which may hold a signed address or the token, and which Dagster would store.
    """
    try:
        yield
    except requests.HTTPError as error:
        with cast("requests.Response", error.response) as response:
            raise _refusal(dataset, error, response) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
        slow = isinstance(error, requests.Timeout) or "timed out" in str(error)
        what = "Kaggle did not answer in time" if slow else "the connection to Kaggle failed or broke off"
        raise BusyError(f"{what} when asked for {dataset}") from None
    except json.JSONDecodeError:
        raise BusyError(f"Kaggle did not answer in JSON when asked for {dataset}") from None
    except OSError as error:
        # Not its file name: the client looks whether KAGGLE_API_TOKEN names a file, which may fail with the token.
        raise UserError(f"the Kaggle client failed on {dataset}: {error.strerror or type(error).__name__}") from None
    except SystemExit:
        raise UserError(f"the Kaggle client gave up on {dataset} without a reason: {REMEDY}") from None


def _refusal(dataset: str, error: requests.HTTPError, response: requests.Response) -> UserError:
    status = response.status_code
    # Only the storage is asked with GET: it refuses a signed address that has expired, and the next try gets a new one.
    if status in _BUSY or response.request.method == "GET":
        return BusyError(f"Kaggle answered {status} when asked for {dataset}", _retry_after(response))
    if status == 401:
        return UserError(f"Kaggle does not accept the credentials in {find_credentials()} (401): {REMEDY}")
    page = "https://www.kaggle.com/datasets/" + dataset.partition("/versions/")[0]
    if status == 403:
        return UserError(
            f"Kaggle forbids {dataset} (403): see whether {page} exists for you and asks for consent, or change "
            "STOCK_ASSETS_KAGGLE_DATASET"
        )
    if status == 404:
        return UserError(f"Kaggle has no {dataset} (404): see {page} and change STOCK_ASSETS_KAGGLE_DATASET")
    return UserError(f"Kaggle refuses {dataset} ({status}): {first_line(error)}; see {page}")


def _retry_after(response: requests.Response) -> float:
    """Seconds that the server asks for; it may give them or a date."""
    try:
        return urllib3.Retry().parse_retry_after(response.headers.get("Retry-After", "0"))
    except urllib3.exceptions.InvalidHeader:
        return 0
