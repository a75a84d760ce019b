"""Steps of an export job whose worker ends at the worst moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vmie_tui.jobs.engine.control import JobControl
from vmie_tui.jobs.exports import steps
from vmie_tui.jobs.store.ledger import ExportLedger

KEY, DATA = "exports/export-ami-1.vmdk", b"disk" * 100


class Killed(BaseException):
    """The worker is gone."""


def job(folder: Path) -> Any:
    """A context whose worker is killed between the file's appearing and the job's knowing of it."""

    def remember(**fields: Any) -> None:
        if "files" in fields:
            raise Killed
        context.ledger = replace(context.ledger, **fields)

    def fetch(_bucket: str, _key: str, target: Path, **_: Any) -> Any:
        target.write_bytes(DATA)
        return SimpleNamespace(size=len(DATA), checksum="", proven="size")

    def nothing(*_: Any, **__: Any) -> None: ...

    context = SimpleNamespace(
        job_id="1",
        plan=SimpleNamespace(bucket="b"),
        ledger=ExportLedger(),
        remember=remember,
        update_disk=nothing,
        download=SimpleNamespace(fetch=fetch),
        retry=lambda work: work(),
        control=JobControl(),
        say=nothing,
        destination=lambda key: folder / key.rpartition("/")[2],
    )
    return context


def fetch_and_die(context: Any) -> None:
    progress: Any = SimpleNamespace(restart=lambda *_: None, finish=lambda *_: None)
    with pytest.raises(Killed):
        steps._download_object(context, progress, 1, KEY, len(DATA))


def test_a_download_that_ended_just_before_the_kill_is_kept(tmp_path: Path) -> None:
    context = job(tmp_path)
    assert not steps._is_downloaded(context, KEY, len(DATA))
    fetch_and_die(context)
    assert steps._is_downloaded(context, KEY, len(DATA)), "else the next attempt refuses its own file as taken"
    assert not steps._is_downloaded(context, KEY, len(DATA) + 1)


def test_a_file_that_was_there_before_is_never_taken_for_the_download(tmp_path: Path) -> None:
    context = job(tmp_path)
    context.destination(KEY).write_bytes(DATA)
    fetch_and_die(context)
    assert not steps._is_downloaded(context, KEY, len(DATA))


def test_a_conversion_that_ended_just_before_the_kill_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmie_tui.services.disks import convert

    context: Any = SimpleNamespace(
        job_id="1",
        plan=SimpleNamespace(convert_to="raw", format="VMDK"),
        ledger=ExportLedger(),
        remember=lambda **fields: setattr(context, "ledger", replace(context.ledger, **fields)),
        control=JobControl(),
        say=lambda *_, **__: None,
    )
    source, made = tmp_path / "disk.vmdk", tmp_path / "disk.raw"

    def killed(request: convert.Request, _progress: object) -> None:
        request.destination.write_bytes(DATA)
        raise Killed

    monkeypatch.setattr(steps, "convert_disk", killed)
    with pytest.raises(Killed):
        steps._convert(context, source)
    assert steps._convert(context, source) == str(made), "else the next attempt refuses its own file as taken"

    context.ledger = ExportLedger()
    with pytest.raises(Killed):  # the user's own file of that name is not taken for it: `convert` refuses to replace it
        steps._convert(context, source)
    assert context.ledger == ExportLedger()
