"""Every S3 call on the profile's bucket says whose bucket it must be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.kits.aws_world import BUCKET, World, settings_for
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.s3.objects import ObjectStore
from vmie_tui.services.aws.session import PARTS, PRESIGN, open_session
from vmie_tui.simulators.control import TlsFiles

CALLS = {
    "head_bucket": {},
    "list_objects_v2": {},
    "put_object": {"Key": "k", "Body": b"x"},
    "head_object": {"Key": "k"},
    "delete_object": {"Key": "k"},
    "create_multipart_upload": {"Key": "k"},
}


@pytest.mark.parametrize("kind", ["s3", PARTS])
@pytest.mark.parametrize("call", CALLS)
def test_the_owner_is_named_and_another_is_refused(
    aws: World, tls: TlsFiles, tmp_path: Path, call: str, kind: str
) -> None:
    simulator, _ = aws
    settings = settings_for(simulator, tls, tmp_path)
    seen: list[str] = []
    client = open_session(settings).client(kind)
    client.meta.events.register(
        "before-call.s3", lambda params, **_: seen.append(params["headers"].get("x-amz-expected-bucket-owner", ""))
    )
    client.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    getattr(client, call)(Bucket=BUCKET, **CALLS[call])
    assert seen == [simulator.account] * 2
    foreign = open_session(replace(settings, bucket_owner="999988887777")).client(kind)
    with pytest.raises(foreign.exceptions.ClientError, match=r"403|AccessDenied"):
        getattr(foreign, call)(Bucket=BUCKET, **CALLS[call])


def test_a_bucket_of_another_owner_is_said_in_words(aws: World, tls: TlsFiles, tmp_path: Path) -> None:
    settings = replace(settings_for(aws[0], tls, tmp_path), bucket_owner="999988887777")
    with pytest.raises(ServiceError) as caught:
        ObjectStore(open_session(settings)).check_bucket(BUCKET)
    assert caught.value.kind is ErrorKind.PERMISSION
    assert "does not belong to account 999988887777" in caught.value.problem.what
    assert "bucket_owner" in caught.value.problem.remedy


def test_a_signed_url_wants_no_header_of_who_uses_it(aws: World) -> None:
    url = aws[1].client(PRESIGN).generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "k"})
    assert "expected-bucket-owner" not in url
