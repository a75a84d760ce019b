"""A read-only profile changes nothing in AWS, whatever is called: refused in the service layer, before a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.services.aws_world import BUCKET, REGION, Control, Source, settings_for, store_for, world
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.services.aws.images import tag
from vmie_tui.services.aws.objects import ObjectStore, UploadRequest
from vmie_tui.services.aws.roles import check_role
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.services.aws.vmimport import ImageRequest, SnapshotRequest, VmImport
from vmie_tui.simulators.aws.server import AwsSimulator
from vmie_tui.simulators.control import TlsFiles

World = tuple[AwsSimulator, Aws]


@pytest.fixture(scope="module")
def aws(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("aws")
    with world(tls, folder) as (simulator, writing):
        for key in ("kept", "unfinished"):
            writing.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"x")
        writing.client("s3").create_multipart_upload(
            Bucket=BUCKET, Key="unfinished", ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT"
        )
        yield simulator, open_session(settings_for(simulator, tls, folder), read_only=True)


def upload(store: ObjectStore, key: str) -> object:
    return store.upload(UploadRequest(BUCKET, key, 1), Source(b"y"), control=Control())


def writes(aws: Aws) -> dict[str, Callable[[], object]]:
    store, tasks = store_for(aws), VmImport(aws, REGION)
    return {
        "create_bucket": partial(store.create_bucket, "another-bucket"),
        "upload": partial(upload, store, "new"),
        "resume": partial(upload, store, "unfinished"),
        "abort": partial(store.abort, BUCKET, "unfinished"),
        "delete": partial(store.delete, BUCKET, "kept"),
        "delete_objects": partial(store.delete_objects, BUCKET, ["kept"]),
        "import_image": partial(tasks.import_image, ImageRequest(((BUCKET, "kept", "RAW"),))),
        "import_snapshot": partial(tasks.import_snapshot, SnapshotRequest((BUCKET, "kept", "RAW"))),
        "cancel": partial(tasks.cancel, "import-ami-00000000000000000"),
        "tag": partial(tag, aws, REGION, ["ami-00000000000000000"], {"a": "b"}),
    }


WRITES = (
    "create_bucket",
    "upload",
    "resume",
    "abort",
    "delete",
    "delete_objects",
    "import_image",
    "import_snapshot",
    "cancel",
    "tag",
)


@pytest.mark.parametrize("name", WRITES)
def test_writing_is_refused_before_a_request(aws: World, name: str) -> None:
    simulator, session = aws
    simulator.stats.reset()
    with pytest.raises(ServiceError, match="read-only") as caught:
        writes(session)[name]()
    assert caught.value.kind is ErrorKind.REFUSED
    asked = simulator.stats.snapshot()
    assert all(operation.partition(":")[2].startswith(("List", "Get", "Head", "Describe")) for operation in asked)


def test_all_writes_are_tried() -> None:
    public = {
        name
        for kind in (ObjectStore, VmImport)
        for name in vars(kind)
        if not name.startswith("_") and callable(getattr(kind, name))
    }
    reads = {"check_bucket", "find_upload", "list_parts", "head", "task", "tasks"}
    assert public - reads == set(WRITES) - {"resume", "tag"}


def test_reading_works(aws: World) -> None:
    _, session = aws
    store = store_for(session)
    assert session.identity().account
    assert store.check_bucket(BUCKET).name == BUCKET
    assert store.head(BUCKET, "kept") is not None
    assert store.find_upload(BUCKET, "unfinished") is not None
    assert check_role(session, "vmimport", BUCKET).inspected
    assert list(VmImport(session, REGION).tasks()) == []
