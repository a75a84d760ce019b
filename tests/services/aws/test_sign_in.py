"""The standard chain of credentials: MFA, SSO, programs that print keys; and that nothing ever asks on the terminal."""

from __future__ import annotations

import getpass
import hashlib
import json
import stat
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.kits.aws_world import REGION, settings_for, world
from vmie_tui.known_secrets import hidden
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.services.aws.sign_in import MFA_NEEDED
from vmie_tui.settings import AwsSettings
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import Fault, TlsFiles

SERIAL = "arn:aws:iam::111122223333:mfa/ops"
MARK = "mark0123456789abcdef0123456789ABCDEF+/xy"  # 40 characters, as a secret access key has
WRONG = "MultiFactorAuthentication failed with invalid MFA one time pass code."


@pytest.fixture(scope="module")
def shared(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsSimulator]:
    with world(tls, tmp_path_factory.mktemp("aws")) as (simulator, _):
        yield simulator


@pytest.fixture
def aws(shared: AwsSimulator, monkeypatch: pytest.MonkeyPatch) -> AwsSimulator:
    shared.faults.clear()

    def asked(*_: object, **__: object) -> str:
        raise AssertionError("asked on the terminal")

    monkeypatch.setattr(getpass, "getpass", asked)
    return shared


class Files:
    """The user's ~/.aws, and sessions made of it."""

    def __init__(self, home: Path, simulator: AwsSimulator, tls: TlsFiles) -> None:
        self.folder, self.simulator, self.tls = home / ".aws", simulator, tls
        self.folder.mkdir()
        settings_for(simulator, tls, self.folder)  # writes the file of credentials

    def profile(self, name: str, **lines: str) -> None:
        common = {"region": REGION, "endpoint_url": self.simulator.url, "ca_bundle": str(self.tls.ca)}
        with (self.folder / "config").open("a") as file:
            file.write(f"[profile {name}]\n" + "".join(f"{k} = {v}\n" for k, v in {**common, **lines}.items()))

    def program(self, source: str) -> str:
        path = self.folder / "program.py"
        path.write_text(source)
        return f"{sys.executable} {path}"

    def keys(self, **more: object) -> str:
        keys = {"AccessKeyId": self.simulator.access_key, "SecretAccessKey": self.simulator.secret_key}
        return json.dumps({"Version": 1, **keys, **more})

    def open(self, name: str, **options: object) -> Aws:
        return open_session(AwsSettings(profile=name, region=REGION), **options)  # type: ignore[arg-type]

    def refused(self, name: str, **options: object) -> ServiceError:
        with pytest.raises(ServiceError) as caught:
            self.open(name, **options).identity()
        return caught.value


@pytest.fixture
def files(own_home: Path, aws: AwsSimulator, tls: TlsFiles) -> Files:
    return Files(own_home, aws, tls)


def role(files: Files, name: str = "mfa", **lines: str) -> None:
    arn = f"arn:aws:iam::{files.simulator.account}:role/admin"
    files.profile(name, **{"role_arn": arn, "source_profile": "default", "mfa_serial": SERIAL, **lines})


def test_a_code_is_asked_through_the_hook_and_serves_others_for_an_hour(files: Files) -> None:
    role(files)
    error = files.refused("mfa")
    assert (error.kind, error.problem.code, error.problem.subject) == (ErrorKind.LOGIN, MFA_NEEDED, SERIAL)
    assert "aws sts get-caller-identity --profile mfa" in error.problem.remedy
    asked: list[str] = []
    session = files.open("mfa", mfa_code=lambda serial: asked.append(serial) or " 123456 ")
    assert ":assumed-role/admin/" in session.identity().arn
    assert asked == [SERIAL]
    (kept,) = (files.folder / "cli" / "cache").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert ":assumed-role/admin/" in files.open("mfa").identity().arn  # another process, such as the worker
    secret = json.loads(kept.read_text())["Credentials"]["SecretAccessKey"]
    assert hidden(f"x {secret}") == "x [redacted]"


def test_a_role_without_a_code_leaves_nothing_on_the_disk(files: Files) -> None:
    arn = f"arn:aws:iam::{files.simulator.account}:role/admin"
    files.profile("role", role_arn=arn, source_profile="default")
    assert ":assumed-role/admin/" in files.open("role").identity().arn
    assert not (files.folder / "cli" / "cache").is_dir() or not list((files.folder / "cli" / "cache").iterdir())


def test_a_wrong_code_is_asked_for_again(files: Files) -> None:
    role(files)
    files.simulator.faults.add(Fault("AssumeRole", code="AccessDenied", message=WRONG, status=403))
    error = files.refused("mfa", mfa_code=lambda serial: "000000")
    assert (error.kind, error.problem.code) == (ErrorKind.LOGIN, MFA_NEEDED)
    assert "refused" in str(error)
    files.open("mfa", mfa_code=lambda serial: "123456")


@pytest.mark.parametrize("modern", [True, False])
def test_an_sso_sign_in_that_ended_names_the_command(files: Files, modern: bool) -> None:
    start = {"sso_account_id": "111122223333", "sso_role_name": "admin"}
    if modern:
        with (files.folder / "config").open("a") as file:
            file.write(f"[sso-session corp]\nsso_start_url = https://corp\nsso_region = {REGION}\n")
        files.profile('"my ops"', sso_session="corp", **start)
    else:
        files.profile('"my ops"', sso_start_url="https://corp", sso_region=REGION, **start)
    error = files.refused("my ops")
    assert error.kind is ErrorKind.LOGIN
    assert error.problem.remedy == "Run: aws sso login --profile 'my ops', then resume"


def test_a_program_that_prints_keys(files: Files) -> None:
    files.profile("program", credential_process=files.program(f"print({files.keys()!r})"))
    assert files.open("program").identity().account == files.simulator.account


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import sys; sys.exit('vault is sealed')", "vault is sealed"),
        (f"import sys; sys.exit('SecretAccessKey: {MARK}')", "[redacted]"),
        (f"import sys; sys.exit('no {MARK} here')", "[redacted]"),
        (f"print('{{oops {MARK}')", "not the JSON"),
        ("print('[]')", ""),
        ("print('{\"Version\": 7}')", "Unsupported version"),
        ("open('/dev/tty').read()", ""),  # there is no terminal for it
        ("import sys; sys.exit(len(sys.stdin.read()) or 9)", "it said nothing"),
    ],
)
@pytest.mark.parametrize("chained", [False, True])
def test_a_program_that_fails(files: Files, source: str, words: str, chained: bool) -> None:
    files.profile("program", credential_process=files.program(source))
    arn = f"arn:aws:iam::{files.simulator.account}:role/admin"
    files.profile("chained", role_arn=arn, source_profile="program")
    error = files.refused("chained" if chained else "program")
    assert error.kind is ErrorKind.LOGIN, error
    assert "credential_process" in str(error) and words in str(error)
    assert MARK not in "".join(traceback.format_exception(error))


def test_a_program_that_is_not_there(files: Files) -> None:
    files.profile("program", credential_process="/no/such/program --x")
    error = files.refused("program")
    assert error.kind is ErrorKind.LOGIN and "/no/such/program: No such file" in str(error)


def cached(files: Files, folder: str, identity: bytes, content: bytes) -> Path:
    """A file of the CLI's or the SSO cache, under the name that botocore looks for."""
    path = files.folder / folder / "cache" / f"{hashlib.sha1(identity).hexdigest()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


KEYS = {"AccessKeyId": "ASIA", "SecretAccessKey": "s", "SessionToken": "t"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"Credentials": {"Acc',
        b"[]",
        b"{}",
        b"\xff\xfe{",
        b"null",
        json.dumps({"Credentials": {**KEYS, "Expiration": "soon"}}).encode(),
        json.dumps({"Credentials": {**KEYS, "Expiration": 7}}).encode(),
        json.dumps({"Credentials": {**KEYS, "SecretAccessKey": None, "Expiration": "2099-01-01T00:00:00Z"}}).encode(),
        json.dumps({"Credentials": [KEYS]}).encode(),
    ],
)
def test_a_damaged_entry_of_the_cli_cache_is_replaced(files: Files, content: bytes) -> None:
    arn = f"arn:aws:iam::{files.simulator.account}:role/admin"
    files.profile("role", role_arn=arn, source_profile="default")
    path = cached(files, "cli", json.dumps({"RoleArn": arn}, sort_keys=True).encode(), content)
    assert ":assumed-role/admin/" in files.open("role").identity().arn
    assert json.loads(path.read_text())["Credentials"]["SessionToken"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"startUrl": "https',
        b"[1]",
        b'{"accessToken": "t"}',
        b'{"accessToken": "t", "expiresAt": "soon"}',
        b'{"accessToken": "t", "expiresAt": null}',
        b'{"accessToken": null, "expiresAt": "2099-01-01T00:00:00Z"}',
        b'{"accessToken": "t", "expiresAt": "2099-01-01T00:00:00Z", "registrationExpiresAt": "never"}',
    ],
)
@pytest.mark.parametrize("way", ["session", "legacy", "source"])
def test_a_damaged_sso_token_names_the_sign_in(files: Files, content: bytes, way: str) -> None:
    start = {"sso_account_id": "111122223333", "sso_role_name": "admin"}
    if way == "legacy":
        files.profile("ops", sso_start_url="https://corp", sso_region=REGION, **start)
    else:
        with (files.folder / "config").open("a") as file:
            file.write(f"[sso-session corp]\nsso_start_url = https://corp\nsso_region = {REGION}\n")
        files.profile("ops", sso_session="corp", **start)
    files.profile("chained", role_arn=f"arn:aws:iam::{files.simulator.account}:role/admin", source_profile="ops")
    cached(files, "sso", b"https://corp" if way == "legacy" else b"corp", content)
    error = files.refused("chained" if way == "source" else "ops")
    assert error.kind is ErrorKind.LOGIN
    assert "aws sso login" in error.problem.remedy, error
    assert "credential_process" not in str(error)


def test_a_token_file_that_is_missing_is_a_login_and_named(
    files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arn, gone = f"arn:aws:iam::{files.simulator.account}:role/admin", str(tmp_path / "token")
    files.profile("web", role_arn=arn, web_identity_token_file=gone)
    files.profile("chained", role_arn=arn, source_profile="web")
    said = [files.refused("web"), files.refused("chained")]
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", gone)
    (files.folder / "credentials").unlink()
    with pytest.raises(ServiceError) as caught:
        open_session(AwsSettings(region=REGION))
    for error in (*said, caught.value):
        assert (error.kind, error.problem.retry_safe) == (ErrorKind.LOGIN, False)
        assert f"{gone}: No such file" in str(error)


def test_an_unforeseen_error_keeps_its_words_and_names_the_provider(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "two\nlines")
    (files.folder / "credentials").unlink()
    with pytest.raises(ServiceError) as caught:
        open_session(AwsSettings(region=REGION))
    assert caught.value.kind is ErrorKind.LOGIN
    assert "the container's credentials cannot be used" in str(caught.value)
    assert "not a legal header value" in str(caught.value) and "credential_process" not in str(caught.value)


def test_keys_that_cannot_be_renewed_in_the_middle_are_a_login(files: Files) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=12)).isoformat()  # botocore tries from 15 on, must at 10
    flag = files.folder / "sealed"
    source = f"import os, sys\nif os.path.exists({str(flag)!r}): sys.exit('vault is sealed')\n"
    files.profile("program", credential_process=files.program(source + f"print({files.keys(Expiration=soon)!r})"))
    session = files.open("program")
    session.identity()
    flag.touch()
    assert session.identity()  # not over yet
    inner = session._session.get_credentials()._inner
    inner._expiry_time = datetime.now(UTC) - timedelta(seconds=1)
    with pytest.raises(ServiceError, match="vault is sealed") as caught:
        session.identity()
    assert caught.value.kind is ErrorKind.LOGIN
    flag.unlink()
    assert session.identity()
