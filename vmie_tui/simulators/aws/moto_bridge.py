"""Passes everything but S3 and EBS direct to moto by WSGI, and reports its failures as AWS would."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from vmie_tui.simulators.aws.errors import unsupported
from vmie_tui.simulators.aws.wire import ApiError, Reply, Request

ENVIRON_KEY = "vmie.simulator"
SERVICES = frozenset({"ec2", "iam", "sts", "kms"})


class MotoBridge:
    """Calls moto in this process, one call at a time: its models are not made for threads.

    ``lock`` guards those models; ``before`` runs with the lock held, ahead of every call. Plugin methods find
    ``simulator`` in the WSGI environ.
    """

    def __init__(
        self,
        account: str,
        simulator: object,
        lock: AbstractContextManager[Any],
        before: Callable[[Request], None],
    ) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self._application = DomainDispatcherApplication(create_backend_app)
        self._account, self._simulator, self._lock, self._before = account, simulator, lock, before

    def identify(self, request: Request) -> tuple[str, Callable[[], Reply]]:
        """(operation name, what answers it)."""
        target = request.header("X-Amz-Target")
        if target:
            operation = target.rpartition(".")[2]
        else:
            form = parse_qs(request.body.read().decode("utf-8", "replace"))
            operation = (form.get("Action") or [request.query.get("Action", f"{request.method} {request.path}")])[0]
        return operation, partial(self._run, request)

    def _run(self, request: Request) -> Reply:
        if request.service not in SERVICES:
            raise unsupported(request)
        seen: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], None]:
            seen["status"], seen["headers"] = int(status.split(maxsplit=1)[0]), headers
            return lambda _data: None

        try:
            with self._lock:
                self._before(request)
                parts: Iterable[bytes] = self._application(self._environ(request), start_response)
                body = b"".join(parts)
        except (NotImplementedError, ImportError) as error:
            raise unsupported(request) from error
        start = body.lstrip()[:15].lower()
        if start.startswith((b"<!doctype html", b"<html")):
            if seen["status"] >= 500:
                raise ApiError("InternalError", "An internal error has occurred", 500)
            raise unsupported(request)
        dropped = {"content-length", "connection", "server", "date", "transfer-encoding"}
        headers = {name: value for name, value in seen["headers"] if name.lower() not in dropped}
        if request.service in {"ec2", "iam", "sts"}:
            headers["Content-Type"] = "text/xml;charset=UTF-8"
        return Reply(seen["status"], body, {k: v for k, v in headers.items() if "\n" not in v})

    def _environ(self, request: Request) -> dict[str, Any]:
        content = request.body.read()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": request.path,
            "RAW_URI": request.raw_path,
            "QUERY_STRING": request.raw_query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_TYPE": request.header("Content-Type"),
            "CONTENT_LENGTH": str(len(content)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(content),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            ENVIRON_KEY: self._simulator,
        }
        for name, value in request.headers.items():
            environ.setdefault("HTTP_" + name.upper().replace("-", "_"), value)
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self._account
        return environ
