import hashlib
from pathlib import Path

import pytest
from pydantic import SecretStr

from stock_assets.api_keys import matching, new_key, read_keys
from stock_assets.errors import UserError
from tests.helpers import stock_assets_here

KEY = "correct-horse-battery"
HASH = hashlib.sha256(KEY.encode()).hexdigest()


@pytest.mark.parametrize("entry", [KEY, f"sha256:{HASH}", f"sha256:{HASH.upper()}", f" {KEY} ,"])
def test_a_key_and_its_hash_are_the_same_entry(entry: str) -> None:
    assert read_keys(SecretStr(entry)) == (bytes.fromhex(HASH),)


def test_a_file_has_keys_and_hashes_and_remarks(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# of the desk\n{KEY}\n\n  sha256:{'0' * 64}\n")
    known = read_keys(SecretStr(f"@{tmp_path / 'keys'},another-key-of-ours"))
    assert known[:2] == (bytes.fromhex(HASH), bytes(32))
    assert [matching(known, key) is not None for key in (KEY.encode(), b"another-key-of-ours", b"another")] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("short-secret", "entry 1: a key has 16 or more"),
        (f"{KEY},ein schl\u00fcssel mit umlaut", "entry 2: a key has 16 or more"),
        ("sha256:1234-secret", "entry 1: after sha256: come 64"),
        (" , ", "names no key"),
        ("@/nowhere/keys", "cannot be read (FileNotFoundError): /nowhere/keys"),
    ],
)
def test_a_wrong_entry_is_one_line_that_does_not_repeat_it(entry: str, says: str) -> None:
    with pytest.raises(UserError) as refused:
        read_keys(SecretStr(entry))
    message = str(refused.value)
    assert says in message
    assert message.startswith("STOCK_ASSETS_API_KEYS")
    assert not [word for word in ("secret", "horse", "umlaut", "\n") if word in message]


def test_a_wrong_line_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{KEY}\nshort\n")
    with pytest.raises(UserError, match=r"line 2 of .*keys: a key has") as refused:
        read_keys(SecretStr(f"@{tmp_path / 'keys'}"))
    assert "short" not in str(refused.value)


def test_an_empty_file_names_no_key(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# nobody yet\n")
    with pytest.raises(UserError, match="names no key"):
        read_keys(SecretStr(f"@{tmp_path / 'keys'}"))


def test_new_keys_differ_and_match_their_line() -> None:
    (one, line), (other, _) = new_key(), new_key()
    assert one != other
    assert len(one) > 40
    assert matching(read_keys(SecretStr(line)), one.encode())


def test_the_command_prints_a_key_and_its_line() -> None:
    done = stock_assets_here("api-key", variables={})
    key, line = done.stdout.split()
    assert (done.returncode, done.stderr) == (0, "")
    assert line == f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
