"""Settings: what wins, where it came from, and what a wrong file is told."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from vmie_tui.model.errors import SettingsError
from vmie_tui.passwords import password_for
from vmie_tui.settings import load

GOOD = """
default_profile = "prod"
[profiles.prod.vcenter]
host = "vcenter.corp"
user = "svc"
[profiles.prod.aws]
profile = "ops"
region = "eu-west-1"
bucket = "from-file"
[profiles.lab.aws]
region = "us-east-1"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    return path


def test_environment_beats_the_file_and_each_value_knows_its_origin(config: Path, tmp_path: Path) -> None:
    env = {"VMIE_AWS_BUCKET": "from-env", "VMIE_VCENTER_PORT": "8443", "VMIE_STATE_DIR": str(tmp_path)}
    settings = load(config_file=config, environ=env)
    profile = settings.profile()
    assert profile.vcenter is not None
    assert (profile.aws.bucket, profile.aws.region, profile.vcenter.port) == ("from-env", "eu-west-1", 8443)
    assert settings.origin("prod.aws.bucket") == "$VMIE_AWS_BUCKET"
    assert settings.origin("prod.aws.region") == str(config)
    assert settings.origin("prod.aws.role_name") == "default"


def test_a_named_profile_beats_the_default(config: Path) -> None:
    assert load("lab", config_file=config, environ={}).profile().aws.region == "us-east-1"


def test_a_running_demo_is_a_profile_like_any_other(config: Path, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "profile.toml").write_text('[profiles.demo.aws]\nregion = "eu-west-1"\n')
    settings = load(config_file=config, state_dir=tmp_path, environ={})
    assert settings.profiles() == ("prod", "lab", "demo") and settings.profile("demo").demo
    assert settings.configured
    config.unlink()
    left = load(config_file=config, state_dir=tmp_path, environ={})
    assert left.profiles() == ("demo",) and not left.configured  # the first start still asks


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not toml [", "not valid TOML"),
        ("colour = 1", "unknown setting 'colour'"),
        ("[profiles.p.aws]\nregoin = 'x'", "unknown setting 'regoin'"),
        ("[profiles.p.vcenter]\nhost = 'x'", "lacks user"),
        ("[profiles.p.vcenter]\nhost = 'x'\nuser = 'u'\nport = 70000", "port has a value of the wrong kind"),
        ("[profiles.p.vcenter]\nhost = 'x'\nuser = 'u'\npassword_command = 'cat x'", "list of words"),
        *(
            (f"[profiles.p.vcenter]\nhost = {host}\nuser = 'u'", words)
            for host, words in (
                ("'vc:8443'", "give the port apart"),
                ("'https://vc/ui'", "without https:// and without a path"),
                ("'vc/'", "without a path"),
                ("' vc'", "no blanks"),
                ("'vc corp'", "no blanks"),
                ("''", "not empty"),
                ("'[::1]:8443'", "the port has a setting of its own"),
                ("'u@vc'", "give the name alone"),
                ('"v\\tc"', "control character"),
            )
        ),
        ("[profiles.p.vcenter]\nhost = 'x'\nuser = \"CORP\\backup\"", r"single quotes, 'CORP\\backup'"),
        ("[profiles.p.vcenter]\nhost = 'x'\nuser = \"CORP\\nightly\"", "control character"),
        ("[profiles.p.vcenter]\nhost = 'x'\nuser = \"CORP\\svc\"", r"not valid TOML.* single quotes"),
        ("[profiles.p.vcenter]\nhost = 'x'\nuser = \"CORP\\users\"", r"not valid TOML.* single quotes"),
        ("[profiles.p.vcenter]\nhost = 'x'\nuser = ' '", "it is empty"),
        ("[profiles.p.vcenter]\nhost = 'x'\nuser = 'u'\nproxy = 'https://p:1'", "proxy cannot be right"),
        ("[profiles.p.vcenter]\nhost = 'x'\nuser = 'u'\nproxy = 3", "proxy has a value of the wrong kind"),
        ("profiles = 3", "must be tables"),
        ("[profiles.p.aws]\nmax_rate = '1 kB'", "max_rate has .* allowed: bytes a second of at least 100 kB"),
        ("[profiles.p.aws]\nmax_rate = 'fast'", "max_rate has .*: 'fast'"),
        ("[profiles.p.aws]\nmax_rate = true", "max_rate has .*: True"),
        ("[profiles.p.aws]\nami_name = '{name}'", "ami_name has .* allowed: a text with any of {vm}, {date}"),
        ("[profiles.p.aws]\ntags = ['a']", "tags has .* allowed: a table of texts"),
        ("[profiles.p.aws]\ntags = { a = 'b,c' }", "without commas"),
        ("[profiles.p.aws]\nregion = 3", "region has .* allowed: a text in quotes"),
        ("[profiles.p]\nvcenter = 5", "vcenter must be a table"),
        ("[profiles.p]\nread_only = 'false'", "read_only must be true or false"),
    ],
)
def test_wrong_files_are_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=words) as caught:
        load(config_file=path, environ={})
    assert caught.value.problem.subject == str(path)


@pytest.mark.parametrize(
    "host", ["vc", "vc.corp", "10.0.0.1", "::1", "[::1]", "fe80::1", "VC-01.Corp", "vcenter_1", "bücher"]
)
def test_hosts_that_may_be(tmp_path: Path, host: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(f"\ufeff[profiles.p.vcenter]\nhost = '{host}'\nuser = 'CORP\\backup'\nproxy = ''\n".encode())
    vcenter = load(config_file=path, environ={}).profile().vcenter
    assert vcenter is not None and (vcenter.host, vcenter.user, vcenter.proxy) == (host, "CORP\\backup", None)


def test_a_refused_proxy_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[profiles.p.vcenter]\nhost = 'x'\nuser = 'u'\nproxy = 'ftp://u:hunter2@p:1'\n")
    with pytest.raises(SettingsError) as caught:
        load(config_file=path, environ={})
    assert "hunter2" not in str(caught.value)
    good = "[profiles.p.vcenter]\nhost = 'x'\nuser = 'u'\n"
    path.write_text(good)
    vcenter = load(config_file=path, environ={"VMIE_VCENTER_PROXY": "p:3128"}).profile().vcenter
    assert vcenter is not None and vcenter.proxy == "p:3128"


@pytest.mark.parametrize(
    ("text", "rate"),
    [("'50 MB'", 50_000_000), ("'1.5 MiB/s'", 3 << 19), ("'200kB'", 200_000), ("123456", 123_456), ("'1 GB'", 10**9)],
)
def test_how_fast_and_how_named(tmp_path: Path, text: str, rate: int) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"[profiles.p.aws]\nmax_rate = {text}\nami_name = '{{vm}}-{{date}}'\ntags = {{ team = 'ops' }}\n")
    aws = load(config_file=path, environ={}).profile().aws
    assert (aws.max_rate, aws.ami_name, aws.tags) == (rate, "{vm}-{date}", (("team", "ops"),))


def test_an_unknown_profile_names_those_there_are(config: Path) -> None:
    with pytest.raises(SettingsError, match="Choose one of: prod, lab"):
        load(config_file=config, environ={}).profile("nope")
    with pytest.raises(SettingsError, match="vmie-tui demo"):
        load(config_file=config.with_name("none.toml"), environ={}).profile()


def _with(config: Path, line: str) -> None:
    config.write_text(GOOD.replace('user = "svc"\n', f'user = "svc"\n{line}\n'))


def test_passwords_come_from_a_file_a_command_or_the_environment(config: Path, tmp_path: Path) -> None:
    profile = load(config_file=config, environ={}).profile()
    assert password_for(profile, {"VMIE_VCENTER_PASSWORD": "e"}) == "e"
    assert password_for(profile, {}) is None
    (tmp_path / "pw").write_text("f \n")
    _with(config, f'password_file = "{tmp_path / "pw"}"')
    for mode in (0o644, 0o604, 0o602):
        (tmp_path / "pw").chmod(mode)
        with pytest.raises(SettingsError, match=f"open to every user .*{mode:o}.* chmod 600 /.*/pw"):
            password_for(load(config_file=config, environ={}).profile(), {})
    (tmp_path / "pw").chmod(0o600)
    assert password_for(load(config_file=config, environ={}).profile(), {}) == "f "
    _with(config, 'password_command = ["printf", "c;$HOME"]')
    assert password_for(load(config_file=config, environ={}).profile(), {}) == "c;$HOME"
    for script, why in (
        ("echo marked-word; exit 3", "ended with 3"),
        ("echo marked-word >&2; exit 3", "ended with 3"),
        ("true", "printed nothing"),
        ("read line </dev/tty && echo $line", "ended with"),  # there is no terminal for it to ask on
        (r"printf '\\377'", "not text"),
    ):
        _with(config, f"password_command = ['sh', '-c', \"{script}\"]")
        with pytest.raises(SettingsError, match=f"password command failed: .*{why}") as caught:
            password_for(load(config_file=config, environ={}).profile(), {})
        assert "marked-word" not in "".join(traceback.format_exception(caught.value)).replace(script, "")


@pytest.mark.parametrize(
    ("ours", "env", "config", "credentials", "region", "origin"),
    [
        ('region = "eu-west-1"', {"AWS_REGION": "us-east-2"}, "", "", "eu-west-1", "config.toml"),
        ("", {"AWS_REGION": "us-east-2", "AWS_DEFAULT_REGION": "us-west-1"}, "", "", "us-east-2", "$AWS_REGION"),
        ("", {"AWS_DEFAULT_REGION": "us-west-1"}, "", "", "us-west-1", "$AWS_DEFAULT_REGION"),
        ("", {}, "[default]\nregion = ap-south-1\n", "", "ap-south-1", "aws-config"),
        ('profile = "ops"', {}, "[profile ops]\nregion=sa-east-1\n", "", "sa-east-1", "aws-config"),
        ('profile = "my ops"', {}, '[profile "my ops"]\nregion=sa-east-1\n', "", "sa-east-1", "aws-config"),
        ("", {"AWS_PROFILE": "ops"}, "[profile ops]\nregion = sa-east-1\n", "", "sa-east-1", "aws-config"),
        ("", {}, "[profile default]\nregion = sa-east-1\n", "", "sa-east-1", "aws-config"),
        ('profile = "ops"', {}, "[profile ops]\nregion = a\n", "[ops]\nregion = eu-west-3\n", "eu-west-3", "aws-keys"),
        ('profile = "ops"', {"AWS_REGION": "us-east-2"}, "[profile ops]\nregion = a\n", "", "us-east-2", "$AWS_REGION"),
        ('profile = "ops"', {}, "[default]\nregion = ap-south-1\n", "", "", "default"),
        ("", {}, "no ini at all", "", "", "default"),
        ('endpoint_url = "https://localhost:1"', {}, "[default]\nregion = ap-south-1\n", "", "", "default"),
    ],
)
def test_the_region_is_the_one_that_the_aws_tools_would_take(
    ours: str, env: dict[str, str], config: str, credentials: str, region: str, origin: str, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text(f"[profiles.p.aws]\n{ours}\n")
    (tmp_path / "aws-config").write_text(config)
    (tmp_path / "aws-keys").write_text(credentials)
    files = {
        "AWS_CONFIG_FILE": str(tmp_path / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "aws-keys"),
        "VMIE_STATE_DIR": str(tmp_path / "state"),
    }
    settings = load(config_file=tmp_path / "config.toml", environ={**files, **env})
    assert settings.profile("p").aws.region == region
    assert Path(settings.origin("p.aws.region")).name == origin


@pytest.mark.parametrize("owner", ["1234", "11112222333a", "١١١١٢٢٢٢٣٣٣٣", "1111 2222 3333"])
def test_a_buckets_owner_is_an_account(tmp_path: Path, owner: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[profiles.p.aws]\nbucket_owner = "{owner}"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match="12 digits"):
        load(state_dir=tmp_path, config_file=config, environ={})


@pytest.mark.parametrize("encryption", ["", 'encryption = "AES256"'])
def test_a_key_without_kms_is_refused(encryption: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[profiles.p.aws]\nkms_key_id = "alias/mine"\n{encryption}\n', encoding="utf-8")
    config.chmod(0o600)
    with pytest.raises(SettingsError, match="kms_key_id wants encryption"):
        load(config_file=config, state_dir=tmp_path)
    assert load(config_file=config, state_dir=tmp_path, environ={"VMIE_AWS_ENCRYPTION": "aws:kms"}).profile().aws
