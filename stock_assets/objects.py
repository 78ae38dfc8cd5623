"""Objects by key, on S3 or in a folder: each is put and replaced as a whole, so nobody ever reads half of one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from stock_assets.errors import TransientError, UserError, first_line
from stock_assets.publishing import staged

S3 = "s3://"


class Found(NamedTuple):
    """An object that is there: its key, its size in bytes and when it was put, in UTC."""

    key: str
    size: int
    modified: datetime


class ObjectStore(Protocol):
    """What can be done with objects. Every method raises `UserError` in one line where the store refuses it, and
    `TransientError` where it does not answer. Keys are relative paths with `/`.
    """

    url: str

    def put(self, path: Path, key: str) -> None:
        """Put the content of a file."""

    def write(self, content: bytes, key: str) -> None:
        """Put these bytes."""

    def get(self, key: str, path: Path) -> None:
        """Write an object to a file. Raises `UserError` where there is none."""

    def read(self, key: str) -> bytes | None:
        """The bytes of an object, None where there is none."""

    def read_newer(self, key: str, tag: str) -> tuple[bytes, str] | None:
        """The bytes of an object and their tag, None while their tag is this one, or where there is none."""

    def has(self, key: str) -> bool:
        """Whether there is an object."""

    def list(self, prefix: str) -> Iterator[Found]:
        """The objects whose keys begin so."""

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""

    def address(self, key: str) -> str:
        """The URL or path by which other programs read the object."""


def open_store(url: str) -> ObjectStore:
    """The store at `s3://bucket/prefix` or in a folder. Nothing is read or made yet."""
    return Bucket(url) if url.startswith(S3) else Folder(Path(url))


class Folder:
    """Objects as files of a folder, which may be shared by hosts; its `url` is an absolute path."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()
        self.url = str(self._root)

    def put(self, path: Path, key: str) -> None:
        with self._told(), staged(self._root / key) as temporary, temporary.open("wb") as file:
            with path.open("rb") as source:
                shutil.copyfileobj(source, file)
            _settle(file)

    def write(self, content: bytes, key: str) -> None:
        with self._told(), staged(self._root / key) as temporary, temporary.open("wb") as file:
            file.write(content)
            _settle(file)

    def get(self, key: str, path: Path) -> None:
        with self._told():
            shutil.copyfile(self._root / key, path)

    def read(self, key: str) -> bytes | None:
        with self._told():
            try:
                return (self._root / key).read_bytes()
            except FileNotFoundError:
                return None

    def read_newer(self, key: str, tag: str) -> tuple[bytes, str] | None:
        with self._told():
            try:
                with (self._root / key).open("rb") as file:
                    stat = os.fstat(file.fileno())
                    now = f"{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_size}"
                    return None if now == tag else (file.read(), now)
            except FileNotFoundError:
                return None

    def has(self, key: str) -> bool:
        return (self._root / key).is_file()

    def list(self, prefix: str) -> Iterator[Found]:
        with self._told():
            below = self._root / prefix
            for path in sorted((below if prefix.endswith("/") else below.parent).rglob("*")):
                key = path.relative_to(self._root).as_posix()
                if key.startswith(prefix) and path.is_file():
                    with suppress(FileNotFoundError):  # a temporary name, or removed meanwhile
                        stat = path.stat()
                        yield Found(key, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))

    def delete(self, key: str) -> None:
        with self._told():
            (self._root / key).unlink(missing_ok=True)

    def address(self, key: str) -> str:
        return str(self._root / key)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = error.filename or self._root
            raise UserError(f"the lake {self.url}: {place}: {error.strerror or error}") from error


def _settle(file: BinaryIO) -> None:
    """On the disk before it has its name."""
    file.flush()
    os.fsync(file.fileno())


class Bucket:
    """Objects on S3 or a server like it.

    Credentials and region come from the standard AWS chain (environment, profile, role), another server's address from
    its `AWS_ENDPOINT_URL`.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._bucket, _, prefix = self.url.removeprefix(S3).partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._made: Any = None

    def put(self, path: Path, key: str) -> None:
        with self._told():
            self._client().upload_file(str(path), self._bucket, self._prefix + key)

    def write(self, content: bytes, key: str) -> None:
        with self._told():
            self._client().put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content)

    def get(self, key: str, path: Path) -> None:
        # Not by name, for which boto3 would make a temporary name of its own beside it.
        with self._told(key), path.open("wb") as file:
            self._client().download_fileobj(self._bucket, self._prefix + key, file)

    def read(self, key: str) -> bytes | None:
        with self._told():
            client = self._client()
            try:
                content: bytes = client.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"].read()
            except client.exceptions.NoSuchKey:
                return None
            return content

    def read_newer(self, key: str, tag: str) -> tuple[bytes, str] | None:
        condition = {"IfNoneMatch": tag} if tag else {}
        with self._told():
            try:
                found = self._client().get_object(Bucket=self._bucket, Key=self._prefix + key, **condition)
                return found["Body"].read(), str(found["ETag"])
            except self._client().exceptions.ClientError as error:
                if _status(error) == 304 or error.response["Error"]["Code"] == "NoSuchKey":
                    return None
                raise

    def has(self, key: str) -> bool:
        with self._told():
            return any(found.key == key for found in self.list(key))

    def list(self, prefix: str) -> Iterator[Found]:
        with self._told():
            pages = self._client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for entry in page.get("Contents", ()):
                    yield Found(entry["Key"].removeprefix(self._prefix), entry["Size"], entry["LastModified"])

    def delete(self, key: str) -> None:
        with self._told():
            self._client().delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def address(self, key: str) -> str:
        return f"{self.url}/{key}"

    def _client(self) -> Any:
        if self._made is None:
            import boto3  # noqa: PLC0415 - half a second, for those who have a lake on S3
            from botocore.config import Config  # noqa: PLC0415

            # Other servers than Amazon's refuse the checksums that its newest clients add; TLS and our own hashes do.
            self._made = boto3.Session().client(
                "s3",
                config=Config(
                    retries={"mode": "standard", "max_attempts": 4},
                    connect_timeout=10,
                    read_timeout=60,
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        return self._made

    @contextmanager
    def _told(self, key: str = "") -> Iterator[None]:
        from boto3.exceptions import Boto3Error, RetriesExceededError  # noqa: PLC0415
        from botocore import exceptions as aws  # noqa: PLC0415
        from s3transfer.exceptions import RetriesExceededError as DownloadRetriesExceededError  # noqa: PLC0415

        place = f"the lake {self.url}"
        try:
            yield
        except (aws.NoCredentialsError, aws.PartialCredentialsError) as error:
            raise UserError(
                f"{place}: no complete AWS credentials were found: set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role"
            ) from error
        except (aws.HTTPClientError, aws.ConnectionError, aws.IncompleteReadError, RetriesExceededError) as error:
            raise TransientError(f"{place}: {first_line(error)}") from error
        except DownloadRetriesExceededError as error:  # no relation of the other, and says nothing itself
            raise TransientError(f"{place}: {key}: {first_line(error.last_exception)}") from error
        except (aws.ClientError, aws.BotoCoreError, Boto3Error, ValueError) as error:  # the last of a wrong address
            # An upload tells only the text of what the server refused; that itself is the context.
            cause = error if isinstance(error, aws.ClientError) else error.__context__
            if isinstance(cause, aws.ClientError):
                raise self._refusal(cause, place, key) from error
            raise UserError(f"{place}: {first_line(error)}") from error
        except OSError as error:
            raise UserError(f"{place}: {error.filename or key}: {error.strerror or error}") from error

    def _refusal(self, error: Any, place: str, key: str) -> UserError:
        """What a server's refusal means, in one line: its code, and what to do."""
        code, status = str(error.response["Error"]["Code"]), _status(error)
        if code == "NoSuchBucket":
            return UserError(f"{place}: there is no bucket {self._bucket}: make it, or mend STOCK_ASSETS_LAKE_URL")
        if status == 404:  # of a missing object it says no more
            return UserError(f"{place}: {key} is missing")
        if status in (401, 403):
            return UserError(f"{place}: the server refuses these AWS credentials ({code}): mend them or their rights")
        message = f"{place}: {first_line(error)}"
        return TransientError(message) if status >= 500 else UserError(message)


def _status(error: Any) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
