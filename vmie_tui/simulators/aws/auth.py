"""Authenticates requests: the SigV4 scope, the known keys, the signature, and the error texts."""

from __future__ import annotations

import calendar
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from vmie_tui.simulators.aws.wire import ApiError, Request, Scope

MAX_SKEW = 15 * 60
MAX_LIFETIME = 7 * 86_400  # of a presigned URL


def scope_of(request: Request) -> Scope | None:
    """The credential scope in the Authorization header or the presigned query; None for an unsigned request."""
    header = request.header("Authorization")
    credential = ""
    if header.startswith("AWS4-"):
        credential = _fields(header).get("Credential", "")
    elif "X-Amz-Credential" in request.query:
        credential = request.query["X-Amz-Credential"]
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request":
        return None
    return Scope(parts[0], parts[1], parts[2], parts[3].lower())


def _fields(header: str) -> dict[str, str]:
    _, _, rest = header.partition(" ")
    pairs = (item.strip().partition("=") for item in rest.split(","))
    return {name: value for name, _, value in pairs}


@dataclass(frozen=True, slots=True)
class Key:
    """An access key's secret, its session token if it is temporary, and its expiry (epoch seconds)."""

    secret: str
    token: str = ""
    expires: float | None = None


class Keys:
    """The access keys that may call; ``skew`` is how far the service's clock is ahead (seconds)."""

    def __init__(self) -> None:
        self._accounts: dict[str, tuple[str, Key, Callable[[str], Key | None]]] = {}
        self.skew = 0.0

    def add(self, account: str, access_key: str, secret_key: str, issued: Callable[[str], Key | None]) -> None:
        """Let an account's user call. ``issued`` finds its keys that were made later (by IAM, or temporary ones by
        STS): access key -> `Key`, or None."""
        self._accounts[account] = (access_key, Key(secret_key), issued)

    def find(self, access_key: str) -> tuple[str, Key] | None:
        """(account, key) of an access key."""
        for account, (name, first, issued) in self._accounts.items():
            key = first if access_key == name else issued(access_key)
            if key is not None:
                return account, key
        return None

    def now(self) -> float:
        return time.time() + self.skew

    def check(self, request: Request) -> None:
        """Raises `ApiError` as the service would for an unknown key or a wrong signature."""
        scope = request.scope
        if scope is None:
            raise no_credentials(request.service)
        found = self.find(scope.access_key)
        key = found[1] if found else None
        token = request.query.get("X-Amz-Security-Token") or request.header("X-Amz-Security-Token")
        if key is None or key.token != token:
            raise unknown_key(request.service, scope.access_key)
        if key.expires is not None and self.now() > key.expires:
            raise expired(request.service)
        presigned = "X-Amz-Signature" in request.query
        stamp = request.query.get("X-Amz-Date", "") if presigned else request.header("X-Amz-Date")
        lifetime = _lifetime(request, scope) if presigned else MAX_SKEW
        self._check_time(request.service, stamp, lifetime, presigned=presigned)
        if not hmac.compare_digest(_signature(request, scope, key.secret, stamp), _given(request)):
            raise wrong_signature(request.service)

    def _check_time(self, service: str, stamp: str, lifetime: int, *, presigned: bool) -> None:
        try:
            signed = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
        except ValueError as error:
            raise wrong_signature(service) from error
        age = self.now() - signed
        if presigned and age > lifetime:
            raise ApiError("AccessDenied", "Request has expired", 403)
        if presigned and -age > MAX_SKEW:
            raise ApiError("AccessDenied", "Request is not valid yet", 403)
        if not presigned and abs(age) > MAX_SKEW:
            raise skewed(service)


def _lifetime(request: Request, scope: Scope) -> int:
    """Seconds a presigned URL lives; its other parameters must be there too, and fit together."""
    query = request.query

    def refuse(text: str) -> ApiError:
        return ApiError("AuthorizationQueryParametersError", text, 400)

    if query.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256":
        raise refuse('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"')
    if not query.get("X-Amz-Date", "").startswith(f"{scope.date}T"):
        raise refuse("Invalid credential date. This date is not the same as X-Amz-Date.")
    if "host" not in query.get("X-Amz-SignedHeaders", "").split(";"):
        raise refuse("The host header must be signed")
    text = query.get("X-Amz-Expires", "")
    if not text.isdecimal():
        raise refuse("X-Amz-Expires should be a number")
    if not 0 < int(text) <= MAX_LIFETIME:
        raise refuse(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less"
            " than 604800 seconds"
        )
    return int(text)


def _given(request: Request) -> str:
    if "X-Amz-Signature" in request.query:
        return request.query["X-Amz-Signature"]
    return _fields(request.header("Authorization")).get("Signature", "")


def _signature(request: Request, scope: Scope, secret: str, stamp: str) -> str:
    presigned = "X-Amz-Signature" in request.query
    names = (
        request.query.get("X-Amz-SignedHeaders", "")
        if presigned
        else _fields(request.header("Authorization")).get("SignedHeaders", "")
    )
    s3 = scope.service == "s3"
    path = request.signed_path if s3 else quote(request.signed_path, safe="/~")
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(request.raw_query, keep_blank_values=True)
        if name != "X-Amz-Signature"
    )
    headers = "".join(f"{name}:{' '.join(request.header(name).split())}\n" for name in names.split(";"))
    digest = request.header("x-amz-content-sha256")
    if presigned:
        digest = digest or "UNSIGNED-PAYLOAD"
    elif not digest:
        digest = hashlib.sha256(request.body.read()).hexdigest()
    canonical = "\n".join(
        [request.method, path, "&".join(f"{name}={value}" for name, value in pairs), headers, names, digest]
    )
    where = f"{scope.date}/{scope.region}/{scope.service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{where}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4" + secret.encode()
    for step in where.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def no_credentials(service: str) -> ApiError:
    if service == "s3":
        return ApiError("AccessDenied", "Access Denied", 403)
    if service == "ec2":
        return ApiError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    return ApiError("MissingAuthenticationToken", "Missing Authentication Token", 403)


def unknown_key(service: str, access_key: str) -> ApiError:
    if service == "s3":
        text = "The AWS Access Key Id you provided does not exist in our records."
        return ApiError("InvalidAccessKeyId", text, 403, fields={"AWSAccessKeyId": access_key})
    if service == "ec2":
        return ApiError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    code = "InvalidClientTokenId" if service in {"iam", "sts"} else "UnrecognizedClientException"
    return ApiError(code, "The security token included in the request is invalid.", 403)


def expired(service: str) -> ApiError:
    """The error for an expired session token."""
    if service == "s3":
        return ApiError("ExpiredToken", "The provided token has expired.", 400)
    if service == "ec2":
        return ApiError("RequestExpired", "Request has expired.", 400)
    code = "ExpiredToken" if service in {"iam", "sts"} else "ExpiredTokenException"
    return ApiError(code, "The security token included in the request is expired", 403)


def wrong_signature(service: str) -> ApiError:
    text = (
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method."
    )
    if service == "ec2":
        return ApiError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    return ApiError(
        "SignatureDoesNotMatch" if service in {"s3", "iam", "sts"} else "InvalidSignatureException", text, 403
    )


def skewed(service: str) -> ApiError:
    if service == "s3":
        text = "The difference between the request time and the current time is too large."
        return ApiError("RequestTimeTooSkewed", text, 403)
    if service == "ec2":
        return ApiError("RequestExpired", "Request has expired.", 400)
    code = "SignatureDoesNotMatch" if service in {"iam", "sts"} else "InvalidSignatureException"
    return ApiError(code, "Signature not yet current or expired: the request time differs too much", 403)
