"""What the user is told where S3 refuses or does not answer: one line, on the command line and of a failed step."""

import os
from pathlib import Path

import pytest

from stock_assets.errors import TransientError, UserError
from stock_assets.layout import Layout
from stock_assets.objects import open_store
from stock_assets.registry import read_pointer, versions
from tests.helpers import free_port, stock_assets, stock_assets_here
from tests.lake.ceph import Ceph
from tests.promoted_model import booster_of, copy_market, promote_model

pytestmark = pytest.mark.slow

NO_CREDENTIALS = (
    "no complete AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or AWS_PROFILE, or give this machine a role"
)
REFUSED = "the server refuses these AWS credentials ({}): mend them or their rights"


@pytest.fixture
def bucket(ceph_server: Ceph, tmp_path: Path) -> str:
    """An empty bucket, the variables of AWS in this process, and no file of the developer's in the chain."""
    os.environ.update(ceph_server.environment())  # until the test ends
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(tmp_path / "none")
    return ceph_server.make_bucket()


def told(url: str, *arguments: str, **variables: str) -> str:
    """What the command says of this lake; it ends with 1 and in one line."""
    done = stock_assets_here(*arguments, variables={"STOCK_ASSETS_LAKE_URL": url} | variables)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    return done.stderr.strip()


def test_wrong_credentials(bucket: str) -> None:
    os.environ["AWS_SECRET_ACCESS_KEY"] = "wrong"  # noqa: S105
    assert told(bucket, "lake") == f"stock-assets: the lake {bucket}: {REFUSED.format('SignatureDoesNotMatch')}"
    os.environ["AWS_ACCESS_KEY_ID"] = "unknown"
    assert told(bucket, "lake") == f"stock-assets: the lake {bucket}: {REFUSED.format('InvalidAccessKeyId')}"


@pytest.mark.parametrize("missing", [["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], ["AWS_SECRET_ACCESS_KEY"]])
def test_no_credentials(bucket: str, missing: list[str]) -> None:
    for name in missing:
        del os.environ[name]
    assert told(bucket, "lake") == f"stock-assets: the lake {bucket}: {NO_CREDENTIALS}"


def test_a_missing_bucket(bucket: str) -> None:
    assert told("s3://not-there/x", "lake") == (
        "stock-assets: the lake s3://not-there/x: there is no bucket not-there: make it, or mend STOCK_ASSETS_LAKE_URL"
    )


def test_an_upload_that_is_refused(bucket: str, tmp_path: Path) -> None:
    """Those of boto3 wrap what the server said."""
    (tmp_path / "file").write_bytes(b"x")
    for key, said in ((None, "there is no bucket not-there"), ("unknown", "the server refuses these AWS credentials")):
        os.environ["AWS_ACCESS_KEY_ID"] = key or os.environ["AWS_ACCESS_KEY_ID"]
        with pytest.raises(UserError, match=said) as raised:
            open_store("s3://not-there").put(tmp_path / "file", "key")
        assert not isinstance(raised.value, TransientError)
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(TransientError, match="Could not connect"):
        open_store(bucket).put(tmp_path / "file", "key")


def test_a_server_that_is_not_there(bucket: str) -> None:
    os.environ["AWS_ENDPOINT_URL"] = url = f"http://127.0.0.1:{free_port()}"
    said = f'Could not connect to the endpoint URL: "{url}/{bucket.removeprefix("s3://")}/manifest.json"'
    assert told(bucket, "lake") == f"stock-assets: the lake {bucket}: {said}"


def test_an_address_that_is_none(bucket: str) -> None:
    os.environ["AWS_ENDPOINT_URL"] = "nonsense"
    assert told(bucket, "lake") == f"stock-assets: the lake {bucket}: Invalid endpoint: nonsense"


def test_an_empty_bucket(bucket: str) -> None:
    assert "has no manifest.json: nothing was published there yet" in told(bucket, "lake")


def test_a_promotion_holds_where_the_lake_refuses_it(bucket: str, made: Layout, tmp_path: Path) -> None:
    layout = copy_market(made, tmp_path / "data")
    old, _ = (promote_model(layout, booster_of(level)) for level in (0.0, 0.5))
    folder = layout.models / "volume_model"
    os.environ["AWS_SECRET_ACCESS_KEY"] = "wrong"  # noqa: S105
    said = told(bucket, "models", "promote", "volume_model", old, "--force", STOCK_ASSETS_DATA_DIR=str(layout.data_dir))

    assert said == (
        f"stock-assets: {old} is promoted, but that was not published in the lake: the lake {bucket}: "
        f"{REFUSED.format('SignatureDoesNotMatch')}"
    )
    pointer = read_pointer(folder)
    assert pointer is not None
    assert pointer.version == old == versions(folder)[1]


def test_a_step_fails_with_the_line(bucket: str, made: Layout, tmp_path: Path) -> None:
    layout = copy_market(made, tmp_path / "data")
    os.environ["AWS_SECRET_ACCESS_KEY"] = "wrong"  # noqa: S105
    variables = {"STOCK_ASSETS_LAKE_URL": bucket, "STOCK_ASSETS_DATA_DIR": str(layout.data_dir)}
    done = stock_assets("run", "--select", "lake", variables=variables, cwd=tmp_path)

    assert done.returncode == 1
    expected = f"stock-assets: lake: the lake {bucket}: {REFUSED.format('SignatureDoesNotMatch')} (run "
    assert done.stderr.strip().splitlines()[-1].startswith(expected)
