"""What ``database_url`` may be: by verified TLS unless it says otherwise, and wrong ones in words."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from vmie_tui.jobs.store.database_url import MODES, checked_url
from vmie_tui.jobs.store.store import Store
from vmie_tui.model.errors import ErrorKind, ServiceError, SettingsError


def mode(text: str, **environ: str) -> str:
    return str(sa.make_url(checked_url(text, environ)).query.get("sslmode", ""))


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://user@db.corp/vmie",
        "postgresql://user@db.corp/vmie",
        "postgres://user:pw@10.1.2.3:5433/vmie",
        "postgresql://localhost,db.corp/vmie",
        "postgresql:///vmie?host=db.corp",
        "postgresql://localhost/vmie?host=db.corp",
        "postgresql://localhost/vmie?hostaddr=10.1.2.3",
        "postgresql://localhost/vmie?service=prod",
        "postgresql://127.0.0.1@db.corp/vmie",
        "postgresql://user@localhost.evil.example/vmie",
        "postgresql://[2001:db8::1]/vmie",
    ],
)
def test_another_machine_is_reached_by_verified_tls(text: str) -> None:
    assert mode(text) == "verify-full"
    assert "sslrootcert" in sa.make_url(checked_url(text, {})).query


@pytest.mark.parametrize(
    "text",
    [
        "postgresql:///vmie",
        "postgresql:///vmie?host=/var/run/postgresql",
        "postgresql://user@localhost/vmie",
        "postgresql://user@127.0.0.9:5433/vmie",
        "postgresql://user@[::1]/vmie",
        "postgresql://db.corp/vmie?hostaddr=127.0.0.1",
    ],
)
def test_what_stays_on_this_machine_needs_no_tls(text: str) -> None:
    assert mode(text) == ""


def test_what_the_environment_says_of_the_host_counts() -> None:
    assert mode("postgresql:///vmie", PGHOST="db.corp") == "verify-full"
    assert mode("postgresql://localhost/vmie", PGHOSTADDR="10.1.2.3") == "verify-full"
    assert mode("postgresql://localhost/vmie", PGSERVICE="prod") == "verify-full"
    assert mode("postgresql://db.corp/vmie", PGSSLMODE="disable") == "verify-full"


@pytest.mark.parametrize("said", MODES)
def test_a_mode_that_is_said_is_taken(said: str) -> None:
    assert mode(f"postgresql://db.corp/vmie?sslmode={said}") == said


def test_authorities_that_are_named_stay() -> None:
    url = sa.make_url(checked_url("postgresql://db.corp/vmie?sslrootcert=/etc/corp.pem", {}))
    assert url.query["sslrootcert"] == "/etc/corp.pem"
    assert "sslrootcert" not in sa.make_url(checked_url("postgresql://db.corp/vmie", {"PGSSLROOTCERT": "x"})).query


@pytest.mark.parametrize("password", ["p@ss", "p:ss", "p%40ss", "pä ss"])
def test_the_password_is_the_same_afterwards(password: str) -> None:
    text = f"postgresql://user:{password}@db.corp/vmie"
    assert sa.make_url(checked_url(text, {})).password == sa.make_url(text).password


@pytest.mark.parametrize(
    "text",
    [
        "db.corp",
        "",
        "postgresql://user:s3cret@db.corp:port/vmie",
        "mysql://user:s3cret@db.corp/vmie",
        "postgresql+psycopg2://user:s3cret@db.corp/vmie",
        "postgresql://user:s3cret@db.corp/vmie?sslmode=verify_full",
        "postgresql://user:s3cret@db.corp/vmie?sslmode=disable&sslmode=verify-full",
        "postgresql//user:s3cret@db.corp/vmie",
    ],
)
def test_what_is_no_url_of_postgresql_is_refused_in_words(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        checked_url(text, {})
    assert caught.value.kind is ErrorKind.INVALID
    assert caught.value.problem.subject == "database_url"
    assert "s3cret" not in str(caught.value)


def test_no_password_is_sent_to_who_offers_no_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says "no TLS" and asks for the password in clear; a URL that says so would get it."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                link, _ = server.accept()
                with link:
                    link.settimeout(5)
                    asked = link.recv(64)
                    heard.append(asked)
                    link.sendall(b"N")
                    heard.append(link.recv(64))

        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setattr("vmie_tui.jobs.store.database_url._loopback", lambda name: False)
        store = Store(tmp_path, f"postgresql://user:s3cret@127.0.0.1:{server.getsockname()[1]}/vmie?connect_timeout=5")
        with pytest.raises(ServiceError) as caught:
            store.views()
    assert caught.value.kind is ErrorKind.NETWORK
    assert "sslmode" in caught.value.problem.remedy
    assert not re.search(rb"s3cret|user", b"".join(heard))
