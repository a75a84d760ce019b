"""Translates botocore's errors to `ServiceError`: what failed, on which object, the remedy, whether to retry."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vmie_tui.known_secrets import hidden
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError, VmieError
from vmie_tui.model.explain import ROLE_ERROR
from vmie_tui.services.aws.sdk import botocore

K = ErrorKind
SIGN_IN = "Sign in again ('aws sso login', or new keys in the AWS credentials file), then resume"
NO_REGION = "Set region in the profile's [aws] section, in the environment (AWS_REGION) or in the AWS profile"
MOST_CONFIG = 1 << 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one error code or exception class is reported.

    ``retry_safe``: the same request may be sent again, and may work without anybody doing anything.
    """

    kind: ErrorKind
    remedy: str
    retry_safe: bool = False


_LOGIN = Verdict(K.LOGIN, SIGN_IN)
_KEYS = Verdict(K.LOGIN, "Check the access key, the secret key and the profile that is used")
_DENIED = Verdict(K.PERMISSION, "Ask for this permission, or use a profile that has it")
_MISSING = Verdict(K.NOT_FOUND, "Check the name, the Region and the account")
_SLOW = Verdict(K.THROTTLED, "Wait a little, then try again", retry_safe=True)
_QUOTA = Verdict(K.REFUSED, "Wait for running work to end, or ask AWS for a higher quota", retry_safe=True)
_REGION = Verdict(K.INVALID, "Use a bucket in the Region of the import")
_INVALID = Verdict(K.INVALID, "")
_STATE = Verdict(K.CONFLICT, "Look at the state it is in now, then decide")
_DAMAGED = Verdict(K.CORRUPT, "The bytes changed on the way; try again", retry_safe=True)
_AWS_SIDE = Verdict(K.REMOTE, "AWS had trouble of its own; try again", retry_safe=True)
_REGION_OFF = Verdict(
    K.PERMISSION, "Enable the Region in the account's settings (it takes some minutes), or choose another Region"
)
_TAGS = Verdict(K.REFUSED, "Use tags that the organization's tag policy allows (keys, their case, and values)")
_CLOCK = Verdict(K.LOCAL, "Set this machine's clock (NTP); AWS refuses a difference of over 15 minutes")
_FILE = Verdict(K.LOCAL, "Check that the file exists and that you may read it")
_NETWORK = Verdict(K.NETWORK, "Check the network, the proxy and the endpoint, then try again", retry_safe=True)

_ROLE_HOURS = Verdict(
    K.LOGIN,
    "Lower duration_seconds of the profile in the AWS config file: a role allows at most its maximum session duration, "
    "and one hour when another role assumes it; then resume",
)
# Words in a refusal that say who refuses: whoever is told to ask for a permission would ask in vain.
_DENIED_BY = (
    (
        "explicit deny in a service control policy",
        Verdict(K.PERMISSION, "The organization forbids this by a service control policy: ask who administers it"),
    ),
    (
        "explicit deny in a resource-based policy",
        Verdict(
            K.PERMISSION,
            "The policy of the bucket (or key) forbids this request. If it demands encryption, set encryption "
            'in the profile\'s [aws] section ("AES256" or "aws:kms", with kms_key_id for one key); else ask its owner',
        ),
    ),
    (
        "explicit deny in a permissions boundary",
        Verdict(K.PERMISSION, "The permissions boundary of the user or role forbids this: ask who administers it"),
    ),
)
# EC2 says AuthFailure also of the bucket of an export, which no key of ours mends.
_NO_GRANT = re.compile(r"\bpermission on the S3 bucket\b", re.IGNORECASE)
_GRANT = Verdict(
    K.PERMISSION,
    "Grant the export service READ_ACP and WRITE on the bucket: 'vmie-tui doctor --fix' and Setup (6) in the app do it",
)
# EC2's encoded authorization message says nothing to a reader, and is some 900 letters long.
_ENCODED = re.compile(r"(Encoded authorization failure message: )([\w-]{24})[\w-]+")

_BY_CODE: dict[str, Verdict] = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "InvalidToken"), _LOGIN
    ),
    **dict.fromkeys(
        (
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "AuthFailure",
            "MissingAuthenticationToken",
            "IncompleteSignature",
        ),
        _KEYS,
    ),
    **dict.fromkeys(
        (
            "AccessDenied",
            "AccessDeniedException",
            "UnauthorizedOperation",
            "AllAccessDisabled",
            "AccountProblem",
            "KMS.AccessDeniedException",
            "403",
        ),
        _DENIED,
    ),
    **dict.fromkeys(
        ("NoSuchBucket", "NoSuchKey", "NoSuchUpload", "NoSuchEntity", "NotFound", "ResourceNotFoundException", "404"),
        _MISSING,
    ),
    **dict.fromkeys(
        (
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "TooManyRequestsException",
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "PriorRequestNotComplete",
            "ConcurrentLimitExceededException",
        ),
        _SLOW,
    ),
    **dict.fromkeys(
        (
            "ResourceCountLimitExceeded",
            "ResourceLimitExceeded",
            "ServiceQuotaExceededException",
            "LimitExceeded",
            "LimitExceededException",
            "TooManyBuckets",
            "SnapshotLimitExceeded",
        ),
        _QUOTA,
    ),
    **dict.fromkeys(
        (
            "PermanentRedirect",
            "TemporaryRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
            "301",
            "307",
        ),
        _REGION,
    ),
    **dict.fromkeys(
        (
            "IncorrectState",
            "InvalidSnapshot.InUse",
            "DeleteConversionTaskError",
            "InvalidState",
            "OperationAborted",
            "ConflictException",
            "BucketAlreadyExists",
            "BucketAlreadyOwnedByYou",
            "EntityAlreadyExists",
            "IdempotentParameterMismatch",
            "PreconditionFailed",
            "409",
            "412",
        ),
        _STATE,
    ),
    **dict.fromkeys(
        (
            "BadDigest",
            "InvalidDigest",
            "XAmzContentSHA256Mismatch",
            "XAmzContentChecksumMismatch",
        ),
        _DAMAGED,
    ),
    **dict.fromkeys(("RegionDisabledException", "OptInRequired"), _REGION_OFF),
    **dict.fromkeys(("TagPolicyViolation", "TagPolicyException"), _TAGS),
    **dict.fromkeys(("IncompleteBody", "RequestTimeout"), _NETWORK),
    **dict.fromkeys(("InternalError", "InternalFailure", "InternalServerException", "ServiceUnavailable"), _AWS_SIDE),
    **dict.fromkeys(("Unavailable", "ServerInternal", "RequestTimeoutException", "HandlerFailure"), _AWS_SIDE),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestInTheFuture"), _CLOCK),
}


@cache
def boto_errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """All that a call to AWS may raise, for an ``except``; and ``more``."""
    boto = botocore.exceptions
    return boto.BotoCoreError, boto.ClientError, botocore.parsers.ResponseParserError, OSError, *more


@cache
def _by_class() -> tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, Verdict], ...]:
    """How botocore's own exceptions are reported; the first matching class decides."""
    boto = botocore.exceptions
    return (
        (
            boto.NoCredentialsError,
            "there are no AWS credentials",
            Verdict(K.LOGIN, "Sign in ('aws configure' or 'aws sso login'), or name a profile in the settings"),
        ),
        (boto.PartialCredentialsError, "the AWS credentials are incomplete", _KEYS),
        (
            (
                boto.TokenRetrievalError,
                boto.UnauthorizedSSOTokenError,
                boto.SSOError,
                boto.LoginError,
                boto.NoAuthTokenError,
                boto.CredentialRetrievalError,
                boto.RefreshWithMFAUnsupportedError,
                boto.MetadataRetrievalError,
            ),
            "the AWS sign-in has expired or cannot be read",
            _LOGIN,
        ),
        (
            boto.ProfileNotFound,
            "the AWS profile does not exist",
            Verdict(K.LOGIN, "Name a profile that 'aws configure list-profiles' shows"),
        ),
        (
            boto.SSLError,
            "the TLS certificate of the endpoint is not trusted",
            Verdict(K.TLS, "Set ca_bundle to the authority that signed it (a proxy's, or the simulator's)"),
        ),
        (boto.EndpointConnectionError, "the endpoint cannot be reached", _NETWORK),
        (boto.ProxyConnectionError, "the proxy cannot be reached", _NETWORK),
        ((boto.ConnectTimeoutError, boto.ReadTimeoutError), "the service did not answer in time", _NETWORK),
        (
            (boto.ConnectionClosedError, boto.ResponseStreamingError, boto.IncompleteReadError),
            "the connection broke",
            _NETWORK,
        ),
        ((boto.FlexibleChecksumError, boto.ChecksumError), "the answer's checksum is wrong", _DAMAGED),
        (
            botocore.parsers.ResponseParserError,
            "the answer is not one of AWS",
            Verdict(K.NETWORK, "Check the endpoint and any proxy in between, then try again", retry_safe=True),
        ),
        ((boto.HTTPClientError, boto.ConnectionError), "the request did not get through", _NETWORK),
        (
            boto.NoRegionError,
            "no AWS Region is set",
            Verdict(K.INVALID, NO_REGION),
        ),
        (boto.ParamValidationError, "the request is not valid", _INVALID),
        (
            (boto.ConfigParseError, boto.InvalidConfigError, boto.ConfigNotFound),
            "the AWS configuration cannot be used",
            Verdict(K.INVALID, "Correct the AWS configuration file"),
        ),
    )


def error_code(error: Exception) -> str:
    """The code in a service's answer, "" when there was none; the HTTP status where it has no code, as after HEAD."""
    if not isinstance(error, botocore.exceptions.ClientError):
        return ""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code or str(http_status(error.response))


def http_status(response: Mapping[str, Any]) -> int:
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_role_error(error: BaseException) -> bool:
    """Whether this is the documented "service role does not exist" answer, which hides several causes (trap 34)."""
    if isinstance(error, VmieError):
        return ROLE_ERROR in error.problem.facts
    text = str(error)
    return "service role" in text and "does not exist or does not have sufficient permissions" in text


def translate(error: Exception, doing: str, subject: str = "") -> ServiceError:
    """The `ServiceError` for a botocore error raised while ``doing`` (such as "upload part 3") to ``subject``."""
    if isinstance(error, ServiceError):
        return error.about(subject)
    if isinstance(error, botocore.exceptions.ClientError):
        return _from_service(error, doing, subject)
    for classes, words, verdict in _by_class():
        if isinstance(error, classes):
            detail = _saved_wrong(error) or str(error)
            return _make(verdict, f"cannot {doing}: {words}", subject, type(error).__name__, detail)
    if isinstance(error, OSError) and error.filename:
        what = f"cannot {doing}: {error.filename}: {error.strerror or error}"
        return _make(_FILE, what, subject, type(error).__name__, "")
    if isinstance(error, OSError):
        return _make(_NETWORK, f"cannot {doing}: the connection broke", subject, type(error).__name__, str(error))
    return _make(Verdict(K.BUG, "Report this"), f"cannot {doing}", subject, type(error).__name__, str(error))


def _saved_wrong(error: Exception) -> str:
    """What is wrong with the encoding of an AWS file (as some Windows editors save it); "" if that is not the cause."""
    if not isinstance(error, botocore.exceptions.ConfigParseError):
        return ""
    path = Path(str(error.kwargs.get("path", "")))
    try:
        with path.open("rb") as file:
            start = file.read(MOST_CONFIG)
    except OSError:
        return ""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in start:
        return f"{path} is UTF-16: save it as UTF-8"
    if start.startswith(codecs.BOM_UTF8):
        return f"{path} begins with a byte order mark: save it as UTF-8 without one"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return f"{path} is not UTF-8: save it as UTF-8"
    return ""


def _from_service(error: botocore.exceptions.ClientError, doing: str, subject: str) -> ServiceError:
    code, text = error_code(error), str(error.response.get("Error", {}).get("Message", ""))
    if is_role_error(error):
        verdict = Verdict(K.REFUSED, str(facts.error(ROLE_ERROR)["remedy"]).capitalize())
        return _make(verdict, f"cannot {doing}", subject, code, text, fact=ROLE_ERROR)
    verdict = _verdict(code, http_status(error.response))
    if verdict is _DENIED and (better := next((new for words, new in _DENIED_BY if words in text), None)):
        verdict = better
    if verdict is _KEYS and _NO_GRANT.search(text):
        verdict = _GRANT
    if error.operation_name.startswith("AssumeRole") and code == "ValidationError":
        verdict = _ROLE_HOURS
    return _make(verdict, f"cannot {doing}", subject, code, _ENCODED.sub(_cut, text))


def _verdict(code: str, status: int) -> Verdict:
    found = _BY_CODE.get(code)
    if found:
        return found
    if code.endswith((".NotFound", "NotFoundException", ".Unknown")):
        return _MISSING
    if code.startswith(("Invalid", "Missing", "Malformed", "Unknown", "Validation", "EntityTo", "Unsupported")):
        return _INVALID
    if status >= 500:
        return _AWS_SIDE
    return {401: _KEYS, 403: _DENIED, 404: _MISSING, 409: _STATE, 429: _SLOW}.get(status, Verdict(K.REMOTE, ""))


def _cut(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}…"


def _make(verdict: Verdict, what: str, subject: str, code: str, detail: str, *, fact: str = "") -> ServiceError:
    return ServiceError(
        verdict.kind,
        what,
        subject=subject,
        remedy=verdict.remedy,
        retry_safe=verdict.retry_safe,
        code=code,
        detail=hidden(detail),  # botocore shows the pieces of a proxy's address that it could not read
        facts=(fact,) if fact else (),
    )


def transient(error: Exception) -> bool:
    """Whether the same request may succeed a moment later without any intervention."""
    if isinstance(error, botocore.exceptions.ClientError):
        return _verdict(error_code(error), http_status(error.response)) in (_SLOW, _AWS_SIDE, _DAMAGED, _NETWORK)
    if isinstance(error, botocore.exceptions.SSLError):
        # botocore says SSLError for a link cut in the middle of TLS too; only an untrusted certificate is final
        return "CERTIFICATE_VERIFY_FAILED" not in str(error)
    if isinstance(error, OSError) and error.filename:
        return False  # a file of this machine
    return isinstance(error, (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError, OSError))


@contextmanager
def aws_delete(doing: str, subject: str) -> Iterator[None]:
    """As `aws_call`, for deletions: it is no error if the object no longer exists."""
    try:
        with aws_call(doing, subject):
            yield
    except ServiceError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise


@contextmanager
def aws_call(doing: str, subject: str = "") -> Iterator[None]:
    """Translates whatever botocore raises inside to a `ServiceError` that names ``subject``."""
    try:
        yield
    except boto_errors() as error:
        raise translate(error, doing, subject) from error
