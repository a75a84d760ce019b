"""What a proof may call equal: only what was compared with something that AWS holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vmie_tui.model.proof import BlockProof, DiskProof, Proof

SAMPLES = BlockProof("snap-1", "what passed", True, 64)
HERE = {"host_sha256": "a", "received_sha256": "a"}  # equal, but nothing of it is in AWS


@pytest.mark.parametrize(
    ("known", "equal"),
    [
        ({}, None),
        (HERE, None),
        ({**HERE, "stored_then": "x", "stored_now": "x"}, True),
        ({**HERE, "stored_then": "x"}, None),
        ({**HERE, "stored_then": "x", "stored_now": "y"}, False),
        ({**HERE, "blocks": (SAMPLES,)}, True),
        ({**HERE, "blocks": (replace(SAMPLES, compared=0),)}, None),
        ({**HERE, "blocks": (replace(SAMPLES, compared=0, vacant=True),)}, True),
        ({**HERE, "blocks": (replace(SAMPLES, different=(3,)),)}, False),
        ({**HERE, "blocks": (replace(SAMPLES, different=(3,), exact=False),)}, None),
        ({**HERE, "received_sha256": "b", "blocks": (SAMPLES,)}, False),
    ],
)
def test_a_disk_is_equal_when_something_in_aws_is(known: dict[str, Any], equal: bool | None) -> None:
    disk = DiskProof(1, "Hard disk 1", **known)
    proof = Proof("j", "web-01", "image", (disk,))
    assert (disk.equal, proof.equal) == (equal, equal)
    assert proof.verdict.startswith({True: "equal", False: "DIFFERENT", None: "nothing could be"}[equal])


def test_one_disk_that_was_not_compared_keeps_the_proof_open() -> None:
    good, unread = DiskProof(1, "one", **HERE, blocks=(SAMPLES,)), DiskProof(2, "two", **HERE, notes=("not read",))
    proof = Proof("j", "web-01", "unmodified", (good, unread))
    assert proof.equal is None
    assert proof.verdict.startswith("not all compared: nothing that AWS holds of two")
    wrong = replace(good, blocks=(replace(SAMPLES, different=(1,)),))
    assert Proof("j", "web-01", "unmodified", (wrong, unread)).equal is False
