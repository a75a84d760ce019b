"""What a typed source names, and that the wizard's line and the command's arguments name the same by it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from vmie_tui import settings as settings_module
from vmie_tui.commands.import_ import command
from vmie_tui.commands.session import Session
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.machine import Machine
from vmie_tui.model.plan import FileSource
from vmie_tui.operations import sources
from vmie_tui.operations.sources import describe_line, may_be_in_aws, parse_source
from vmie_tui.services.image_sources import Described
from vmie_tui.settings import AwsSettings, Profile

ID = "snap-0123456789abcdef0"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("web-01", "vm"),
        ("DC1/Web/web-01", "vm"),
        ("vm-17", "vm"),
        ("snap-0123456789abcdef0", "snapshot"),
        ("snap-shot", "vm"),
        ("s3://bucket/key.vmdk", "object"),
        ("S3://bucket/a/b/", "object"),
        ("./web-01", "file"),
        ("/nonexistent", "file"),
        ("~/disk", "file"),
        ("gone.OVA", "file"),
        ("x\0y", "vm"),
    ],
)
def test_what_an_argument_names(text: str, kind: str) -> None:
    assert parse_source(text).kind == kind


def test_a_file_that_is_there_needs_no_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_source("web-01").kind == "vm"
    (tmp_path / "web-01").touch()
    assert parse_source("web-01").kind == "file"


@pytest.mark.parametrize("text", ["s3://", "s3://bucket", "s3://bucket/", "s3:///key"])
def test_an_s3_address_has_bucket_and_key(text: str) -> None:
    with pytest.raises(ServiceError) as raised:
        parse_source(text)
    assert raised.value.kind is ErrorKind.INVALID


Asked = list[tuple[object, ...]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asked:
    """What the services were asked to look at, in a folder with some files."""
    for name in ("disk.raw", "snap-backup.vmdk", "two words.raw", ID, "exports/app.ova"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    calls: Asked = []

    def seen(kind: str, *what: Any) -> Described:
        calls.append((kind, *what))
        return Described(FileSource("x", ("x",)), Machine("x", "x"))

    def file(paths: Sequence[str], *, raw: bool, **_: Any) -> Described:
        return seen("file", *(os.path.abspath(path) for path in paths), raw)  # noqa: PTH100 - as it was given

    monkeypatch.setattr(sources, "describe_file", file)
    monkeypatch.setattr(sources, "describe_object", lambda aws, bucket, keys, **_: seen("object", bucket, keys))
    monkeypatch.setattr(sources, "describe_snapshots", lambda aws, region, ids, **_: seen("snapshot", region, *ids))
    monkeypatch.setattr(command, "read_only_aws", lambda _: nullcontext(Aws()))
    monkeypatch.setattr(command, "look_at_accounts", lambda _, plans: [() for _ in plans])
    return calls


class Aws:
    region = "eu-west-1"


def by_wizard(*arguments: str) -> str:
    """What goes wrong, "" when nothing does."""
    line = arguments[0] if len(arguments) == 1 else " ".join(map(shlex.quote, arguments))
    try:
        describe_line(line, Aws)  # type: ignore[arg-type]
    except ServiceError as error:
        return error.problem.what
    return ""


def by_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    profile = Profile("prod", None, AwsSettings(region="eu-west-1", bucket="b"))
    loaded = replace(settings_module.load(), table={"prod": profile}, default_profile="prod")
    monkeypatch.setattr(Session, "settings", loaded)
    wanted = [*arguments, "--dry-run"]
    done = CliRunner().invoke(command.import_command, wanted, obj=Session(), standalone_mode=False)
    return done.exception.problem.what if isinstance(done.exception, ServiceError) else ""


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("disk.raw",), "file"),
        (("./disk.raw",), "file"),
        (("exports/app.ova",), "file"),
        (("exports",), "file"),
        (("exports/",), "file"),
        (("two words.raw",), "file"),
        (("disk.raw", "two words.raw"), "file"),
        (("snap-backup.vmdk",), "file"),
        (("./" + ID,), "file"),
        (("/nowhere/" + ID,), "file"),
        (("snap-gone.vmdk",), "file"),
        ((ID,), "snapshot"),
        ((ID, "snap-00000000"), "snapshot"),
        (("s3://images/web.vmdk",), "object"),
        (("S3://images/web.vmdk",), "object"),
        (("s3://images/snap-1.vmdk", "s3://images/b.raw"), "object"),
        (("s3://images/all/",), "object"),
        (("s3://images/a.raw", "s3://other/b.raw"), ""),
        (("s3://images",), ""),
        (("disk.raw", ID), ""),
        (("disk.raw", "s3://images/web.vmdk"), ""),
    ],
    ids=" ".join,
)
def test_the_wizard_and_the_command_name_the_same_source(
    monkeypatch: pytest.MonkeyPatch, asked: Asked, arguments: tuple[str, ...], kind: str
) -> None:
    wrong = by_wizard(*arguments)
    typed = list(asked)
    asked.clear()
    assert by_command(monkeypatch, *arguments) == wrong
    assert asked == typed
    assert [call[0] for call in asked] == ([kind] if kind else [])
    assert bool(wrong) == (not kind)


def test_what_may_still_become_an_address_is_not_called_a_file_that_is_missing() -> None:
    assert all(map(may_be_in_aws, ("s3://", "S3://bucket/k", "snap-", "snap-01")))
    assert not any(map(may_be_in_aws, ("snap-backup.vmdk", "web.ova", "./snap-01")))
