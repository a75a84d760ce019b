"""Files of their owner alone: whatever the umask, and no trap of another user is stepped into."""

from __future__ import annotations

import fcntl
import grp
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vmie_tui import private_files
from vmie_tui.jobs.store.store import Store
from vmie_tui.jobs.worker import _PrivateLog
from vmie_tui.model.errors import ErrorKind, ServiceError, SettingsError
from vmie_tui.model.plan import ImportPlan, VmSource
from vmie_tui.pidlock import PidLock, holder
from vmie_tui.private_files import private_database, private_dir, private_fd, safe_name, write_private
from vmie_tui.services.task_history import History
from vmie_tui.settings import load

PLAN = ImportPlan("prod", VmSource("vcenter.corp", "vm-1", "web-01"), "eu-west-1", "bucket")


def use_store(state: Path) -> None:
    store = Store(state)
    store.create(PLAN)
    store.close()


def use_history(state: Path) -> None:
    History(state).close()


def use_lock(state: Path) -> None:
    with PidLock(private_dir(state) / "worker.lock") as lock:
        assert lock.acquire()


def use_log(state: Path) -> None:
    _PrivateLog(private_dir(private_dir(state) / "log") / "engine.log").close()


USES = {"vmie.db": use_store, "history.db": use_history, "worker.lock": use_lock, "log/engine.log": use_log}
every_use = pytest.mark.parametrize(("name", "use"), USES.items(), ids=USES)
Use = Callable[[Path], None]


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {str(path): stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}


def test_everything_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    state = tmp_path / "a" / "b" / "state"
    store, history = Store(state), History(state)
    store.create(PLAN)
    use_lock(state)
    handler = _PrivateLog(private_dir(state / "log") / "engine.log", maxBytes=200, backupCount=3)
    for number in range(20):  # it turns over
        handler.stream.write(f"{number} {'x' * 90}\n")
        handler.doRollover() if number % 5 == 4 else None
    write_private(private_dir(state / "copied") / "x", b"x")
    found = modes(tmp_path / "a")
    assert {"vmie.db-wal", "vmie.db-shm", "history.db-wal", "engine.log.1"} <= {Path(name).name for name in found}
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}
    handler.close()
    history.close()
    store.close()


@every_use
def test_a_file_that_was_open_to_others_is_closed_to_them(tmp_path: Path, name: str, use: Use) -> None:
    (tmp_path / "state" / name).parent.mkdir(parents=True)
    (tmp_path / "state").chmod(0o755)
    (tmp_path / "state" / name).touch()
    (tmp_path / "state" / name).chmod(0o666)
    use(tmp_path / "state")
    assert {path: oct(mode) for path, mode in modes(tmp_path / "state").items() if mode & 0o077} == {}


@every_use
@pytest.mark.parametrize("trap", ["link", "dangling", "pipe", "folder"])
def test_a_trap_in_place_of_a_file_is_refused(tmp_path: Path, name: str, use: Use, trap: str) -> None:
    place, victim = tmp_path / "state" / name, tmp_path / "victim"
    place.parent.mkdir(parents=True)
    if trap == "link":
        victim.write_text("precious")
    if trap in {"link", "dangling"}:
        place.symlink_to(victim)
    elif trap == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(ServiceError) as caught:
        use(tmp_path / "state")
    assert caught.value.kind is ErrorKind.LOCAL
    assert str(place) in str(caught.value) and caught.value.problem.remedy
    assert victim.read_text() == "precious" if trap == "link" else not victim.exists()


def test_who_holds_a_lock_is_not_asked_of_a_link(tmp_path: Path) -> None:
    with PidLock(tmp_path / "real") as lock:
        assert lock.acquire()
        (tmp_path / "lock").symlink_to(tmp_path / "real")
        assert holder(tmp_path / "real") == os.getpid()
        assert holder(tmp_path / "lock") is None


def test_a_folder_that_everybody_may_exchange_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ServiceError, match="everybody may exchange it") as caught:
        private_dir(tmp_path / "open" / "a" / "state")
    assert f"chmod o-w {tmp_path}/open" in caught.value.problem.remedy
    (tmp_path / "open").chmod(0o1777)  # as /tmp is: only its owner may rename what is in it
    private_dir(tmp_path / "open" / "a" / "state")
    with pytest.raises(ServiceError, match="shared by everybody"):
        private_dir(tmp_path / "open")


def test_a_link_on_the_way_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    assert private_dir(tmp_path / "home" / "state").is_dir()
    (tmp_path / "disk").chmod(0o777)
    with pytest.raises(ServiceError, match="everybody may exchange it"):
        private_dir(tmp_path / "home" / "state")


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(ServiceError, match="cannot be used"):
        private_dir(tmp_path / "x")


def test_only_new_means_new(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(FileExistsError):
        private_fd(tmp_path / "x", new=True)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("vmie-import-ami-1.zip", "vmie-import-ami-1.zip"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("a\x1b[31m\nb\u202e", "a__31m_b_"),
    ],
)
def test_names_stay_in_their_folder(text: str, name: str) -> None:
    assert safe_name(text) == name
    assert len(safe_name("x" * 10_000)) <= 120


# -- a second user of the machine: only where we may become one

SECOND = """
import json, os, sys
state, user = sys.argv[1], int(sys.argv[2])
os.setgroups([]); os.setegid(user); os.seteuid(user)
got = {}
for name in json.loads(sys.argv[3]):
    path = os.path.join(state, name)
    for how, flags in (("read", os.O_RDONLY), ("write", os.O_WRONLY)):
        try:
            os.close(os.open(path, flags))
            got[name + ":" + how] = "opened"
        except OSError as error:
            got[name + ":" + how] = type(error).__name__
try:
    got["list"] = os.listdir(state)
except OSError as error:
    got["list"] = type(error).__name__
print(json.dumps(got))
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
ANOTHER = 54321


@as_root
def test_another_user_reads_nothing_though_the_way_is_open() -> None:
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    try:
        folder.chmod(0o755)
        state = folder / "state"
        for use in USES.values():
            use(state)
        words = [sys.executable, "-c", SECOND, str(state), str(ANOTHER), json.dumps(list(USES))]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
        assert set(json.loads(done.stdout).values()) == {"PermissionError"}
    finally:
        shutil.rmtree(folder)


@as_root
@every_use
def test_what_belongs_to_another_user_is_refused(tmp_path: Path, name: str, use: Use) -> None:
    theirs = tmp_path / "state" / name
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    os.chown(theirs, ANOTHER, ANOTHER)
    with pytest.raises(ServiceError, match="the file belongs to another user"):
        use(tmp_path / "state")
    theirs.unlink()
    os.chown(tmp_path / "state", ANOTHER, ANOTHER)
    with pytest.raises(ServiceError, match="the folder belongs to another user"):
        use(tmp_path / "state")


@as_root
def test_a_place_in_another_users_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", ANOTHER, ANOTHER)
    with pytest.raises(ServiceError, match="another user may exchange it"):
        private_dir(tmp_path / "home" / "state")


def test_a_database_that_is_opened_again_keeps_the_locks_of_this_process(tmp_path: Path) -> None:
    """SQLite's locks are POSIX ones: to close any descriptor of the file would drop them for the whole process."""
    path = tmp_path / "state" / "vmie.db"
    private_database(path)
    helper = path.with_name(path.name + "-shm")
    helper.touch()
    steal = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with path.open("r+b") as first, helper.open("r+b") as second:
        for held in (first, second):
            fcntl.lockf(held, fcntl.LOCK_SH)
        private_database(path)
        for name in (path, helper):
            other = subprocess.run(
                [sys.executable, "-c", steal, str(name)], capture_output=True, text=True, check=False
            )
            assert "BlockingIOError" in other.stderr, name.name


def test_a_folder_on_the_way_that_a_group_may_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    team = tmp_path / "team"
    team.mkdir()
    team.chmod(0o775)
    monkeypatch.setattr(private_files, "_private_group", lambda gid: False)
    with pytest.raises(ServiceError, match="a group may exchange it"):
        private_files.private_dir(team / "state")
    monkeypatch.setattr(private_files, "_private_group", lambda gid: True)
    private_files.private_dir(team / "state")


@pytest.mark.parametrize("links", ["link", "inner/../link", "first"])
def test_a_link_that_lies_where_all_may_write_is_refused(tmp_path: Path, links: str) -> None:
    """The way is walked as it is written, and as each link goes on."""
    free, real = tmp_path / "free", tmp_path / "real"
    for folder in (free, real, free / "inner"):
        folder.mkdir()
    free.chmod(0o777)
    (free / "link").symlink_to(real)
    (tmp_path / "first").symlink_to(free / "link")
    way = tmp_path / "first" if links == "first" else free / links
    with pytest.raises(ServiceError, match="everybody may exchange it"):
        private_files.private_dir(way / "state")
    free.chmod(0o755)
    private_files.private_dir(way / "state")


def test_links_that_lead_round_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ServiceError):
        private_files.private_dir(tmp_path / "a" / "state")


@pytest.mark.parametrize(
    ("mode", "plain", "secret"),
    [
        (0o600, True, True),
        (0o400, True, True),
        (0o640, True, False),
        (0o644, True, False),
        (0o604, True, False),
        (0o660, False, False),
        (0o620, False, False),
        (0o602, False, False),
        (0o666, False, False),
    ],
)
def test_a_file_that_is_obeyed_is_its_owners_to_write(
    tmp_path: Path, mode: int, plain: bool, secret: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_files, "_private_group", lambda gid: False)
    path = tmp_path / "it's a file"
    path.write_text("x")
    path.chmod(mode)
    for wanted, ok in ((False, plain), (True, secret)):
        if ok:
            private_files.trusted_file(path, secret=wanted)
            continue
        with pytest.raises(SettingsError) as caught:
            private_files.trusted_file(path, secret=wanted)
        assert caught.value.kind is (ErrorKind.LOGIN if wanted else ErrorKind.INVALID)
        assert "chmod" in caught.value.problem.remedy
        assert "'\"'\"'" in caught.value.problem.remedy


def seen(mode: int, uid: int, gid: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


ME, MINE, TEAM, TEAMLESS, SHARED = 1501, 2501, 2600, 2700, 2502


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with a group of their own, a team they are in, and a group whose members only LDAP knows."""
    users = [("root", 0, 0), ("me", ME, MINE), ("other", 1502, SHARED)]
    rows = {uid: pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh")) for name, uid, gid in users}
    members: dict[int, list[str]] = {0: [], MINE: [], TEAM: ["me", "other"], TEAMLESS: [], SHARED: ["me"]}
    monkeypatch.setattr(os, "geteuid", lambda: ME)
    monkeypatch.setattr(pwd, "getpwuid", rows.__getitem__)
    monkeypatch.setattr(pwd, "getpwall", lambda: list(rows.values()))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((str(gid), "x", gid, members[gid])))


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize(
    ("mode", "uid", "gid", "plain", "secret"),
    [
        (0o664, ME, MINE, True, False),  # umask 002; everybody may read the config, which holds no secret
        (0o660, ME, MINE, True, True),
        (0o640, ME, MINE, True, True),
        (0o640, ME, TEAM, True, False),
        (0o660, ME, TEAM, False, False),
        (0o664, ME, TEAM, False, False),
        (0o664, ME, TEAMLESS, False, False),
        (0o660, ME, SHARED, False, False),
        (0o640, 0, TEAM, True, True),  # what an administrator gives to a service
        (0o660, 0, TEAM, False, False),
        (0o640, 0, 0, True, True),
        (0o644, 0, 0, True, False),
        (0o666, ME, MINE, False, False),
        (0o600, 1502, MINE, False, False),
    ],
)
def test_the_group_of_the_user_alone_is_nobody_else(mode: int, uid: int, gid: int, plain: bool, secret: bool) -> None:
    for wanted, ok in ((False, plain), (True, secret)):
        if ok:
            private_files.check_trusted(Path("/f"), seen(mode, uid, gid), secret=wanted)
            continue
        with pytest.raises(SettingsError) as caught:
            private_files.check_trusted(Path("/f"), seen(mode, uid, gid), secret=wanted)
        assert "chmod" in caught.value.problem.remedy
        assert f"{mode:04o}" in caught.value.problem.what or uid not in {0, ME}


@pytest.mark.usefixtures("accounts")
def test_a_group_that_others_are_in_is_not_private() -> None:
    assert [gid for gid in (0, MINE, TEAM, TEAMLESS, SHARED) if private_files._private_group(gid)] == [0, MINE]


def test_a_file_of_another_user_is_not_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text("")
    monkeypatch.setattr(private_files, "_trusted", lambda: frozenset({path.stat().st_uid + 1}))
    with pytest.raises(SettingsError, match="another user"):
        private_files.trusted_file(path)


@pytest.mark.parametrize("which", ["config", "demo"])
def test_settings_that_others_may_write_are_refused(tmp_path: Path, which: str) -> None:
    config, demo = tmp_path / "config.toml", tmp_path / "state" / "demo" / "profile.toml"
    demo.parent.mkdir(parents=True)
    for path in (config, demo):
        path.write_text("")
        path.chmod(0o600)
    load(state_dir=tmp_path / "state", config_file=config, environ={})
    (config if which == "config" else demo).chmod(0o666)
    with pytest.raises(SettingsError, match="others may write"):
        load(state_dir=tmp_path / "state", config_file=config, environ={})
