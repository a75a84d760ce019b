"""Error documents in the protocol of the service that was called."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from vmie_tui.simulators.aws.wire import ApiError, Reply, Request

QUERY_SERVICES = frozenset({"iam", "sts", "autoscaling", "cloudformation", "elasticloadbalancing", "sns", "rds"})


def unsupported(request: Request) -> ApiError:
    """The error for a call that is not simulated."""
    name = f"{request.service or 'unknown service'}:{request.operation or request.method}"
    return ApiError("UnsupportedOperation", f"The operation {name} is not simulated", 400)


def render(request: Request, error: ApiError) -> Reply:
    """The error as XML or JSON, whichever ``request.service`` speaks."""
    service, kind = request.service, request.header("Content-Type")
    if service == "s3":
        return _s3(request, error)
    if service == "ec2":
        return _xml(
            error,
            f"<Response><Errors><Error>{_pair(error)}</Error></Errors>"
            f"<RequestID>{request.request_id}</RequestID></Response>",
        )
    if service in QUERY_SERVICES or kind.startswith("application/x-www-form-urlencoded"):
        side = "Sender" if error.status < 500 else "Receiver"
        return _xml(
            error,
            f"<ErrorResponse><Error><Type>{side}</Type>{_pair(error)}</Error>"
            f"<RequestId>{request.request_id}</RequestId></ErrorResponse>",
        )
    body = {"__type": error.code, "message": error.message, "Message": error.message, **error.fields}
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": error.code, **error.headers}
    return Reply(error.status, json.dumps(body).encode(), headers)


def _pair(error: ApiError) -> str:
    return f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"


def _xml(error: ApiError, document: str) -> Reply:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'.encode()
    return Reply(error.status, body, {"Content-Type": "text/xml;charset=UTF-8", **error.headers})


def _s3(request: Request, error: ApiError) -> Reply:
    if request.method == "HEAD":
        return Reply(error.status, b"", {"Content-Type": "application/xml", **error.headers})
    extra = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in error.fields.items())
    document = (
        f"<Error>{_pair(error)}{extra}<Resource>{escape(request.path)}</Resource>"
        f"<RequestId>{request.request_id}</RequestId><HostId>simulated</HostId></Error>"
    )
    reply = _xml(error, document)
    reply.headers["Content-Type"] = "application/xml"
    return reply
