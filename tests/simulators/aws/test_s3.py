"""The simulated S3 refuses and answers what the real one does."""

from __future__ import annotations

import base64
import hashlib
import random
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from awscrt import checksums
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.handlers import validate_bucket_name

from tests.kits.aws_clients import BUCKET, MIB, REGION, Kit, refused, running
from vmie_tui.simulators.control import TlsFiles

CONTENT = random.Random(7).randbytes(300_000)


@pytest.fixture(scope="module")
def kit(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with running(tls, tmp_path_factory.mktemp("s3")) as kit:
        yield kit


@pytest.fixture
def s3(kit: Kit) -> Any:
    kit.sim.faults.clear()
    return kit.client("s3")


def crc64(content: bytes) -> str:
    return base64.b64encode(checksums.crc64nvme(content).to_bytes(8, "big")).decode()


def test_buckets_know_their_region(kit: Kit, s3: Any) -> None:
    s3.create_bucket(Bucket="here-1", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    kit.client("s3", "us-east-1").create_bucket(Bucket="virginia-1")
    assert s3.get_bucket_location(Bucket="here-1")["LocationConstraint"] == "eu-west-1"
    assert s3.get_bucket_location(Bucket="virginia-1")["LocationConstraint"] is None
    assert s3.head_bucket(Bucket="here-1")["BucketRegion"] == "eu-west-1"
    assert {"here-1", "virginia-1"} <= {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    with refused("IllegalLocationConstraintException"):
        s3.create_bucket(Bucket="there-1", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    with refused("BucketAlreadyOwnedByYou"):
        s3.create_bucket(Bucket="here-1", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with refused("404"):
        s3.head_bucket(Bucket="never-made")


@pytest.mark.parametrize(
    ("region", "status"), [("us-east-1", 400), ("ap-south-1", 301)], ids=["global endpoint", "other endpoint"]
)
def test_a_bucket_of_another_region_redirects(kit: Kit, region: str, status: int) -> None:
    client, seen = kit.client("s3", region), []
    client.meta.events.register_first(
        "needs-retry.s3", lambda response, **_: seen.append((response[0].status_code, dict(response[0].headers)))
    )
    client.head_bucket(Bucket=BUCKET)  # boto3 follows to the Region it is told
    assert seen[0][0] == status
    assert seen[0][1]["x-amz-bucket-region"] == "eu-west-1"


@pytest.mark.parametrize("kind", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_every_checksum_kind_is_verified_and_kept(s3: Any, kind: str) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"sum/{kind}", Body=CONTENT, ChecksumAlgorithm=kind)
    head = s3.head_object(Bucket=BUCKET, Key=f"sum/{kind}", ChecksumMode="ENABLED")
    assert head[f"Checksum{kind}"]
    wrong = base64.b64encode(bytes(len(base64.b64decode(head[f"Checksum{kind}"])))).decode()
    with refused("BadDigest"):
        s3.put_object(Bucket=BUCKET, Key="sum/wrong", Body=CONTENT, **{f"Checksum{kind}": wrong})
    with refused("404"):
        s3.head_object(Bucket=BUCKET, Key="sum/wrong")


def test_md5_and_payload_hashes_are_verified(s3: Any) -> None:
    digest = hashlib.md5(CONTENT).digest()
    answer = s3.put_object(Bucket=BUCKET, Key="md5", Body=CONTENT, ContentMD5=base64.b64encode(digest).decode())
    assert answer["ETag"] == f'"{digest.hex()}"'
    with refused("BadDigest"):
        s3.put_object(Bucket=BUCKET, Key="md5", Body=CONTENT + b"x", ContentMD5=base64.b64encode(digest).decode())


def test_a_streamed_body_comes_in_chunks_with_a_trailer(s3: Any, kit: Kit) -> None:
    path = kit.folder / "stream.bin"
    path.write_bytes(CONTENT * 5)
    with path.open("rb") as file:
        s3.put_object(Bucket=BUCKET, Key="stream", Body=file, ChecksumAlgorithm="CRC32")
    head = s3.head_object(Bucket=BUCKET, Key="stream", ChecksumMode="ENABLED")
    assert head["ChecksumCRC32"] == base64.b64encode(zlib.crc32(CONTENT * 5).to_bytes(4, "big")).decode()
    assert s3.get_object(Bucket=BUCKET, Key="stream")["Body"].read() == CONTENT * 5


def test_ranges_and_preconditions(s3: Any) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="range", Body=CONTENT)["ETag"]

    def read(spec: str) -> tuple[int, bytes]:
        answer = s3.get_object(Bucket=BUCKET, Key="range", Range=spec)
        return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Body"].read()

    assert read("bytes=10-19") == (206, CONTENT[10:20])
    assert read("bytes=299990-") == (206, CONTENT[-10:])
    assert read("bytes=-7") == (206, CONTENT[-7:])
    with refused("InvalidRange"):
        read("bytes=300000-")
    assert s3.get_object(Bucket=BUCKET, Key="range", IfMatch=etag)["ContentLength"] == len(CONTENT)
    with refused("PreconditionFailed"):
        s3.get_object(Bucket=BUCKET, Key="range", IfMatch='"0"')
    with refused("PreconditionFailed"):
        s3.put_object(Bucket=BUCKET, Key="range", Body=b"", IfNoneMatch="*")


def start(s3: Any, key: str, **more: Any) -> dict[str, Any]:
    found = s3.create_multipart_upload(Bucket=BUCKET, Key=key, **more)
    return {"Bucket": BUCKET, "Key": key, "UploadId": found["UploadId"]}


def send(s3: Any, upload: dict[str, Any], parts: list[bytes], kind: str = "CRC64NVME") -> list[dict[str, Any]]:
    sent = []
    for number, content in enumerate(parts, 1):
        answer = s3.upload_part(**upload, PartNumber=number, Body=content, ChecksumAlgorithm=kind)
        name = f"Checksum{kind}"
        sent.append({"PartNumber": number, "ETag": answer["ETag"], name: answer[name]})
    return sent


def test_a_multipart_upload_keeps_the_whole_objects_checksum(s3: Any) -> None:
    parts = [CONTENT * 18, CONTENT * 19, CONTENT]
    whole = b"".join(parts)
    upload = start(s3, "multi", ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT", Tagging="job=7")
    sent = send(s3, upload, parts)
    listed = s3.list_parts(**upload, MaxParts=2)
    assert listed["IsTruncated"] and listed["NextPartNumberMarker"] == 2
    assert [part["ChecksumCRC64NVME"] for part in listed["Parts"]] == [crc64(part) for part in parts[:2]]
    rest = s3.list_parts(**upload, PartNumberMarker=2)
    assert [part["PartNumber"] for part in rest["Parts"]] == [3]
    assert upload["UploadId"] in {item["UploadId"] for item in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]}
    with refused("InvalidRequest", "x-amz-mp-object-size"):
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent}, MpuObjectSize=len(whole) + 1)
    with refused("BadDigest"):
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent}, ChecksumCRC64NVME=crc64(b"other"))
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent}, MpuObjectSize=len(whole))
    assert done["ChecksumCRC64NVME"] == crc64(whole)
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    head = s3.head_object(Bucket=BUCKET, Key="multi", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC64NVME"], head["ChecksumType"]) == (crc64(whole), "FULL_OBJECT")
    assert head["ServerSideEncryption"] == "AES256"
    assert s3.get_object(Bucket=BUCKET, Key="multi")["Body"].read() == whole
    assert s3.get_object_tagging(Bucket=BUCKET, Key="multi")["TagSet"] == [{"Key": "job", "Value": "7"}]
    with refused("NoSuchUpload"):
        s3.list_parts(**upload)


def test_composite_checksums(s3: Any) -> None:
    parts = [CONTENT * 18, CONTENT]
    upload = start(s3, "composite", ChecksumAlgorithm="SHA256")
    sent = send(s3, upload, parts, "SHA256")
    with refused("InvalidRequest", "missing for part 1"):
        bare = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in sent]
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": bare})
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent})
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    assert done["ChecksumSHA256"] == f"{base64.b64encode(digest).decode()}-2"
    with refused("InvalidRequest"):
        start(s3, "x", ChecksumAlgorithm="CRC64NVME", ChecksumType="COMPOSITE")


def test_wrong_part_lists_are_refused(s3: Any) -> None:
    upload = start(s3, "lists", ChecksumAlgorithm="CRC64NVME")
    sent = send(s3, upload, [CONTENT, CONTENT])

    def complete(parts: list[dict[str, Any]]) -> None:
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    with refused("EntityTooSmall"):
        complete(sent)
    with refused("InvalidPartOrder"):
        complete(sent[::-1])
    with refused("InvalidPart"):
        complete([{**sent[0], "ETag": '"0123"'}, sent[1]])
    with refused("InvalidPart"):
        complete([{**sent[0], "ChecksumCRC64NVME": crc64(b"other")}, sent[1]])
    with refused("InvalidPart"):
        complete([sent[0], {**sent[1], "PartNumber": 3}])
    with refused("InvalidRequest", "Checksum Type mismatch"):
        s3.upload_part(**upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA1")
    s3.abort_multipart_upload(**upload)
    with refused("NoSuchUpload"):
        s3.upload_part(**upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="CRC64NVME")


def test_listing_is_paged_and_grouped(s3: Any) -> None:
    keys = [f"list/{name}" for name in ("a", "b/1", "b/2", "c", "ä")]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix="list/", PaginationConfig={"PageSize": 2}
    )
    assert [item["Key"] for page in pages for item in page["Contents"]] == keys
    grouped = s3.list_objects_v2(Bucket=BUCKET, Prefix="list/", Delimiter="/")
    assert [item["Prefix"] for item in grouped["CommonPrefixes"]] == ["list/b/"]
    assert [item["Key"] for item in grouped["Contents"]] == ["list/a", "list/c", "list/ä"]
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="list/")["KeyCount"] == 0


def test_copy_metadata_and_tags(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="from", Body=CONTENT, Metadata={"Vm": "web-01"}, ContentType="text/plain")
    s3.put_object_tagging(Bucket=BUCKET, Key="from", Tagging={"TagSet": [{"Key": "a", "Value": "b & c"}]})
    s3.copy_object(Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "from"})
    s3.delete_object(Bucket=BUCKET, Key="from")
    found = s3.get_object(Bucket=BUCKET, Key="to")
    assert found["Body"].read() == CONTENT
    assert (found["Metadata"], found["ContentType"]) == ({"vm": "web-01"}, "text/plain")
    assert s3.get_object_tagging(Bucket=BUCKET, Key="to")["TagSet"] == [{"Key": "a", "Value": "b & c"}]


def test_the_old_list_is_paged_and_grouped(s3: Any) -> None:
    keys = [f"old/{name}" for name in ("a b", "b/1", "b/2", "c+%", "ä")]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    pages = s3.get_paginator("list_objects").paginate(Bucket=BUCKET, Prefix="old/", PaginationConfig={"PageSize": 2})
    assert [item["Key"] for page in pages for item in page["Contents"]] == keys
    grouped = s3.list_objects(Bucket=BUCKET, Prefix="old/", Delimiter="/", MaxKeys=2)
    assert [item["Prefix"] for item in grouped["CommonPrefixes"]] == ["old/b/"]
    assert grouped["IsTruncated"] and grouped["NextMarker"] == "old/b/"
    rest = s3.list_objects(Bucket=BUCKET, Prefix="old/", Delimiter="/", Marker=grouped["NextMarker"])
    assert [item["Key"] for item in rest["Contents"]] == ["old/c+%", "old/ä"]


def versioned(s3: Any, name: str, status: str = "Enabled") -> None:
    if status == "Enabled":
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})


def listed(s3: Any, name: str) -> list[tuple[str, str, bool]]:
    """(key, version or "marker", latest) of all there is."""
    answer = s3.list_object_versions(Bucket=name)
    found = [(one["Key"], one["VersionId"], one["IsLatest"]) for one in answer.get("Versions", ())]
    return found + [(one["Key"], "marker", one["IsLatest"]) for one in answer.get("DeleteMarkers", ())]


def test_versions_are_kept_and_deleted_for_good_only_by_their_id(s3: Any) -> None:
    name = "versions-1"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert "VersionId" not in s3.put_object(Bucket=name, Key="k", Body=b"before")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=name, Key="k", Body=b"first")["VersionId"]
    second = s3.put_object(Bucket=name, Key="k", Body=b"second")["VersionId"]
    assert s3.get_object(Bucket=name, Key="k")["VersionId"] == second
    assert s3.get_object(Bucket=name, Key="k", VersionId=first)["Body"].read() == b"first"
    assert s3.get_object(Bucket=name, Key="k", VersionId="null")["Body"].read() == b"before"
    gone = s3.delete_object(Bucket=name, Key="k")
    assert gone["DeleteMarker"]
    with refused("NoSuchKey"):
        s3.get_object(Bucket=name, Key="k")
    assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 0
    assert set(listed(s3, name)) == {
        ("k", "marker", True),
        ("k", second, False),
        ("k", first, False),
        ("k", "null", False),
    }
    with refused("BucketNotEmpty"):
        s3.delete_bucket(Bucket=name)
    s3.delete_object(Bucket=name, Key="k", VersionId=gone["VersionId"])  # the marker: the object is back
    assert s3.get_object(Bucket=name, Key="k")["Body"].read() == b"second"
    s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k", "VersionId": v} for v in (second, first)]})
    assert s3.get_object(Bucket=name, Key="k")["Body"].read() == b"before"
    with refused("NoSuchVersion"):
        s3.get_object(Bucket=name, Key="k", VersionId=first)
    s3.delete_object(Bucket=name, Key="k", VersionId="null")
    assert listed(s3, name) == []
    s3.delete_bucket(Bucket=name)


def test_with_versioning_suspended_there_is_one_null_version(s3: Any) -> None:
    name = "versions-2"
    versioned(s3, name)
    kept = s3.put_object(Bucket=name, Key="k", Body=b"kept")["VersionId"]
    versioned(s3, name, "Suspended")
    assert s3.put_object(Bucket=name, Key="k", Body=b"one")["VersionId"] == "null"
    assert s3.put_object(Bucket=name, Key="k", Body=b"two")["VersionId"] == "null"
    assert {row[1] for row in listed(s3, name)} == {kept, "null"}
    assert s3.get_object(Bucket=name, Key="k")["Body"].read() == b"two"
    assert s3.get_object(Bucket=name, Key="k", VersionId=kept)["Body"].read() == b"kept"
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=name, PaginationConfig={"PageSize": 1})
    assert [one["VersionId"] for page in pages for one in page["Versions"]] == ["null", kept]


def test_parts_are_copied_from_ranges_of_another_object(s3: Any) -> None:
    data = CONTENT * (11 * MIB // len(CONTENT) + 1)
    s3.put_object(Bucket=BUCKET, Key="copy/from", Body=data)
    source = {"Bucket": BUCKET, "Key": "copy/from"}
    upload = start(s3, "copy/to")
    cut = 6 * MIB
    parts = []
    for number, (low, high) in enumerate(((0, cut - 1), (cut, len(data) - 1)), 1):
        copied = s3.upload_part_copy(
            **upload, PartNumber=number, CopySource=source, CopySourceRange=f"bytes={low}-{high}"
        )["CopyPartResult"]
        parts.append({"PartNumber": number, "ETag": copied["ETag"]})
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=BUCKET, Key="copy/to")["Body"].read() == data
    with refused("InvalidRange"):
        s3.upload_part_copy(**start(s3, "x"), PartNumber=1, CopySource=source, CopySourceRange=f"bytes=0-{len(data)}")
    s3.copy_object(Bucket=BUCKET, Key="copy/whole", CopySource={"Bucket": BUCKET, "Key": "copy/to"})
    assert s3.head_object(Bucket=BUCKET, Key="copy/whole")["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'


def test_bucket_documents_come_back_as_they_were_put(s3: Any) -> None:
    name = "documents-1"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    rule = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "key-1"}
    rules = [{"ApplyServerSideEncryptionByDefault": default}]
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    stored = s3.put_object(Bucket=name, Key="k", Body=CONTENT)
    assert (stored["ServerSideEncryption"], stored["SSEKMSKeyId"]) == ("aws:kms", "key-1")
    assert stored["ETag"] != f'"{hashlib.md5(CONTENT).hexdigest()}"'
    with refused("NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=name)
    s3.put_bucket_policy(Bucket=name, Policy='{"Version": "2012-10-17", "Statement": []}')
    assert "2012-10-17" in s3.get_bucket_policy(Bucket=name)["Policy"]
    with refused("AccessControlListNotSupported"):
        s3.put_bucket_acl(Bucket=name, GrantWrite="id=" + "c" * 64)
    preferred = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=preferred)
    assert s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"] == preferred
    s3.put_bucket_acl(Bucket=name, GrantWrite="id=" + "c" * 64)
    grants = s3.get_bucket_acl(Bucket=name)["Grants"]
    assert ("c" * 64, "WRITE") in {(grant["Grantee"]["ID"], grant["Permission"]) for grant in grants}
    with refused("BucketNotEmpty"):
        s3.delete_bucket(Bucket=name)
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)


def test_faults_slow_down_reset_and_stop(kit: Kit, s3: Any) -> None:
    kit.control("POST", "faults", {"operation": "PutObject", "match": "slow", "times": 1, "code": "SlowDown"})
    with refused("SlowDown"):
        s3.put_object(Bucket=BUCKET, Key="slow", Body=CONTENT)
    s3.put_object(Bucket=BUCKET, Key="slow", Body=CONTENT)
    kit.control("POST", "faults", {"operation": "UploadPart", "action": "reset-midway", "after": MIB})
    upload = start(s3, "cut")
    with pytest.raises(Exception, match=r"(?i)connection|closed|reset|broken|EOF"):
        s3.upload_part(**upload, PartNumber=1, Body=CONTENT * 20)
    assert "Parts" not in s3.list_parts(**upload)
    s3.upload_part(**upload, PartNumber=1, Body=CONTENT * 20)
    assert len(s3.list_parts(**upload)["Parts"]) == 1


def test_what_is_stored_survives_a_restart(tls: TlsFiles, kit: Kit, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="kept", Body=CONTENT)
    kit.sim.stop()
    kit.sim.start()
    assert kit.client("s3").get_object(Bucket=BUCKET, Key="kept")["Body"].read() == CONTENT


@pytest.mark.parametrize(
    "name", ["x/..", f"{BUCKET}/..", f"{BUCKET}/a/../..", "..", "../x", "x%2F..", "ab\n", "a..b", "a/../b"]
)
def test_no_name_of_a_bucket_leads_out_of_the_store(kit: Kit, name: str) -> None:
    s3 = kit.client("s3", config=Config(retries={"total_max_attempts": 1}))
    s3.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    before = s3.list_buckets()["Buckets"]
    with pytest.raises(ClientError):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    assert s3.list_buckets()["Buckets"] == before
    assert not s3.list_objects_v2(Bucket=BUCKET, Prefix="..").get("Contents")
