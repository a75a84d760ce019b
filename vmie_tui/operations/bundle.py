"""A zip for a ticket: texts with everything secret taken out, readable by its owner alone."""

from __future__ import annotations

import json
import os
import platform
import zipfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from vmie_tui import __version__
from vmie_tui.known_secrets import SECRET_NAMES, hidden, known, remember, remember_environment, shapes
from vmie_tui.model.explain import explain_problem
from vmie_tui.model.formatting import one_line
from vmie_tui.model.replication import JOB_PREFIX, ReplicationPlan
from vmie_tui.model.rules.secrets import redacted, redacted_value
from vmie_tui.model.task_history import TaskRecord, phases
from vmie_tui.model.task_report import explanation_of, markdown
from vmie_tui.operations.jobs import Jobs
from vmie_tui.operations.replication_jobs import ReplicationJobs
from vmie_tui.services.disks.streams.output import Output, check_free, local_errors
from vmie_tui.services.task_history import History
from vmie_tui.settings import Settings

TAIL_BYTES = 200_000
LOG_LINES = 2000
_PACKAGES = ("boto3", "botocore", "pyvmomi", "textual", "dbos", "click")


def versions() -> dict[str, str]:
    """What runs here: our own version, Python's, the system's, those of the libraries that talk to the outside."""
    found = {"vmie-tui": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def known_secrets(settings: Settings, environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """Every secret this machine's configuration leads to without asking anybody: environment and files.

    They are remembered: `known_secrets.hidden` finds them in each form, short ones too.
    """
    env = os.environ if environ is None else environ
    remember_environment(env)
    found = {env[name] for name in SECRET_NAMES if env.get(name)}
    for profile in settings.table.values():
        if profile.vcenter is not None and profile.vcenter.password_file is not None:
            found.add(_read(profile.vcenter.password_file.expanduser()).strip())
        keys = profile.aws.credentials_file or Path(env.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
        for line in _read(keys.expanduser()).splitlines():
            key, equals, value = line.partition("=")
            if equals and ("secret" in key or "token" in key or "access_key" in key):
                found.add(value.strip())
    remember(*found)
    return frozenset(word for word in found if word) | known()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def tail(path: Path, limit: int = TAIL_BYTES) -> str:
    """The end of a log, from a whole line on; "" when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            text = file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""
    return text.partition("\n")[2] if size > limit else text


def write_bundle(destination: Path, files: Mapping[str, Any], secrets: Iterable[str], *, force: bool = False) -> int:
    """Write texts, and values as JSON, by their names into a zip; its size in bytes. Everything is redacted.

    Raises ServiceError LOCAL, CONFLICT.
    """
    check_free(destination, force=force)
    secrets = frozenset(secrets)
    remember(*secrets)
    words = {form for secret in secrets for form in shapes(secret)}
    with Output(destination, force=force) as target:
        with local_errors(destination):
            target.path.chmod(0o600)
        with zipfile.ZipFile(target.path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(redacted(hidden(name), words), _text(content, words))
        return target.commit()


def support_files(settings: Settings, now: datetime) -> dict[str, Any]:
    """What every ticket wants to know of this machine: versions, settings, the end of the worker's log."""
    worker = tail(settings.log_dir / "worker.log")
    return {
        "versions.json": {**versions(), "made": now.isoformat()},
        "settings.json": settings_summary(settings),
        **({"worker.log": worker} if worker else {}),
    }


def task_files(record: TaskRecord, history: History, now: datetime) -> dict[str, Any]:
    """The task with its timeline, the report of it, and what its message means."""
    times = phases(record, now, history.usual)
    files: dict[str, Any] = {
        "task.json": {**record.to_json(), "phases": [phase.to_json() for phase in times]},
        "task.md": markdown(record, times, now, versions=(("vmie-tui", __version__),)),
    }
    found = explanation_of(record)
    return files if found is None else {**files, "explanation.json": found.to_json()}


def job_files(jobs: Jobs, replications: ReplicationJobs, subject: str) -> tuple[dict[str, Any], str]:
    """A job with its plan and log, or a replication with its runs and the newest one's job; the id of its AWS task."""
    files: dict[str, Any] = {}
    if subject.startswith(JOB_PREFIX):
        replication = replications.view(subject)
        files["replication.json"] = replication.to_json()
        subject = next((run.job_id for run in replication.runs if run.job_id), "")
    if not subject:
        return files, ""
    view = jobs.job(subject)
    plan, lines = jobs.plan(view.id), jobs.log(view.id, LOG_LINES)
    files["job.json"], files["plan.json"] = view.to_json(), plan.to_json()
    if isinstance(plan, ReplicationPlan) and "replication.json" not in files:
        files["replication.json"] = replications.view(plan.replication).to_json()
    files["job.log"] = "".join(f"{line.at.isoformat()} {line.level:<7} {one_line(line.text)}\n" for line in lines)
    if view.problem is not None:
        files["explanation.json"] = explain_problem(view.problem).to_json()
    return files, view.task_id


def settings_summary(settings: Settings) -> dict[str, Any]:
    """Which profiles there are and how they reach their services; where a password comes from is left out."""
    return {
        "read_only": settings.read_only,
        "default_profile": settings.default_profile,
        "database": "configured" if settings.database_url else "in the state folder",
        "profiles": {
            name: {
                "read_only": profile.read_only,
                "vcenter": profile.vcenter.host if profile.vcenter else "",
                "aws_region": profile.aws.region,
                "aws_endpoint": profile.aws.endpoint_url or "",
                "bucket": profile.aws.bucket,
                "prefix": profile.aws.prefix,
                "role_name": profile.aws.role_name,
            }
            for name, profile in settings.table.items()
        },
    }


def _text(content: Any, secrets: Iterable[str]) -> str:
    if isinstance(content, str):
        return redacted(hidden(content), secrets)
    return json.dumps(redacted_value(_hidden_in(content), secrets), indent=2, ensure_ascii=False, default=str) + "\n"


def _hidden_in(value: Any) -> Any:
    """What becomes JSON, without known secrets in its texts and names."""
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, dict):
        return {hidden(str(key)): _hidden_in(item) for key, item in value.items()}
    return [_hidden_in(item) for item in value] if isinstance(value, list | tuple) else value
