"""The service role: exists, trusts VM Import safely, and has the permissions the features need."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from vmie_tui.model import facts
from vmie_tui.model.doctor import Change, Check, Feature, Fix, Group
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.errors import aws_call
from vmie_tui.services.aws.iam import policy_documents as iam
from vmie_tui.services.aws.iam.kms_keys import missing_actions
from vmie_tui.services.aws.iam.role_probes import RoleCase, keys_in_use
from vmie_tui.services.aws.iam.roles import permission_problems, role_policies, trust_problems
from vmie_tui.services.doctor import documents
from vmie_tui.services.doctor.check_context import Look, Patient, Skip

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RoleSeen:
    """The role as it is."""

    name: str
    trust: Json
    policy_name: str
    inline: Json = field(default_factory=dict)  # the document of our inline policy; {} without one
    policies: tuple[Json, ...] = ()  # all there are
    boundary: bool = False


def _seen(patient: Patient) -> RoleSeen | None:
    """The role, None when there is none. Raises ServiceError PERMISSION when it may not be read."""
    name = patient.profile.aws.role_name
    client = patient.signed_in().client("iam", patient.anywhere)

    def make() -> RoleSeen | None:
        try:
            with aws_call("look at the role", name):
                role = client.get_role(RoleName=name)["Role"]
        except ServiceError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return None
            raise
        policies = role_policies(client, name)
        ours = _facts_policy_name()
        try:
            with aws_call("read the policy of the role", name):
                inline = iam.document(client.get_role_policy(RoleName=name, PolicyName=ours)["PolicyDocument"])
        except ServiceError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            inline = {}
        trust = iam.document(role.get("AssumeRolePolicyDocument"))
        return RoleSeen(name, trust, ours, inline, tuple(policies), bool(role.get("PermissionsBoundary")))

    return patient.once("role", make)


def _facts_policy_name() -> str:
    return str(facts.load("access")["iam"]["vmimport_role"]["policy_name"])


def _role(patient: Patient) -> RoleSeen:
    """The role; Skip without one, because a check of its own reports it."""
    try:
        found = _seen(patient)
    except ServiceError as error:
        if error.kind is ErrorKind.PERMISSION:
            raise Skip("this profile may not look at the role") from error
        raise
    if found is None:
        raise Skip("there is no role")
    return found


def _bucket(patient: Patient) -> str:
    if not patient.profile.aws.bucket:
        raise Skip("the profile names no bucket")
    return patient.profile.aws.bucket


def _exists(patient: Patient, look: Look) -> Check:
    patient.signed_in()
    name = patient.profile.aws.role_name
    found = _seen(patient)
    if found is not None:
        return look.ok(f"{name}, limited by a permissions boundary" if found.boundary else name)
    trust = documents.trust(patient.identity().account, patient.partition)
    request = {"RoleName": name, "AssumeRolePolicyDocument": json.dumps(trust), "Description": "VM Import/Export"}
    changes = [Change("iam:CreateRole", name, {}, trust, request)]
    if bucket := patient.profile.aws.bucket:
        exports = Feature.EXPORT_IMAGE in patient.features
        policy = documents.role(bucket, patient.partition, exports=exports)
        changes.append(_put(name, _facts_policy_name(), {}, policy))
    fix = Fix(
        "role.create", f"Create {name} with trust and policy; VM import may see it a minute later", tuple(changes)
    )
    return look.failed(f"there is no role {name}", "Create it, or have an administrator do so", fix)


def _trust(patient: Patient, look: Look) -> Check:
    role = _role(patient)
    problems = trust_problems(role.name, role.trust, patient.identity().account)
    if not problems:
        return look.ok("the role trusts VM import")
    return look.failed(problems[0].what, problems[0].remedy, _retrust(patient, role, "role.trust"))


def _deputy(patient: Patient, look: Look) -> Check:
    """Recommended only: without it another account's import could use the role (confused deputy)."""
    role = _role(patient)
    ours = [statement for statement in iam.statements(role.trust) if _trusts_import(statement)]
    if not ours:
        raise Skip("the role does not trust VM import")
    if all(iam.conditions(one, "aws:SourceAccount") for one in ours):
        return look.ok("VM import may use the role for this account only")
    return look.warning(
        "the trust policy does not say for which account VM import may use the role (confused deputy)",
        "Add aws:SourceAccount and aws:SourceArn to it",
        _retrust(patient, role, "role.deputy"),
    )


def _trusts_import(statement: Any) -> bool:
    principal, wanted = statement.get("Principal"), documents.trust("")["Statement"][0]["Principal"]["Service"]
    services = principal.get("Service", ()) if isinstance(principal, dict) else ()
    return wanted in ([services] if isinstance(services, str) else services)


def _retrust(patient: Patient, role: RoleSeen, ident: str) -> Fix:
    """The documented statement instead of those that trust VM import; others stay."""
    wanted = documents.trust(patient.identity().account, patient.partition)
    others = [dict(one) for one in iam.statements(role.trust) if not _trusts_import(one)]
    after = {**wanted, "Statement": [*others, *wanted["Statement"]]}
    request = {"RoleName": role.name, "PolicyDocument": json.dumps(after)}
    change = Change("iam:UpdateAssumeRolePolicy", role.name, role.trust, after, request)
    return Fix(ident, "Let VM import assume the role, for this account only", (change,))


def _imports(patient: Patient, look: Look) -> Check:
    return _permissions(patient, look, exports=False)


def _exports(patient: Patient, look: Look) -> Check:
    if Feature.EXPORT_IMAGE not in patient.features:
        raise Skip("exports of images were not asked about")
    return _permissions(patient, look, exports=True)


def _permissions(patient: Patient, look: Look, *, exports: bool) -> Check:
    role, bucket, prefix = _role(patient), _bucket(patient), patient.profile.aws.prefix
    partition = patient.partition

    def missing(policies: list[Json]) -> list[Any]:
        return permission_problems(role.name, policies, bucket, partition, exports=exports, prefix=prefix)

    problems = missing(list(role.policies))
    if not problems:
        return look.ok(f"allowed on {bucket}")
    added = documents.role_statements(bucket, partition, exports=exports)
    fix = _add(role, look.id, f"Allow the role what it needs on {bucket}", added)
    reason = "; ".join(problem.what for problem in problems)
    if missing([*role.policies, *(dict(change.after) for change in fix.changes)]):
        return look.failed(reason, "A statement of the role's policies denies it: take that away")
    return look.failed(reason, problems[0].remedy, fix)


def _keys(patient: Patient, look: Look) -> Check:
    role = _role(patient)
    aws = patient.in_region()
    case = RoleCase(role.name, _bucket(patient), patient.region)
    keys, blind = keys_in_use(aws, case)
    if not keys:
        return look.skipped(blind) if blind else look.ok("no KMS key of your own takes part")
    missing = missing_actions(role.policies, keys)
    names = ", ".join(keys)
    if not missing:
        return look.ok(f"allowed on {names}; the key's own policy was not read")
    fix = _add(role, look.id, "Let the role use the key", [documents.kms(keys)])
    return look.failed(f"the role may not do {', '.join(missing)} with {names}", "Allow it in the role's policy", fix)


def _licences(patient: Patient, look: Look) -> Check:
    if Feature.LICENCES not in patient.features:
        raise Skip("licence configurations were not asked about")
    role, statement = _role(patient), documents.licences()
    missing = [action for action in statement["Action"] if not iam.allows(list(role.policies), action, "any")]
    if not missing:
        return look.ok("the role may read and set licence configurations")
    fix = _add(role, look.id, "Let the role use licence configurations", [statement])
    return look.failed(f"the role may not do {', '.join(missing)}", "Allow it in the role's policy", fix)


def _add(role: RoleSeen, ident: str, words: str, statements: list[Json]) -> Fix:
    """Our inline policy of the role with these statements more; what is in it stays."""
    kept = [dict(one) for one in iam.statements(role.inline)]
    new = [one for one in statements if one not in kept]
    after = {"Version": documents.VERSION, **role.inline, "Statement": [*kept, *new]}
    return Fix(ident, words, (_put(role.name, role.policy_name, role.inline, after),))


def _put(role: str, name: str, before: Json, after: Json) -> Change:
    request = {"RoleName": role, "PolicyName": name, "PolicyDocument": json.dumps(after)}
    return Change("iam:PutRolePolicy", f"{role}/{name}", before, after, request)


LOOKS = (
    Look("role.exists", Group.ROLE, "Service role", _exists, "F161"),
    Look("role.trust", Group.ROLE, "Trust policy", _trust, "F162"),
    Look("role.deputy", Group.ROLE, "Only for this account", _deputy, "F171"),
    Look("role.import", Group.ROLE, "Rights for imports", _imports, "F164"),
    Look("role.export", Group.ROLE, "Rights for exports of images", _exports, "F165"),
    Look("role.keys", Group.ROLE, "Rights to KMS keys", _keys, "F167"),
    Look("role.licences", Group.ROLE, "Rights to licence configurations", _licences, "F169"),
)
