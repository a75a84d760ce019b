"""What is known of the AWS account an import goes to. None stands for what was not, or may not be, looked at."""

from __future__ import annotations

from dataclasses import dataclass

from vmie_tui.model.errors import Problem


@dataclass(frozen=True, slots=True)
class Account:
    """``bucket_region``: where the bucket is, "" when there is none of its name; ``bucket_key``: its default KMS key,
    "" for none; ``upload_refused``: what its policy does not let us upload, and what to do; None when nothing is seen.

    ``ebs_encryption``: is every new volume encrypted, with ``ebs_key``; ``key_state``: DescribeKey's word for the key
    the plan names. ``role_problems``: what keeps VM import from using the service role; ``role_kms``: may the role do
    what the KMS statement says with the result's key, ``role_decrypts``: may it read with the bucket's.
    ``active_tasks``: running tasks of the Region; ``skew``: seconds by which this machine's clock is ahead.
    """

    root: bool | None = None
    region_enabled: bool | None = None
    bucket_region: str | None = None
    bucket_key: str | None = None
    upload_refused: tuple[str, str] | None = None
    ebs_encryption: bool | None = None
    ebs_key: str | None = None
    key_state: str | None = None
    role_problems: tuple[Problem, ...] | None = None
    role_kms: bool | None = None
    role_decrypts: bool | None = None
    active_tasks: int | None = None
    skew: float | None = None
