"""``vmie-tui doctor``: what it prints, asks, makes and refuses, and how it exits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.aws_world import BUCKET, REGION
from tests.kits.clinic import ROLE, Clinic, clinic
from vmie_tui.cli import main
from vmie_tui.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_REFUSED, EXIT_USAGE
from vmie_tui.simulators.control import TlsFiles

Said = pytest.CaptureFixture[str]


@pytest.fixture
def empty(tls: TlsFiles, tmp_path: Path, own_home: Path) -> Iterator[Clinic]:
    """An account without anything, which the command line finds through its configuration file."""
    with clinic(tls, tmp_path) as made:
        aws = made.patient.profile.aws
        (own_home / "config.toml").write_text(
            'default_profile = "p"\n[profiles.p.aws]\n'
            f'region = "{REGION}"\nbucket = "{BUCKET}"\nendpoint_url = "{aws.endpoint_url}"\n'
            f'ca_bundle = "{aws.ca_bundle}"\ncredentials_file = "{aws.credentials_file}"\n'
        )
        yield made


def run(capsys: Said, *arguments: str, code: int) -> tuple[str, str]:
    capsys.readouterr()
    assert main(["doctor", *arguments]) == code, capsys.readouterr()
    said = capsys.readouterr()
    return said.out, said.err


def test_what_is_missing_is_named_and_made(empty: Clinic, capsys: Said) -> None:
    out, _ = run(capsys, code=EXIT_FAILED)
    assert f"✖ Bucket: the bucket {BUCKET} does not exist" in out
    assert "✖ Service role: there is no role vmimport" in out
    assert "2 can be made here: vmie-tui doctor --fix" in out
    assert empty.client("s3").list_buckets()["Buckets"] == [], "nothing is made without --fix"
    out, err = run(capsys, "--fix", "--yes", code=EXIT_OK)
    assert "iam:CreateRole vmimport" in err and '+      "Action": "sts:AssumeRole",' in err
    assert "s3:CreateBucket" in err and "s3:PutBucketAcl" in err and "READ_ACP" in err
    assert "0 failed, 0 warnings" in out.rpartition("checks")[0].rpartition("\n")[2] + "checks"
    data, _ = run(capsys, "--json", code=EXIT_OK)
    assert json.loads(data)["worst"] == "ok"
    _, err = run(capsys, "--fix", "--yes", code=EXIT_OK)
    assert err == "", "nothing is left to make"


def test_json_holds_the_exact_changes(empty: Clinic, capsys: Said) -> None:
    data = json.loads(run(capsys, "--json", "--group", "role", code=EXIT_FAILED)[0])
    [check] = [check for check in data["checks"] if check["fix"]]
    assert check["id"] == "role.exists" and {each["group"] for each in data["checks"]} == {"role"}
    create, put = check["fix"]["changes"]
    assert create["operation"] == "iam:CreateRole" and create["request"]["RoleName"] == ROLE
    assert json.loads(put["request"]["PolicyDocument"]) == put["after"]


def test_each_change_is_asked_for(empty: Clinic, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["n", "y"])
    asked: list[str] = []

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        return next(answers) == "y"

    monkeypatch.setattr("click.confirm", confirm)
    run(capsys, "--fix", "--group", "bucket", "--group", "role", "--feature", "tasks", code=EXIT_FAILED)
    assert len(asked) == 2
    assert empty.client("s3").list_buckets()["Buckets"] == [], "the first was declined"
    assert empty.client("iam").get_role(RoleName=ROLE)["Role"]["RoleName"] == ROLE


def test_what_cannot_be_made_is_said_and_the_rest_is_made(empty: Clinic, capsys: Said) -> None:
    empty.limit(less=frozenset({"iam:CreateRole"}))
    _, err = run(capsys, "--fix", "--yes", code=EXIT_FAILED)
    assert "✖ Service role" in err and "iam:CreateRole" in err
    assert empty.client("s3").get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == REGION


def test_a_read_only_profile_and_wrong_options(empty: Clinic, capsys: Said) -> None:
    capsys.readouterr()
    assert main(["--read-only", "doctor", "--fix", "--yes"]) == EXIT_REFUSED
    assert "read-only" in capsys.readouterr().err
    assert empty.client("s3").list_buckets()["Buckets"] == []
    assert "--yes wants --fix" in run(capsys, "--yes", code=EXIT_USAGE)[1]
    run(capsys, "--group", "weather", code=EXIT_USAGE)


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("user", '"arn:aws:iam::111122223333:role/vmimport"'),
        ("role", f'"arn:aws:s3:::{BUCKET}/*"'),
        ("trust", '"aws:SourceAccount": "111122223333"'),
        ("vcenter", '"VApp.Export"'),
    ],
)
def test_policies_are_printed(empty: Clinic, capsys: Said, which: str, words: str) -> None:
    out, _ = run(capsys, "--print-policy", which, "--feature", "import", code=EXIT_OK)
    assert words in out and json.loads(out)
    assert "ExportImage" not in out


def test_policies_without_any_sign_in(own_home: Path, capsys: Said) -> None:
    (own_home / "config.toml").write_text('default_profile = "p"\n[profiles.p.aws]\nregion = "eu-west-1"\n')
    out, _ = run(capsys, "--print-policy", "user", code=EXIT_OK)
    assert "arn:aws:iam::123456789012:role/vmimport" in out and "amzn-s3-demo-bucket" in out
