"""The AWS sign-in: credentials, their expiry, the root user, and the clock that signatures depend on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vmie_tui.model import facts
from vmie_tui.model.doctor import Check, Group
from vmie_tui.services.doctor.check_context import Look, Patient, Skip

SOON = timedelta(hours=1)  # shorter than many a conversion takes
_METHODS = {
    "sso": "AWS IAM Identity Center (SSO)",
    "assume-role": "a role that is assumed",
    "assume-role-with-web-identity": "a role that is assumed with a web identity",
    "shared-credentials-file": "the AWS credentials file",
    "config-file": "the AWS configuration file",
    "env": "environment variables",
    "custom-process": "a credential process",
    "iam-role": "the role of this EC2 instance",
    "container-role": "the role of this container",
    "login": "aws login",
}


def _credentials(patient: Patient, look: Look) -> Check:
    method = patient.aws().signing().method
    name = patient.profile.aws.profile
    words = f"from {_METHODS.get(method, method)}"
    return look.ok(f"{words}, profile {name}" if name else words)


def _identity(patient: Patient, look: Look) -> Check:
    _opened(patient)
    identity = patient.identity()
    if identity.root:
        return look.failed(
            f"{identity.arn}: VM import refuses the root user, in the words of a missing role",
            "Sign in as an IAM user or role",
        )
    return look.ok(identity.arn)


def _expiry(patient: Patient, look: Look) -> Check:
    patient.signed_in()
    expires = patient.aws().signing().expires
    if expires is None:
        return look.ok("the credentials do not expire")
    left = expires - datetime.now(UTC)
    words = f"until {expires.astimezone():%Y-%m-%d %H:%M}"
    if left < SOON:
        return look.warning(
            f"{words}; unless they can be renewed by themselves, jobs wait then for a login",
            "Sign in again before a long job, or use a profile with longer sessions",
        )
    return look.ok(words)


def _clock(patient: Patient, look: Look) -> Check:
    _opened(patient)
    trap = facts.trap("T32")
    skew, most = patient.identity().skew, int(trap["skew_max_seconds"])
    words = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} AWS"
    if abs(skew) > most:
        return look.failed(f"this machine is {words}; {trap['cause']}", str(trap["remedy"]).capitalize())
    if abs(skew) > most / 3:
        return look.warning(f"this machine is {words}; {trap['cause']}", str(trap["remedy"]).capitalize())
    return look.ok("agrees with AWS" if abs(skew) < 2 else words)


def _opened(patient: Patient) -> None:
    """Skip without credentials: the check of the credentials reports that."""
    try:
        patient.aws()
    except Exception as error:
        raise Skip("there are no credentials to ask with") from error


LOOKS = (
    Look("aws.credentials", Group.AWS, "Credentials", _credentials),
    Look("aws.identity", Group.AWS, "Identity", _identity),
    Look("aws.expiry", Group.AWS, "Life of the credentials", _expiry),
    Look("aws.clock", Group.AWS, "Clock", _clock),
)
