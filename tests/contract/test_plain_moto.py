"""Our AWS client against moto as its makers ship it, without anything of our simulators."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.kits.aws_world import PART, Control, Source, content, store_for
from vmie_tui.model.errors import ErrorKind, ServiceError
from vmie_tui.model.task import TaskKind
from vmie_tui.services.aws.iam.roles import inspect_role
from vmie_tui.services.aws.regions import opt_in_status
from vmie_tui.services.aws.s3.objects import UploadRequest
from vmie_tui.services.aws.session import Aws, open_session
from vmie_tui.services.aws.vmie.task_parser import count_live
from vmie_tui.settings import AwsSettings
from vmie_tui.simulators.control import TlsFiles

REGION, BUCKET = "eu-west-1", "plain-moto-bucket"


# In a process of its own: our simulators add calls to moto's classes in the one that runs the tests.
SERVER = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
application = DomainDispatcherApplication(create_backend_app)
server = make_server("localhost", 0, application, threaded=True, ssl_context=(sys.argv[1], sys.argv[2]))
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def aws(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tls.chain), str(tls.key)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    port = int(server.stdout.readline())
    keys = tmp_path_factory.mktemp("moto") / "credentials"
    keys.write_text("[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = not-a-secret\n")
    keys.chmod(0o600)
    settings = AwsSettings(
        region=REGION,
        endpoint_url=f"https://localhost:{port}",
        ca_bundle=tls.ca,
        credentials_file=keys,
        bucket=BUCKET,
    )
    session = open_session(settings)
    try:
        store_for(session).create_bucket(BUCKET)
        yield session
    finally:
        session.close()
        server.terminate()
        server.wait(10)
        server.stdout.close()


def test_we_sign_in_and_see_the_region(aws: Aws) -> None:
    assert aws.identity().account.isdigit()
    assert opt_in_status(aws, REGION) == "opt-in-not-required"


@pytest.mark.parametrize("size", [0, 5, 2 * PART + 5])
def test_an_upload_arrives_though_no_part_is_confirmed(aws: Aws, size: int) -> None:
    """moto names no checksum for a part, nor when the upload is completed: the object itself is asked for it."""
    data, store = content(size), store_for(aws)
    done = store.upload(UploadRequest(BUCKET, f"k-{size}", size), Source(data), control=Control())
    body: bytes = aws.client("s3").get_object(Bucket=BUCKET, Key=f"k-{size}")["Body"].read()
    assert (body, done.size) == (data, size)
    stored = store.head(BUCKET, f"k-{size}")
    assert stored is not None and done.proven is (stored.checksum == done.checksum)
    assert store.delete(BUCKET, f"k-{size}")
    assert store.head(BUCKET, f"k-{size}") is None


def test_a_bucket_elsewhere_and_one_that_is_missing_are_told_apart(aws: Aws) -> None:
    store = store_for(aws)
    store.create_bucket("plain-moto-far", "us-east-1")
    with pytest.raises(ServiceError, match="us-east-1") as caught:
        store.check_bucket("plain-moto-far")
    assert caught.value.kind is ErrorKind.INVALID
    with pytest.raises(ServiceError, match="does not exist") as caught:
        store.check_bucket("plain-moto-never-made")
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_the_role_is_read_as_iam_tells_it(aws: Aws) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "vmie.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
    missing = inspect_role(aws, "plain-moto", BUCKET)
    assert any("there is no role" in problem.what or "does not exist" in problem.what for problem in missing.problems)
    aws.client("iam").create_role(RoleName="plain-moto", AssumeRolePolicyDocument=json.dumps(trust))
    found = inspect_role(aws, "plain-moto", BUCKET)
    assert any("may not do" in problem.what for problem in found.problems)


def test_what_moto_does_not_have_is_refused_in_words(aws: Aws) -> None:
    with pytest.raises(ServiceError) as caught:
        count_live(aws.client("ec2", REGION), REGION, (TaskKind.IMPORT_IMAGE,))
    assert caught.value.kind is not ErrorKind.BUG and str(caught.value)
