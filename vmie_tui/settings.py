"""Settings: defaults < config.toml < environment (``VMIE_*``) < flags; each value knows where it came from.

The file lives in the user's config folder (platformdirs). Nothing secret is in it: a vCenter password comes from
``VMIE_VCENTER_PASSWORD``, a ``password_file``, a ``password_command`` or the keyring; AWS keys from the AWS files.

    default_profile = "prod"

    [profiles.prod.vcenter]
    host = "vcenter.corp"
    user = "svc-mig@vsphere.local"

    [profiles.prod.aws]
    profile = "ops"
    region = "eu-west-1"
    bucket = "migration-eu-west-1"
    max_rate = "50 MB"
    ami_name = "{vm}-{date}"
    tags = { team = "ops" }
"""

from __future__ import annotations

import configparser
import contextlib
import os
import re
import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from platformdirs import PlatformDirs

from vmie_tui.lazy_modules import load as load_late
from vmie_tui.model import naming
from vmie_tui.model.errors import ErrorKind, SettingsError
from vmie_tui.private_files import check_trusted
from vmie_tui.proxy import Proxy

DEMO = "demo"
READ_ONLY_VARIABLE = "VMIE_READ_ONLY"
FACTS_VARIABLE = "VMIE_FACTS_FILE"  # also `model.site_facts.VARIABLE`, which not every start has to load
CHECK_FACTS = "vmie_tui.model.facts:check"
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})
PATHS = frozenset({"ca_file", "ca_bundle", "password_file", "credentials_file"})
TEMPLATES = frozenset({"ami_name", "description"})
ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")  # of S3 objects, in the words of its API
SLOWEST = 100_000  # bytes a second; below, services give up on connections that are silent for too long
_RATE = re.compile(r"(\d+(?:\.\d+)?) ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?(?:/s)?")
_FACTORS = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_FACTORS |= {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
ALLOWED = {
    "port": "a number from 1 to 65535",
    "bucket_owner": "the 12 digits of an AWS account, in quotes",
    "encryption": " or ".join(ENCRYPTIONS),
    "max_rate": 'bytes a second of at least 100 kB, such as "50 MB" or 50000000',
    "tags": 'a table of texts without commas, such as { team = "ops" }',
    **{key: f"a text with any of {', '.join(f'{{{place}}}' for place in naming.PLACES)}" for key in sorted(TEMPLATES)},
}


@dataclass(frozen=True, slots=True)
class VCenterSettings:
    """How to reach a vCenter; no proxy is used for it and its hosts but `proxy` (`vmie_tui.proxy`)."""

    host: str
    user: str
    port: int = 443
    ca_file: Path | None = None
    thumbprint: str | None = None  # pins its certificate: SHA-1 or SHA-256, hex, colons or none
    password_file: Path | None = None
    password_command: tuple[str, ...] = ()
    proxy: str | None = field(default=None, repr=False)  # it may hold a password


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """How to reach AWS, and what imports there get when nothing else is said."""

    profile: str | None = None  # of the AWS files
    region: str = ""
    endpoint_url: str | None = None  # for the simulators
    ca_bundle: Path | None = None  # for the simulators, or a proxy
    credentials_file: Path | None = None
    bucket: str = ""
    bucket_owner: str = ""
    prefix: str = "vmie/"
    encryption: str = ""  # asked for with each upload (`ENCRYPTIONS`); "": the bucket's default
    kms_key_id: str = ""  # a key of one's own, for buckets whose policy demands it
    role_name: str = "vmimport"
    max_rate: int = 0  # bytes a second of all uploads together; 0: no limit
    ami_name: str = ""  # a template (`model.naming`)
    description: str = ""  # a template
    tags: tuple[tuple[str, str], ...] = ()  # of imports


@dataclass(frozen=True, slots=True)
class Profile:
    """One vCenter and one AWS account and Region, under a name."""

    name: str
    vcenter: VCenterSettings | None = None
    aws: AwsSettings = field(default_factory=AwsSettings)
    read_only: bool = False

    @property
    def demo(self) -> bool:
        return self.name == DEMO


@dataclass(frozen=True, slots=True)
class Settings:
    """All that was configured."""

    state_dir: Path
    cache_dir: Path
    config_file: Path
    table: Mapping[str, Profile]
    default_profile: str
    database_url: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)  # ``profile.section.key`` -> a file, variable or flag
    read_only: bool = False  # of every profile: by --read-only, VMIE_READ_ONLY or the file

    @property
    def log_dir(self) -> Path:
        return self.state_dir / "log"

    @property
    def demo_dir(self) -> Path:
        return self.state_dir / DEMO

    @property
    def configured(self) -> bool:
        """Whether there is a profile besides those of a demo that runs in the background."""
        return any(name.split("-")[0] != DEMO for name in self.table)

    def profiles(self) -> tuple[str, ...]:
        return tuple(self.table)

    def only_reads(self, name: str) -> bool:
        """Whether nothing of a profile may be changed; what is of one that is gone may be cleaned up."""
        found = self.table.get(name)
        return self.read_only or (found is not None and found.read_only)

    def profile(self, name: str | None = None) -> Profile:
        """The named profile, or the default one; SettingsError names those there are."""
        wanted = name or self.default_profile
        if wanted in self.table:
            return self.table[wanted]
        if not self.table:
            raise SettingsError(
                ErrorKind.INVALID,
                "no profile is configured yet",
                subject=str(self.config_file),
                remedy="Add one as shown in the README, or try the product with 'vmie-tui demo'",
            )
        raise SettingsError(
            ErrorKind.INVALID,
            f"there is no profile named {wanted!r}" if wanted else "no default profile is set",
            subject=str(self.config_file),
            remedy=f"Choose one of: {', '.join(self.table)} (--profile NAME, or default_profile in the file)",
        )

    def origin(self, key: str) -> str:
        return self.origins.get(key, "default")


T = TypeVar("T", VCenterSettings, AwsSettings)
_KINDS: dict[str, type[VCenterSettings] | type[AwsSettings]] = {"vcenter": VCenterSettings, "aws": AwsSettings}


def load(
    profile: str | None = None,
    *,
    state_dir: Path | None = None,
    config_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    read_only: bool = False,
) -> Settings:
    """Read everything there is. Raises SettingsError for a file that cannot be read or a key that is not known.

    ``read_only`` makes every profile so, whatever the file says; nothing can take it back.
    """
    env = os.environ if environ is None else environ
    dirs = PlatformDirs("vmie-tui", appauthor=False)
    config = config_file or _config_file(env)
    state = state_dir or Path(env.get("VMIE_STATE_DIR") or dirs.user_state_path)
    cache = Path(env.get("VMIE_CACHE_DIR") or (state / "cache" if "VMIE_STATE_DIR" in env else dirs.user_cache_path))
    origins: dict[str, str] = {}
    data = _read(config)
    table = _profiles(data.get("profiles", {}), config, origins)
    demo_file = state / DEMO / "profile.toml"
    table.update(_profiles(_read(demo_file).get("profiles", {}), demo_file, origins))
    default = profile or env.get("VMIE_PROFILE") or data.get("default_profile") or (next(iter(table)) if table else "")
    unknown = set(data) - {"profiles", "default_profile", "database_url", "facts_file", "read_only"}
    if unknown:
        known = "default_profile, database_url, facts_file, read_only, and tables such as [profiles.prod.aws]"
        raise _bad(config, f"unknown setting {sorted(unknown)[0]!r}; known: {known}")
    if default in table:
        table[default] = _from_environment(table[default], env, origins)
    for name, entry in table.items():
        if entry.aws.kms_key_id and not entry.aws.encryption.startswith("aws:kms"):
            place = Path(origins.get(f"{name}.aws.kms_key_id", config))
            raise _bad(place, f'profile {name!r}: kms_key_id wants encryption = "aws:kms" or "aws:kms:dsse" beside it')
    table = {name: _with_region(entry, env, origins) for name, entry in table.items()}
    database = env.get("VMIE_DATABASE_URL") or data.get("database_url")
    if database is not None and not isinstance(database, str):
        raise _bad(config, "database_url must be a text in quotes")
    safe = _read_only(read_only, env, data, config, origins)
    if safe:
        table = {name: replace(entry, read_only=True) for name, entry in table.items()}
    return Settings(state, cache, config, table, str(default), database, origins, safe)


def correct_facts() -> None:
    """Let the site's ``facts_file`` correct the documented facts. Comes before anything asks for one.

    What is wrong with the settings themselves `load` says. Raises SettingsError for a file that cannot correct them.
    """
    path = os.environ.get(FACTS_VARIABLE)
    config = _config_file(os.environ)
    if path is None:
        with contextlib.suppress(SettingsError):
            path = _read(config).get("facts_file")
    if not path:
        return
    if not isinstance(path, str):
        raise _bad(config, "facts_file must be the name of a file, in quotes")
    file = (config.parent / Path(path).expanduser()).absolute()
    try:
        load_late(CHECK_FACTS)(file)
    except OSError as error:
        raise _bad(file, f"the file of facts cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _bad(file, str(error)) from error
    os.environ[FACTS_VARIABLE] = str(file)  # the worker and the children that read disks judge by it too


def _config_file(env: Mapping[str, str]) -> Path:
    return Path(
        env.get("VMIE_CONFIG_FILE") or PlatformDirs("vmie-tui", appauthor=False).user_config_path / "config.toml"
    )


def _read_only(flag: bool, env: Mapping[str, str], data: dict[str, Any], path: Path, origins: dict[str, str]) -> bool:
    """Whether nothing may be changed by any profile; the first that says so is the origin."""
    configured = data.get("read_only", False)
    if not isinstance(configured, bool):
        raise _bad(path, "read_only must be true or false, without quotes")
    word = env.get(READ_ONLY_VARIABLE, "").strip().lower()
    if word not in _FALSE | _TRUE:
        raise _bad(Path(f"${READ_ONLY_VARIABLE}"), f"must be 1 or 0, not {word!r}")
    for said, origin in ((flag, "--read-only"), (word in _TRUE, f"${READ_ONLY_VARIABLE}"), (configured, str(path))):
        if said:
            origins["read_only"] = origin
            return True
    return False


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            check_trusted(path, os.fstat(file.fileno()))  # it names commands that are run
            return tomllib.loads(file.read().decode("utf-8-sig"))  # Windows editors put a byte order mark there
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _bad(path, f"the file cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        escaped = "'\\'" in str(error) or "hex value" in str(error)
        hint = "; write a name with a backslash in single quotes, 'CORP\\backup'" if escaped else ""
        raise _bad(path, f"the file is not valid TOML: {error}{hint}") from error


def _profiles(data: Any, path: Path, origins: dict[str, str]) -> dict[str, Profile]:
    if not isinstance(data, dict):
        raise _bad(path, "'profiles' must be tables such as [profiles.prod.aws]")
    table: dict[str, Profile] = {}
    for name, content in data.items():
        if not isinstance(content, dict):
            raise _bad(path, f"profile {name!r} must be a table")
        unknown = set(content) - {"vcenter", "aws", "read_only"}
        if unknown:
            raise _bad(
                path, f"profile {name!r} has an unknown setting {sorted(unknown)[0]!r}; known: aws, read_only, vcenter"
            )
        read_only = content.get("read_only", False)
        if not isinstance(read_only, bool):
            raise _bad(path, f"profile {name!r}: read_only must be true or false, without quotes")
        for section in ("vcenter", "aws"):
            if not isinstance(content.get(section, {}), dict):
                raise _bad(path, f"profile {name!r}: {section} must be a table such as [profiles.{name}.{section}]")
            for key in content.get(section, {}):
                origins[f"{name}.{section}.{key}"] = str(path)
        vcenter = content.get("vcenter")
        table[name] = Profile(
            name,
            _section(VCenterSettings, vcenter, name, path) if vcenter is not None else None,
            _section(AwsSettings, content.get("aws", {}), name, path),
            read_only,
        )
    return table


def _section(kind: type[T], data: dict[str, Any], name: str, path: Path) -> T:
    known = {item.name: item for item in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in known:
            raise _bad(path, f"profile {name!r} has an unknown setting {key!r}; known: {', '.join(known)}")
        values[key] = _convert(key, value, name, path)
    try:
        return kind(**values)
    except TypeError as error:
        missing = ", ".join(key for key in ("host", "user") if key not in values)
        raise _bad(path, f"profile {name!r} lacks {missing}") from error


def _convert(key: str, value: Any, name: str, path: Path) -> Any:
    if key == "port":
        if isinstance(value, int) and 0 < value < 1 << 16:
            return value
    elif key == "password_command":
        if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
            return tuple(value)
        raise _bad(path, f"profile {name!r}: password_command must be a list of words, run without a shell")
    elif key == "max_rate":
        if (found := _RATE.fullmatch(str(value))) and not isinstance(value, bool):
            rate = int(float(found[1]) * _FACTORS[found[2] or ""])
            if rate >= SLOWEST:
                return rate
    elif key in {"bucket_owner", "encryption"}:
        allowed_text = "[0-9]{12}" if key == "bucket_owner" else "|".join(map(re.escape, ENCRYPTIONS))
        if isinstance(value, str) and re.fullmatch(allowed_text, value):
            return value
    elif key == "tags":
        if isinstance(value, dict) and all(isinstance(text, str) and "," not in k + text for k, text in value.items()):
            return tuple(value.items())
    elif isinstance(value, str) and not (key in TEMPLATES and naming.unknown_place(value)):
        return _text(key, value, name, path)
    allowed = ALLOWED.get(key, "a text in quotes")
    raise _bad(path, f"profile {name!r}: {key} has a value of the wrong kind: {value!r}; allowed: {allowed}")


def _text(key: str, value: str, name: str, path: Path) -> str | Path | None:
    """A setting that is a text; those of vCenter are looked at."""
    if key in PATHS:
        return Path(value).expanduser()
    try:
        return _VCENTER[key](value) if key in _VCENTER else value
    except ValueError as error:
        shown = "" if key == "proxy" else f" {value!r}"  # that of a proxy may hold a password
        raise _bad(path, f"profile {name!r}: {key}{shown} cannot be right: {error}") from None


def host_trouble(text: str) -> str:
    """Why a text is no name or address of a vCenter, with what to write; "" for one that may be."""
    if control := _control(text):
        return control
    if not text or text != text.strip() or " " in text:
        return "a name or an address has no blanks, and is not empty"
    if "://" in text or "/" in text:
        return "give the name alone, without https:// and without a path"
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if "@" in text or "[" in inner or "]" in inner:
        return "give the name alone; the port has a setting of its own"
    if inner.count(":") == 1:
        return "give the port apart: port = 443"
    return ""


def _host(text: str) -> str:
    if why := host_trouble(text):
        raise ValueError(why)
    return text


def _user(text: str) -> str:
    if why := _control(text) or ("" if text.strip() else "it is empty"):
        raise ValueError(why)
    return text


def _proxy(text: str) -> str | None:
    return text if text.strip() and Proxy.parse(text) else None


def _control(text: str) -> str:
    found = next((sign for sign in text if unicodedata.category(sign) == "Cc"), "")
    if not found:
        return ""
    return (
        "it holds a control character. In double quotes TOML takes \\b, \\n and the like for one: write a name with a "
        "backslash in single quotes, 'CORP\\backup'"
    )


_VCENTER: dict[str, Callable[[str], str | None]] = {"host": _host, "user": _user, "proxy": _proxy}


def _from_environment(profile: Profile, env: Mapping[str, str], origins: dict[str, str]) -> Profile:
    """``VMIE_AWS_REGION``, ``VMIE_VCENTER_HOST`` and so on change the profile in use."""
    sections: dict[str, VCenterSettings | AwsSettings | None] = {"vcenter": profile.vcenter, "aws": profile.aws}
    for section, kind in _KINDS.items():
        values: dict[str, Any] = {}
        for item in fields(kind):
            variable = f"VMIE_{section}_{item.name}".upper()
            if variable in env and item.name not in {"password_command", "tags"}:
                text = env[variable]
                value: Any = int(text) if item.name == "port" and text.isdigit() else text
                values[item.name] = _convert(item.name, value, profile.name, Path(f"${variable}"))
                origins[f"{profile.name}.{section}.{item.name}"] = f"${variable}"
        current = sections[section]
        if values and current is not None:
            sections[section] = replace(current, **values)
    vcenter, aws = sections["vcenter"], sections["aws"]
    assert isinstance(aws, AwsSettings)
    assert vcenter is None or isinstance(vcenter, VCenterSettings)
    return replace(profile, vcenter=vcenter, aws=aws)


def _with_region(profile: Profile, env: Mapping[str, str], origins: dict[str, str]) -> Profile:
    """The profile with the Region that the AWS tools would take, where ours says none.

    In the order of the AWS SDKs and Tools guide: AWS_REGION, AWS_DEFAULT_REGION, then ``region`` of the AWS profile.
    A profile with an endpoint of its own (a simulator's) asks no AWS file.
    """
    if profile.aws.region:
        return profile
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if env.get(variable):
            region, origin = env[variable], f"${variable}"
            break
    else:
        region, origin = ("", "") if profile.aws.endpoint_url else _region_in_files(profile.aws, env)
    if not region:
        return profile
    origins[f"{profile.name}.aws.region"] = origin
    return replace(profile, aws=replace(profile.aws, region=region))


def _region_in_files(aws: AwsSettings, env: Mapping[str, str]) -> tuple[str, str]:
    """The ``region`` of the AWS profile and the file it stands in; ("", "") where neither file has one."""
    named = aws.profile or (None if aws.credentials_file else env.get("AWS_DEFAULT_PROFILE") or env.get("AWS_PROFILE"))
    name = named or "default"
    credentials = aws.credentials_file or Path(env.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
    config = Path(env.get("AWS_CONFIG_FILE") or "~/.aws/config")
    sections = ("default", "profile default") if name == "default" else (f"profile {name}", f'profile "{name}"')
    for path, wanted in ((credentials, (name,)), (config, sections)):
        parser = configparser.RawConfigParser(default_section="", strict=False)
        try:
            parser.read_string(path.expanduser().read_text(encoding="utf-8"))
        except (OSError, UnicodeError, configparser.Error):
            continue  # whoever signs in with it says what is wrong
        for section in wanted:
            if parser.has_option(section, "region"):
                return parser.get(section, "region").strip(), str(path)
    return "", ""


def _bad(path: Path, what: str) -> SettingsError:
    return SettingsError(ErrorKind.INVALID, what, subject=str(path), remedy="Correct it and start again")
