"""The target account of an import, examined with a few calls before anything is uploaded: input for `check_account`.

Only makes calls that the documented least-privilege policies allow, except kms:DescribeKey for a key that is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.plan import ImportPlan, Route
from vmie_tui.model.rules.account import Account, aws_managed, result_key
from vmie_tui.model.rules.routes import bucket_of, needs_bucket, needs_role
from vmie_tui.model.task import TaskKind
from vmie_tui.services.aws.iam import kms_keys
from vmie_tui.services.aws.iam.roles import inspect_role
from vmie_tui.services.aws.regions import NOT_OPTED_IN, opt_in_status, sign_in
from vmie_tui.services.aws.s3.bucket_policy import read_policy, upload_refusal
from vmie_tui.services.aws.s3.objects import BAD_OWNER, ObjectStore
from vmie_tui.services.aws.session import Aws, skew_of
from vmie_tui.services.aws.vmie.task_parser import count_live

T = TypeVar("T")
_LEFT_OUT = frozenset({ErrorKind.PERMISSION, ErrorKind.REFUSED, ErrorKind.NOT_FOUND, ErrorKind.INVALID})
_IMPORTS = (TaskKind.IMPORT_IMAGE, TaskKind.IMPORT_SNAPSHOT)


def look_at_account(aws: Aws, plan: ImportPlan) -> Account:
    """The account as far as this profile may read it; None for what it may not.

    Raises ServiceError LOGIN, NETWORK, TLS and the like when AWS cannot be asked at all, INVALID without a Region.
    """
    region = plan.region or aws.region
    try:
        identity = sign_in(aws, region)
    except ServiceError as error:
        skew = skew_of(error)
        if abs(skew) > facts.trap("T32")["skew_max_seconds"]:
            return Account(skew=skew)  # which is why it was refused
        raise
    account = Account(root=identity.root, skew=identity.skew)
    status = _maybe(lambda: opt_in_status(aws, region))
    if status == NOT_OPTED_IN:
        return replace(account, region_enabled=False)  # nothing else there knows us
    account = replace(account, region_enabled=None if status is None else True)
    return _Looker(aws, plan, region, account).account


def _maybe(look: Callable[[], T]) -> T | None:
    """The result of a read, None where this profile lacks the permission."""
    try:
        return look()
    except ServiceError as error:
        if error.kind not in _LEFT_OUT:
            raise
        return None


@dataclass(slots=True)
class _Looker:
    """One look at bucket, keys, role and tasks, in this order: what the role needs follows from the keys."""

    aws: Aws
    plan: ImportPlan
    region: str
    account: Account
    arn: str = field(default="", init=False)  # of the key the plan names

    def __post_init__(self) -> None:
        for look in (self._bucket, self._result_key, self._role, self._tasks):
            look()

    def _know(self, **known: object) -> None:
        self.account = replace(self.account, **known)  # type: ignore[arg-type]

    def _bucket(self) -> None:
        bucket = bucket_of(self.plan)
        if not bucket:
            return
        try:
            where = ObjectStore(self.aws, self.region).region_of(bucket)
        except ServiceError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                self._know(bucket_region="")
            elif error.problem.code == BAD_OWNER:
                self._know(upload_refused=(error.problem.what, error.problem.remedy))
            elif error.kind not in _LEFT_OUT:
                raise
            return
        self._know(bucket_region=where)
        if where != self.region:
            return
        if needs_bucket(self.plan):
            self._policy(bucket)
        if needs_role(self.plan):
            settings = self.aws.settings
            if settings.encryption:  # asked for with each upload: the bucket's default is not used
                self._know(bucket_key=settings.kms_key_id)
            else:
                self._know(bucket_key=_maybe(lambda: kms_keys.bucket_key(self.aws, bucket, self.region)))

    def _policy(self, bucket: str) -> None:
        policy = _maybe(lambda: read_policy(self.aws, bucket, self.region))
        found = policy and upload_refusal(policy, self.aws.settings, bucket, self.plan.prefix, self.region)
        if found:
            self._know(upload_refused=(found.what, found.remedy))

    def _result_key(self) -> None:
        plan = self.plan
        if plan.encrypted and plan.kms_key_id:
            named = plan.kms_key_id
            found = _maybe(lambda: kms_keys.look_at_key(self.aws, named, self.region))
            state, self.arn = found or ("", "")
            self._know(key_state=state or None)
            return
        default = _maybe(lambda: kms_keys.ebs_default(self.aws, self.region))
        if default is not None:
            self._know(ebs_encryption=default[0], ebs_key=default[1])
        if plan.encrypted and not self.account.ebs_key:
            self._know(ebs_key=_maybe(lambda: kms_keys.ebs_key(self.aws, self.region)))

    def _role(self) -> None:
        plan, account = self.plan, self.account
        if not needs_role(plan):
            return
        report = _maybe(lambda: inspect_role(self.aws, plan.role_name, bucket_of(plan)))
        if report is None:
            return
        self._know(role_problems=report.problems)
        if report.policies is None:
            return
        policies, own = report.policies, self.arn or result_key(plan, account)

        def allowed(key: str, *, reads: bool) -> bool | None:
            """None for a key whose ARN, which policies name it by, is not known."""
            missing = kms_keys.missing_actions(policies, {key: reads})
            return not missing or (False if key.startswith("arn:") else None)

        if own:
            self._know(role_kms=allowed(own, reads=False))
        if account.bucket_key and not aws_managed(account.bucket_key):
            self._know(role_decrypts=allowed(account.bucket_key, reads=True))

    def _tasks(self) -> None:
        """Running tasks of the kinds an import by this route may list anyway."""
        if not self.plan.aws_reads:
            return
        kinds = (TaskKind.CONVERSION,) if self.plan.route is Route.INSTANCE else _IMPORTS
        live = _maybe(lambda: count_live(self.aws.client("ec2", self.region), self.region, kinds))
        self._know(active_tasks=live[0] if live else None)
