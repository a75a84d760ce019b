"""The read-only policy: decides by operation (AWS), method (vCenter) or verb (jobs) whether a call may be sent.

What is not known to only read is refused, so that a call nobody thought of cannot change anything in a read-only run.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmie_tui.model.errors import ErrorKind, ServiceError

# AWS operations that change nothing, by name: some that are called Get hand out keys (sts:GetSessionToken,
# iam:GetCredentialReport, ec2:GetPasswordData). Only those that the services call; a test compares the two.
AWS_READS = frozenset(
    {
        # EC2
        "DescribeConversionTasks",
        "DescribeExportImageTasks",
        "DescribeExportTasks",
        "DescribeImages",
        "DescribeImportImageTasks",
        "DescribeImportSnapshotTasks",
        "DescribeInstanceStatus",
        "DescribeInstanceTypes",
        "DescribeInstances",
        "DescribeRegions",
        "DescribeSecurityGroups",
        "DescribeSnapshots",
        "DescribeSubnets",
        "DescribeVolumes",
        "DescribeVpcs",
        "GetConsoleOutput",
        "GetConsoleScreenshot",
        "GetEbsDefaultKmsKeyId",
        "GetEbsEncryptionByDefault",
        # S3
        "GetBucketAcl",
        "GetBucketEncryption",
        "GetBucketLifecycleConfiguration",
        "GetBucketLocation",
        "GetBucketOwnershipControls",
        "GetBucketPolicy",
        "GetBucketVersioning",
        "GetObject",
        "GetPublicAccessBlock",
        "HeadBucket",
        "HeadObject",
        "ListMultipartUploads",
        "ListObjectsV2",
        "ListParts",
        # EBS direct
        "GetSnapshotBlock",
        "ListSnapshotBlocks",
        # IAM
        "GetPolicy",
        "GetPolicyVersion",
        "GetRole",
        "GetRolePolicy",
        "ListAttachedRolePolicies",
        "ListRolePolicies",
        "SimulatePrincipalPolicy",
        # STS
        "GetCallerIdentity",
        # KMS
        "DescribeKey",
    }
)
# vCenter methods that change nothing but our own session, as named on the wire.
VSPHERE_READS = frozenset(
    {
        # the session
        "RetrieveServiceContent",
        "Login",
        "Logout",
        "SessionIsActive",
        "CurrentTime",
        # reading properties, and the views and filters that live in the session alone
        "Fetch",
        "RetrieveProperties",
        "RetrievePropertiesEx",
        "ContinueRetrievePropertiesEx",
        "CancelRetrievePropertiesEx",
        "CreateFilter",
        "CreatePropertyCollector",
        "DestroyPropertyCollector",
        "DestroyPropertyFilter",
        "CheckForUpdates",
        "WaitForUpdates",
        "WaitForUpdatesEx",
        "CancelWaitForUpdates",
        "CreateContainerView",
        "CreateListView",
        "DestroyView",
        # looking things up
        "FindByUuid",
        "FindByInventoryPath",
        "FindByDnsName",
        "FindByIp",
        "FindChild",
        "FindAllByUuid",
        "QueryChangedDiskAreas",
        "QueryConfigOption",
        "QueryConfigOptionEx",
        "QueryConfigOptionDescriptor",
        "QueryConfigTarget",
        "QueryAvailablePerfMetric",
        "QueryPerf",
        "QueryEvents",
        "QueryNetConfig",
        "RetrieveRolePermissions",
        "RetrieveEntityPermissions",
        "RetrieveAllPermissions",
        "RetrieveUserGroups",
        "HasPrivilegeOnEntity",
        "HasPrivilegeOnEntities",
        "HasUserPrivilegeOnEntities",
        "FetchUserPrivilegeOnEntities",
        # datastores: a search is a task that only looks
        "SearchDatastore_Task",
        "SearchDatastoreSubFolders_Task",
        "AcquireGenericServiceTicket",  # asked for reading a file only: see vsphere/flat_file.py
        # OVF: texts made of, or checked against, the inventory
        "CreateDescriptor",
        "CreateImportSpec",
        "ParseDescriptor",
        "ValidateHost",
    }
)
REMEDY = "Use a profile that is not read-only, and start without --read-only"


@dataclass(frozen=True, slots=True)
class Policy:
    """Whether changes are allowed. Every check raises ServiceError REFUSED, before anything is sent."""

    read_only: bool = False

    def check_aws(self, operation: str) -> None:
        """``operation`` as the API names it: ``RunInstances``, ``PutObject``."""
        if self.read_only and not reads_aws(operation):
            raise self._refused(f"so {operation} is not sent", "AWS")

    def check_vsphere(self, method: str) -> None:
        """``method`` as it is named on the wire: ``CreateSnapshot_Task``, ``ExportVm``."""
        if self.read_only and method not in VSPHERE_READS:
            raise self._refused(f"so {method} is not sent", "vCenter")

    def check_work(self, verb: str, subject: str = "") -> None:
        """Anything of our own that would lead to changes: submitting a job, cancelling one, starting the worker."""
        if self.read_only:
            raise self._refused(f"so nothing is {verb}", subject)

    @staticmethod
    def _refused(words: str, subject: str) -> ServiceError:
        return ServiceError(
            ErrorKind.REFUSED, f"the profile is read-only, {words}", subject=subject, remedy=REMEDY, code="read-only"
        )


def reads_aws(operation: str) -> bool:
    """Whether an AWS operation is known to only read."""
    return operation in AWS_READS
