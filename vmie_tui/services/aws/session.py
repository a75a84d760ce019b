"""One AWS session per settings profile: credentials, Region, endpoint and certificates as configured."""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from vmie_tui import __version__
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.private_files import trusted_file
from vmie_tui.proxy import ENCODE, check_address
from vmie_tui.services.aws.errors import NO_REGION, SIGN_IN, aws_call
from vmie_tui.services.aws.sdk import boto3, botocore
from vmie_tui.services.aws.sign_in import MfaCode, load
from vmie_tui.services.read_only import Policy
from vmie_tui.settings import AwsSettings

CONNECT_SECONDS = 10
READ_SECONDS = 60
BLOCK_READ_SECONDS = 12  # EBS direct answers fast or not at all (trap 23)
EXPLORE_SECONDS = 10  # a Region that says nothing for so long is named, and tried again later
ATTEMPTS = 6
CONNECTIONS = 64
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

OWNER_MEMBER, ANY_OWNER = "ExpectedBucketOwner", ""
PARTS = "s3-parts"  # S3 without retries of its own: the uploader waits between attempts, and can be stopped then
BLOCKS = "ebs-blocks"  # EBS direct, likewise, for as many blocks under way as several disks have
PRESIGN = "s3-presign"  # S3 for presigned URLs: SigV4, and the host of the bucket's own Region
EXPLORE = "ec2-explore"  # EC2 in many Regions at once: the explorer backs off by Region, and waits for none
_NO_RETRIES = {PARTS: "s3", BLOCKS: "ebs", EXPLORE: "ec2"}
_READ_SECONDS = {"ebs": BLOCK_READ_SECONDS, BLOCKS: BLOCK_READ_SECONDS}
BLOCK_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller's identity. ``skew``: seconds by which this machine's clock is ahead of AWS's (refused above 900)."""

    account: str
    arn: str
    user_id: str
    skew: float = 0.0

    @property
    def root(self) -> bool:
        """The account's root user: VM import refuses it with the same words as a missing role (trap 34)."""
        return self.arn.endswith(":root")


@dataclass(frozen=True, slots=True)
class Signing:
    """How requests are signed. ``method`` in botocore's words (``sso``, ``assume-role``, ``env``, ...); ``expires``:
    the end of temporary credentials, which are renewed as long as the sign-in behind them lasts."""

    method: str
    expires: datetime | None = None


class Aws:
    """The clients of one profile. Every method may be called from any thread.

    ``read_only``: every client refuses, before anything is sent, each operation that is not known to only read.
    """

    def __init__(self, session: boto3.session.Session, settings: AwsSettings, *, read_only: bool = False) -> None:
        self._session, self.settings, self.policy = session, settings, Policy(read_only)
        self._lock = threading.RLock()  # creating clients is not thread-safe in botocore, using them is
        self._clients: dict[tuple[str, str], Any] = {}
        self._account = ""  # ours, once it was asked for

    @property
    def read_only(self) -> bool:
        return self.policy.read_only

    @property
    def region(self) -> str:
        """The profile's Region, wherever it is set (see `settings.load`). INVALID when it is nowhere."""
        if not self.settings.region:
            raise ServiceError(
                ErrorKind.INVALID,
                "no AWS Region is set",
                remedy=NO_REGION,
            )
        return self.settings.region

    def client(self, service: str, region: str | None = None) -> Any:
        """The boto3 client of a service (``ec2``, ``s3``, ...) or `PARTS`, made once per Region."""
        wanted = (service, region or self.region)
        with self._lock:
            if wanted not in self._clients:
                self._clients[wanted] = self._make(*wanted)
            return self._clients[wanted]

    def _make(self, service: str, region: str) -> Any:
        settings, name = self.settings, "s3" if service == PRESIGN else _NO_RETRIES.get(service, service)
        with aws_call(f"open a session for {name}", region):
            client = self._session.client(
                name,
                region_name=region,
                endpoint_url=settings.endpoint_url,
                verify=str(settings.ca_bundle) if settings.ca_bundle else None,
                config=client_config(service, settings.endpoint_url),
            )
        client.meta.events.register_first("provide-client-params", self._may_send)
        if name == "s3" and service != PRESIGN:  # a signed URL is used by others, who send no header
            client.meta.events.register("provide-client-params.s3", self._name_owner)
        if name == "s3" and settings.encryption:
            for operation in ("PutObject", "CreateMultipartUpload", "CopyObject"):
                client.meta.events.register(f"provide-client-params.s3.{operation}", self._encrypt)
        for moment in ("before-sign", "before-send"):  # URLs are signed that are never sent
            client.meta.events.register_first(moment, _sent_by_tls)
        return client

    def _may_send(self, model: Any, **_: Any) -> None:
        """Enforces the read-only policy before each request, presigned URLs included."""
        self.policy.check_aws(model.name)

    def _name_owner(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Say whose bucket it must be with every call on the profile's own: one that was deleted, and made again by
        somebody else, must not get the disks. A caller that asks without sends `ANY_OWNER`.
        """
        members = model.input_shape.members if model.input_shape else {}
        if params.get(OWNER_MEMBER) == ANY_OWNER:
            del params[OWNER_MEMBER]
        elif OWNER_MEMBER in members and params.get("Bucket") == self.settings.bucket:
            params.setdefault(OWNER_MEMBER, self.bucket_owner)
        source = params.get("CopySource")
        copies_own = isinstance(source, dict) and source.get("Bucket") == self.settings.bucket
        if copies_own and "ExpectedSourceBucketOwner" in members:
            params.setdefault("ExpectedSourceBucketOwner", self.bucket_owner)

    @property
    def bucket_owner(self) -> str:
        """The account that the profile's bucket must belong to: as set, else ours. Raises ServiceError when STS does
        not say which that is.
        """
        if self.settings.bucket_owner:
            return self.settings.bucket_owner
        with self._lock:
            if not self._account:
                self._account = self.identity().account
            return self._account

    def _encrypt(self, params: dict[str, Any], **_: Any) -> None:
        """Ask for the encryption that the settings name with whatever makes an object, presigned URLs included."""
        params.setdefault("ServerSideEncryption", self.settings.encryption)
        if self.settings.kms_key_id:
            params.setdefault("SSEKMSKeyId", self.settings.kms_key_id)

    def signing(self) -> Signing:
        """Where the credentials come from and when they expire, without calling AWS."""
        found = self._session.get_credentials()
        return Signing(str(getattr(found, "method", "") or ""), getattr(found, "_expiry_time", None))

    def identity(self, region: str | None = None) -> Identity:
        """Calls GetCallerIdentity, which proves the credentials. LOGIN when they are refused."""
        with aws_call("ask AWS who is signed in"):
            answer = self.client("sts", region).get_caller_identity()
        return Identity(answer["Account"], answer["Arn"], answer["UserId"], _ahead_of(answer))

    def close(self) -> None:
        """Closes idle connections; clients are recreated on demand."""
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()


def _only_tls(core: botocore.session.Session, settings: AwsSettings) -> None:
    """Refuses every client of the session that would not use TLS, including those that fetch credentials.

    Endpoints are set in the settings, in variables and in the AWS files: it is the client that knows.
    """
    make = core.create_client

    def checked(service_name: str, *args: Any, **options: Any) -> Any:
        try:
            client = make(service_name, *args, **options)
        except ValueError as error:
            if isinstance(error, botocore.exceptions.BotoCoreError):  # a Region that is none, and the like
                raise
            raise _bad_endpoint(service_name, settings, "it is not a URL that begins with https://") from None
        if urlsplit(client.meta.endpoint_url).scheme != "https":
            client.close()
            raise _bad_endpoint(service_name, settings, "keys and disks would be sent without TLS")
        if client.meta.config.proxies is None:  # then botocore takes what the environment says
            try:
                check_address(botocore.utils.get_environ_proxies(client.meta.endpoint_url).get("https", ""))
            except ValueError as error:
                client.close()
                raise _bad_proxy(str(error)) from None
        return client

    core.create_client = checked


def _bad_endpoint(service: str, settings: AwsSettings, why: str) -> ServiceError:
    variable = f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_').replace(' ', '_')}"
    if settings.endpoint_url is not None:
        place = "endpoint_url in the settings"
    else:
        place = next((name for name in (variable, "AWS_ENDPOINT_URL") if os.environ.get(name)), "")
    return ServiceError(
        ErrorKind.INVALID,
        f"the endpoint that is set for {service} cannot be used: {why}",
        subject=place or "endpoint_url in the AWS configuration",
        remedy="Write https://, or take the setting away",
    )


def _bad_proxy(why: str) -> ServiceError:
    variable = "https_proxy" if os.environ.get("https_proxy") else "HTTPS_PROXY"
    return ServiceError(
        ErrorKind.INVALID,
        f"the proxy's address cannot be used: {why}",
        subject=variable,
        remedy=f"In {variable} {ENCODE}" if "ASCII" not in why else "Use a user and a password of ASCII characters",
    )


def _sent_by_tls(request: Any, event_name: str, **_: Any) -> None:
    """Checks the final URL of a request: a redirect or a parameter may have changed its endpoint."""
    if urlsplit(request.url).scheme != "https":
        operation_name = event_name.rpartition(".")[2]
        raise ServiceError(
            ErrorKind.INVALID,
            f"{operation_name} would be sent without TLS, so it is not sent",
            subject=urlsplit(request.url).netloc,
            remedy="Write https:// for the endpoint",
        )


def _ahead_of(answer: Mapping[str, Any]) -> float:
    """Seconds from an answer's Date header to now; 0 when there is none that can be read."""
    stamp = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return time.time() - parsedate_to_datetime(stamp).timestamp()
    except ValueError:
        return 0.0


def skew_of(error: ServiceError) -> float:
    """By how many seconds this machine's clock was ahead of an AWS that refused a request; 0 when it did not answer."""
    cause = error.__cause__
    return _ahead_of(cause.response) if isinstance(cause, botocore.exceptions.ClientError) else 0.0


def client_config(service: str, endpoint_url: str | None) -> botocore.config.Config:
    """Retries in one layer only, timeouts per read, a pool for parallel parts, bodies signed by their checksum."""
    attempts, mode = (1, "standard") if service in _NO_RETRIES else (ATTEMPTS, "standard")
    if service in {"ec2", "ebs"}:
        mode = "adaptive"  # their limits are per account and second: slow down, do not only retry
    s3: dict[str, Any] = {"addressing_style": "path" if endpoint_url else "auto"}
    if service == PARTS:
        # Parts carry a CRC64NVME of their own; signing their bytes too would hash every one with SHA-256.
        s3["payload_signing_enabled"] = False
    if service == PRESIGN and not endpoint_url:
        s3 = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
    options: dict[str, Any] = {
        "retries": {"mode": mode, "total_max_attempts": attempts},
        "connect_timeout": min(CONNECT_SECONDS, EXPLORE_SECONDS) if service == EXPLORE else CONNECT_SECONDS,
        "read_timeout": EXPLORE_SECONDS if service == EXPLORE else _READ_SECONDS.get(service, READ_SECONDS),
        "max_pool_connections": BLOCK_CONNECTIONS if service == BLOCKS else CONNECTIONS,
        "tcp_keepalive": True,
        "user_agent_extra": f"vmie-tui/{__version__}",
        "s3": s3,
    }
    if service == PRESIGN:
        options["signature_version"] = "s3v4"  # botocore would presign with SigV2, which most Regions refuse
    if endpoint_url and _host_of(endpoint_url) in _LOOPBACK:
        options["proxies"] = {}  # HTTPS_PROXY is not meant for this machine
    return botocore.config.Config(**options)


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # refused when the client is made
        return ""


def open_session(settings: AwsSettings, *, read_only: bool = False, mfa_code: MfaCode | None = None) -> Aws:
    """The session these settings describe; AWS is only asked where the credentials themselves need it (SSO, roles).

    ``mfa_code`` is asked for the code of an MFA device; without it, such a profile is refused as LOGIN with the code
    `sign_in.MFA_NEEDED`, unless a code was given for it within the hour. Nothing is ever asked on the terminal.

    Raises ServiceError LOGIN when there are no credentials, or they have expired and cannot be renewed; TLS when the
    file of trusted authorities is missing.
    """
    core = _configured(settings)
    found = load(core, mfa_code)
    with aws_call("sign in to AWS", settings.profile or ""):
        session = boto3.session.Session(botocore_session=core)
    if found is None:
        raise ServiceError(
            ErrorKind.LOGIN,
            "there are no AWS credentials",
            subject=settings.profile or "",
            remedy=SIGN_IN,
        )
    return Aws(session, settings, read_only=read_only)


def known_profiles() -> tuple[tuple[str, str], ...]:
    """(name, Region) of each profile in the user's AWS files; Region empty where they set none.

    None at all while the files cannot be read.
    """
    session = botocore.session.Session()
    try:
        known = session.full_config.get("profiles", {})
        return tuple((name, str(known.get(name, {}).get("region", ""))) for name in session.available_profiles)
    except (botocore.exceptions.BotoCoreError, OSError):
        return ()


@cache
def _models() -> Any:
    """The descriptions of the services, read once for all sessions: those of EC2 take half a second and 20 MB."""
    return botocore.loaders.create_loader(os.environ.get("AWS_DATA_PATH"))


def _configured(settings: AwsSettings) -> botocore.session.Session:
    """A botocore session in which what is set explicitly wins over files and environment."""
    core = botocore.session.Session()
    core.register_component("data_loader", _models())
    for path in (settings.credentials_file, settings.ca_bundle):
        if path is not None:
            trusted_file(path)
    if settings.credentials_file is not None:
        if not settings.credentials_file.is_file():
            raise ServiceError(
                ErrorKind.LOGIN,
                "the AWS credentials file does not exist",
                subject=str(settings.credentials_file),
                remedy="Check credentials_file in the settings",
            )
        core.set_config_variable("credentials_file", str(settings.credentials_file))
        # A named profile keeps AWS_ACCESS_KEY_ID and its kin from winning over the file.
        core.set_config_variable("profile", settings.profile or "default")
    elif settings.profile:
        core.set_config_variable("profile", settings.profile)
    if settings.endpoint_url is not None:
        # The user's ~/.aws/config speaks of the real AWS (endpoints, roles to assume, checksums).
        core.set_config_variable("config_file", os.devnull)
    if settings.ca_bundle is not None:
        core.set_config_variable("ca_bundle", str(settings.ca_bundle))
    with aws_call("sign in to AWS", settings.profile or ""):
        authorities = core.get_config_variable("ca_bundle")
    _check_authorities(authorities, settings.ca_bundle is None)
    if settings.region:
        core.set_config_variable("region", settings.region)
    _only_tls(core, settings)
    return core


def _check_authorities(path: str | None, outside: bool) -> None:
    """See that the file of trusted authorities can be used: botocore blames the endpoint's certificate otherwise.

    ``outside``: it was set by AWS_CA_BUNDLE or in the AWS config file. Raises ServiceError TLS, which names the file.
    """
    if not path:
        return
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one: the file holds no certificates
        where = "AWS_CA_BUNDLE, or ca_bundle in the AWS config file" if outside else "ca_bundle in the settings"
        words = error.strerror if error.filename or not isinstance(error, ssl.SSLError) else "it holds no certificates"
        raise ServiceError(
            ErrorKind.TLS,
            f"the file with the trusted authorities cannot be used: {words}",
            subject=path,
            remedy=f"Correct {where}",
        ) from error
