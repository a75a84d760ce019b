"""What may be said as ``database_url``: PostgreSQL, by verified TLS unless the URL itself says otherwise.

libpq's own default (``sslmode=prefer``) sends the password, and everything of the jobs, to whoever answers "no TLS".
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from vmie_tui.model.errors import ErrorKind, SettingsError

SAFE_MODE = "verify-full"
# Of libpq, weakest first.
MODES = ("disable", "allow", "prefer", "require", "verify-ca", SAFE_MODE)
DRIVER = "postgresql+psycopg"
_OURS = frozenset({"postgres", "postgresql", DRIVER})
EXAMPLE = f"{DRIVER}://user@host/vmie"


def checked_url(text: str, environ: Mapping[str, str] | None = None) -> str:
    """``text`` as it is given to the driver, with ``sslmode=verify-full`` where it names none and TLS is needed.

    Raises SettingsError INVALID, which never repeats the text: it may hold a password.
    """
    env = os.environ if environ is None else environ
    try:
        url = sa.make_url(text)
    except (SQLAlchemyError, ValueError, TypeError):  # their words may repeat it
        raise _bad("it is not a URL", "@ : / # ? and % in a password are written %40 %3A %2F %23 %3F %25") from None
    if url.get_backend_name() == "sqlite":
        return text
    if url.drivername not in _OURS:
        raise _bad(f"{url.drivername!r} is no database that jobs can be kept in", "only PostgreSQL is")
    query = {key: value if isinstance(value, str) else ",".join(value) for key, value in url.query.items()}
    mode = query.get("sslmode", "")
    if mode and mode not in MODES:
        raise _bad(f"there is no sslmode {mode!r}", f"write one of {', '.join(MODES)}")
    url = url.set(drivername=DRIVER)
    if not mode and not _stays_here(url, query, env):
        url = url.update_query_dict({"sslmode": SAFE_MODE})
        mode = SAFE_MODE
    if mode == SAFE_MODE and "sslrootcert" not in query and not _has_authorities(env):
        url = url.update_query_dict({"sslrootcert": _system_authorities()})
    return url.render_as_string(hide_password=False)


def _stays_here(url: sa.URL, query: Mapping[str, str], env: Mapping[str, str]) -> bool:
    """Whether every server that it may mean is reached by a socket in the file system or over the loopback."""
    if "service" in query or "PGSERVICE" in env:  # a file of libpq's names the host
        return False
    addresses = query.get("hostaddr") or env.get("PGHOSTADDR", "")
    hosts = ",".join(filter(None, (query.get("host"), url.host))) or env.get("PGHOST", "")
    names = [name.strip() for name in (addresses or hosts).split(",")]
    return all(not name or name.startswith(("/", "@")) or _loopback(name) for name in names)


def _loopback(name: str) -> bool:
    if name.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _has_authorities(env: Mapping[str, str]) -> bool:
    """Whether libpq finds authorities by itself; it looks at no others."""
    return "PGSSLROOTCERT" in env or (Path.home() / ".postgresql" / "root.crt").is_file()


def _system_authorities() -> str:
    """The file of authorities that this machine trusts; libpq's word for them where there is no such file."""
    return ssl.get_default_verify_paths().cafile or "system"


def _bad(what: str, remedy: str) -> SettingsError:
    return SettingsError(
        ErrorKind.INVALID,
        what,
        subject="database_url",
        remedy=f"Write it as {EXAMPLE!r}; {remedy}",
    )
