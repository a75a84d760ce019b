"""Writing config.toml: a profile is added at its end, what is there stays to the letter, and it is replaced at once."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from vmie_tui.model.errors import ErrorKind, SettingsError

NAME = re.compile(r"[A-Za-z0-9_-]+")
HEADING = "# How to reach vCenter and AWS; the README shows every setting. Passwords and keys do not belong here.\n"

Section = Mapping[str, str | int]


def profile_text(name: str, vcenter: Section, aws: Section) -> str:
    """The tables of a profile; empty values are left out, and so is a section without any."""
    parts = []
    for section, values in (("vcenter", vcenter), ("aws", aws)):
        rows = [f"{key} = {_value(value)}" for key, value in values.items() if value != ""]
        if rows or section == "aws":
            parts.append("\n".join((f"[profiles.{name}.{section}]", *rows)) + "\n")
    return "\n".join(parts)


def _value(value: str | int) -> str:
    """JSON's strings are TOML's, but for DEL, which TOML wants escaped."""
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def with_profile(text: str, name: str, vcenter: Section, aws: Section) -> str:
    """The file's text with the profile added. Raises ValueError in words when it cannot be."""
    if not NAME.fullmatch(name):
        raise ValueError("a profile's name has letters, digits, - and _ only")
    known = tomllib.loads(text)
    profiles = known.get("profiles", {})
    if not isinstance(profiles, dict) or name in profiles:
        raise ValueError(f"there is a profile {name} already")
    between = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
    made = f"{text or HEADING}{between if text else chr(10)}{profile_text(name, vcenter, aws)}"
    try:
        tomllib.loads(made)
    except tomllib.TOMLDecodeError as error:  # profiles written as one inline table, for one
        raise ValueError(f"it cannot be added at the end of this file: {error}") from error
    return made


def add_profile(path: Path, name: str, vcenter: Section, aws: Section) -> Path:
    """Add a profile to the file, which others cannot read afterwards; where it really lies.

    Raises SettingsError, and then nothing was changed.
    """
    real = path.resolve()  # a link into somebody's collection of settings stays one
    try:
        old = real.read_text(encoding="utf-8") if real.exists() else ""
        made = with_profile(old, name, vcenter, aws)
        real.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _replace(real, made)
    except (ValueError, OSError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise SettingsError(
            ErrorKind.LOCAL,
            f"the profile could not be written: {reason}",
            subject=str(path),
            remedy="Correct that, then write it again; nothing was changed",
        ) from error
    return real


def _replace(path: Path, text: str) -> None:
    """All of it or nothing, whatever happens meanwhile; mode 0600 from its first byte."""
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
