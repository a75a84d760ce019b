"""What users are told when AWS or the way to it says no."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.errors import aws_call, transient, translate

K = ErrorKind


def refusal(code: str, message: str = "said AWS", status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "SomeOperation")


@pytest.mark.parametrize(
    ("code", "status", "kind", "retry_safe"),
    [
        ("ExpiredToken", 400, K.LOGIN, False),
        ("InvalidClientTokenId", 403, K.LOGIN, False),
        ("SignatureDoesNotMatch", 403, K.LOGIN, False),
        ("AccessDenied", 403, K.PERMISSION, False),
        ("UnauthorizedOperation", 403, K.PERMISSION, False),
        ("NoSuchBucket", 404, K.NOT_FOUND, False),
        ("InvalidAMIID.NotFound", 400, K.NOT_FOUND, False),
        ("404", 404, K.NOT_FOUND, False),
        ("SlowDown", 503, K.THROTTLED, True),
        ("RequestLimitExceeded", 503, K.THROTTLED, True),
        ("ResourceCountLimitExceeded", 400, K.REFUSED, True),
        ("RequestTimeTooSkewed", 403, K.LOCAL, False),
        ("BadDigest", 400, K.CORRUPT, True),
        ("RequestTimeout", 400, K.NETWORK, True),
        ("PermanentRedirect", 301, K.INVALID, False),
        ("InvalidParameterValue", 400, K.INVALID, False),
        ("IncorrectState", 400, K.CONFLICT, False),
        ("InvalidSnapshot.InUse", 400, K.CONFLICT, False),
        ("NeverHeardOf", 502, K.REMOTE, True),
        ("NeverHeardOf", 400, K.REMOTE, False),
        ("", 403, K.PERMISSION, False),
    ],
)
def test_service_codes(code: str, status: int, kind: ErrorKind, retry_safe: bool) -> None:
    problem = translate(refusal(code, status=status), "do it", "s3://b/k").problem
    assert (problem.kind, problem.retry_safe) == (kind, retry_safe)
    assert problem.code == (code or "403")
    assert problem.subject == "s3://b/k"
    assert "said AWS" in str(problem)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (boto.NoCredentialsError(), K.LOGIN),
        (ResponseParserError("<html>proxy"), K.NETWORK),
        (boto.PartialCredentialsError(provider="env", cred_var="key"), K.LOGIN),
        (boto.TokenRetrievalError(provider="sso", error_msg="expired"), K.LOGIN),
        (boto.UnauthorizedSSOTokenError(), K.LOGIN),
        (boto.SSOTokenLoadError(error_msg="none"), K.LOGIN),
        (boto.CredentialRetrievalError(provider="process", error_msg="no"), K.LOGIN),
        (boto.ProfileNotFound(profile="nobody"), K.LOGIN),
        (boto.EndpointConnectionError(endpoint_url="https://x"), K.NETWORK),
        (boto.ConnectTimeoutError(endpoint_url="https://x"), K.NETWORK),
        (boto.ReadTimeoutError(endpoint_url="https://x"), K.NETWORK),
        (boto.ConnectionClosedError(endpoint_url="https://x"), K.NETWORK),
        (boto.ProxyConnectionError(proxy_url="http://p"), K.NETWORK),
        (boto.HTTPClientError(error=ValueError("odd")), K.NETWORK),
        (boto.SSLError(endpoint_url="https://x", error="CERTIFICATE_VERIFY_FAILED"), K.TLS),
        (boto.NoRegionError(), K.INVALID),
        (boto.ParamValidationError(report="Missing x"), K.INVALID),
        (boto.FlexibleChecksumError(error_msg="differs"), K.CORRUPT),
        (ConnectionResetError("reset"), K.NETWORK),
        (RuntimeError("oops"), K.BUG),
    ],
)
def test_errors_without_an_answer(error: Exception, kind: ErrorKind) -> None:
    problem = translate(error, "do it", "there").problem
    assert problem.kind is kind
    assert problem.remedy or kind is K.INVALID
    assert "Traceback" not in str(problem)


def test_the_role_error_gets_the_documented_remedy() -> None:
    fact = facts.error("E06")
    problem = translate(refusal("InvalidParameter", fact["message"]), "import the image").problem
    assert problem.kind is K.REFUSED
    assert problem.remedy.lower() == fact["remedy"].lower()
    assert fact["message"] in str(problem)


def test_transient_errors_are_those_worth_sending_again() -> None:
    assert transient(refusal("SlowDown", status=503))
    assert transient(refusal("InternalError", status=500))
    assert transient(refusal("BadDigest"))
    assert transient(refusal("RequestTimeout"))
    assert transient(boto.ConnectionClosedError(endpoint_url="https://x"))
    assert transient(boto.SSLError(endpoint_url="https://x", error="EOF occurred in violation of protocol"))
    assert not transient(boto.SSLError(endpoint_url="https://x", error="[SSL: CERTIFICATE_VERIFY_FAILED] unknown CA"))
    assert not transient(refusal("AccessDenied", status=403))
    assert not transient(refusal("ExpiredToken"))
    assert not transient(refusal("NoSuchUpload", status=404))
    assert not transient(boto.NoCredentialsError())


def test_context_names_the_object_and_survives_pickling() -> None:
    with pytest.raises(ServiceError) as caught, aws_call("read it", "s3://bucket/key"):
        raise refusal("NoSuchKey", status=404)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problem == caught.value.problem
    assert str(again).startswith("s3://bucket/key: cannot read it (said AWS)")


def test_own_errors_pass_through() -> None:
    inner = ServiceError(K.CORRUPT, "bad block")
    with pytest.raises(ServiceError) as caught, aws_call("read it", "here"):
        raise inner
    assert caught.value is inner


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("not authorized, with an explicit deny in a service control policy", "service control policy"),
        ("User is not authorized with an explicit deny in a resource-based policy", "set encryption"),
        ("with an explicit deny in a permissions boundary", "permissions boundary"),
        ("Access Denied", "Ask for this permission"),
    ],
)
def test_who_refuses_decides_whom_to_ask(text: str, remedy: str) -> None:
    problem = translate(refusal("AccessDenied", text, 403), "start the upload").problem
    assert problem.kind is K.PERMISSION and remedy in problem.remedy


def test_a_bucket_without_the_grant_of_exports_is_no_matter_of_keys() -> None:
    text = "vm-import-export@amazon.com must have WRITE and READ_ACL permission on the S3 bucket."
    error = ClientError({"Error": {"Code": "AuthFailure", "Message": text}}, "CreateInstanceExportTask")
    told = translate(error, "export the instance", "i-1")
    assert told.kind is ErrorKind.PERMISSION and "READ_ACP and WRITE" in told.problem.remedy


def test_hours_that_a_role_does_not_allow_are_a_setting_of_the_profile() -> None:
    response: Any = {"Error": {"Code": "ValidationError", "Message": "The requested DurationSeconds exceeds the …"}}
    error = translate(ClientError(response, "AssumeRole"), "sign in to AWS")
    assert error.kind is K.LOGIN and "duration_seconds" in error.problem.remedy


def test_an_encoded_message_is_not_printed_whole() -> None:
    text = "You are not authorized. Encoded authorization failure message: " + "aB-_9" * 180
    detail = translate(refusal("UnauthorizedOperation", text, 403), "start the import").problem.detail
    assert detail.startswith("You are not authorized. Encoded") and detail.endswith("…") and len(detail) < 120


def test_a_file_of_this_machine_is_no_broken_connection() -> None:
    missing = FileNotFoundError(2, "No such file or directory", "/nope")
    problem = translate(missing, "sign in to AWS").problem
    assert (problem.kind, problem.retry_safe) == (K.LOCAL, False)
    assert "/nope: No such file" in problem.what
    assert not transient(missing) and transient(OSError(5, "Input/output error"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("[default]\nregion = x\n".encode("utf-16"), "is UTF-16"),
        ("[default]\nregion = x\n".encode("utf-16-le"), "is UTF-16"),
        ("[default]\nregion = x\n".encode("utf-8-sig"), "begins with a byte order mark"),
        ("[default]\nregion = ü\n".encode("latin-1"), "is not UTF-8"),
        (b"[default\nregion = x\n", "Unable to parse"),
    ],
)
def test_how_an_aws_file_was_saved_is_said(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(data)
    problem = translate(boto.ConfigParseError(path=str(path)), "sign in to AWS").problem
    assert problem.kind is ErrorKind.INVALID
    assert str(path) in problem.detail
    assert said in problem.detail
