"""Tests on the user's own vCenter and AWS what the product assumes of them, and removes what it created.

Only a real site can prove some of what the code relies on (docs/unproven.md lists it). Each step uses the code that
jobs use, asks before it begins, and cleans up after itself, also when it fails or is interrupted. The report names no
host, account, bucket or virtual machine, so that it can go into an issue as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPException
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from vmie_tui import __version__, known_secrets
from vmie_tui.close_on_exit import Closing
from vmie_tui.model.errors import ErrorKind, Problem, ServiceError, VmieError
from vmie_tui.model.explain import role_probes
from vmie_tui.model.formatting import size
from vmie_tui.model.machine import Machine, Power
from vmie_tui.model.rules.secrets import redacted
from vmie_tui.services.aws.ebs.block_ledger import MemoryJournal
from vmie_tui.services.aws.ebs.snapshot_reader import BLOCK, SnapshotReader
from vmie_tui.services.aws.ebs.snapshot_writer import SnapshotTarget, SnapshotWriter
from vmie_tui.services.aws.ebs.start_snapshot import state_of
from vmie_tui.services.aws.ec2.job_resources import delete_snapshot, tagged_snapshots
from vmie_tui.services.aws.iam.role_probes import Outcome as Looked
from vmie_tui.services.aws.iam.role_probes import RoleCase, probe_role_error
from vmie_tui.services.aws.s3.multipart import SMALLEST_PART
from vmie_tui.services.aws.s3.objects import ObjectStore
from vmie_tui.services.aws.s3.range_reader import S3Object
from vmie_tui.services.aws.s3.resumable_upload import UploadRequest
from vmie_tui.services.aws.session import BLOCKS, PARTS, Aws
from vmie_tui.services.aws.vmie.import_tasks import ImageRequest, ImportDisk, ImportTasks, SnapshotRequest
from vmie_tui.services.disks.formats.vmdk_stream import StreamDecoder
from vmie_tui.services.doctor.check_context import Patient, Skip
from vmie_tui.services.pacing import Poll
from vmie_tui.services.vsphere.changed_blocks import (
    ALLOCATED,
    SnapshotDisk,
    changed_areas,
    disable_tracking,
    enable_tracking,
    snapshot_disks,
)
from vmie_tui.services.vsphere.datastore.flat_file import FlatConnection, FlatFile
from vmie_tui.services.vsphere.datastore.folder_reader import FolderReader
from vmie_tui.services.vsphere.inventory import read_machine
from vmie_tui.services.vsphere.nfc.export_lease import ExportLease, LeaseDisk
from vmie_tui.services.vsphere.session import VSphere
from vmie_tui.services.vsphere.snapshot import Snapshot, create_snapshot, find_snapshot, remove_snapshot
from vmie_tui.settings import AwsSettings, Profile

MEGABYTE = 1 << 20
RANGE = 64 << 10  # bytes of a range in the middle and at the end of a disk
LATE_SECONDS = 20.0  # how long a snapshot whose making was cut off is looked for
EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"  # no file that is served has this date
_USUAL = AwsSettings()  # names that everybody has tell nothing
MARK = "vmie-tui-doctor"  # key of the tag of what is made in EC2


class Saw(StrEnum):
    """The outcome of one assumption."""

    HELD = "held"
    DIFFERED = "differed"
    BLOCKED = "blocked"  # it could not be tried: no right, no connection, no sign-in
    UNSEEN = "not seen"  # nothing at this site shows it
    NOTED = "noted"  # no assumption, but worth knowing in an issue

    @property
    def words(self) -> str:
        return "could not be tried" if self is Saw.BLOCKED else self.value

    @property
    def glyph(self) -> str:
        return {"held": "✔", "differed": "▲", "blocked": "✖"}.get(self.value, "·")


class Outcome(StrEnum):
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


# What each step tries: its id -> what the product assumes. docs/unproven.md has the same ids.
ASSUMPTIONS: dict[str, str] = {
    "vcenter.sign-in": "vCenter lets the profile in",
    "aws.sign-in": "AWS lets the profile in, and this machine's clock is right",
    "lease.ready": "an export lease gets ready, of a VM that is off or of a snapshot",
    "lease.disks": "the lease offers each disk once",
    "lease.place": "the disk's URL leads to a host that this machine reaches, with the certificate that vCenter names",
    "lease.bytes": "a megabyte of the disk comes without a break",
    "lease.format": "what comes is a streamOptimized VMDK of the disk's capacity",
    "snapshot.made": "a snapshot without memory can be made and found by its name",
    "snapshot.removed": "the snapshot is removed and its disks need no consolidation",
    "cbt.change-id": "a disk in a snapshot has a change id exactly when changes are tracked",
    "cbt.enable": "change tracking can be switched on for a VM without snapshots",
    "cbt.allocated": "vCenter says what of a disk was ever written",
    "cbt.nothing": "between a snapshot's own change id and the snapshot nothing changed",
    "folder.read": "vCenter serves ranges of the frozen base over /folder",
    "folder.running": "the frozen base of a running VM can be read",
    "folder.size": "the flat file has the disk's capacity",
    "folder.steady": "the frozen base reads the same twice",
    "folder.dates": "/folder tells Last-Modified or an ETag",
    "folder.if-range": "If-Range with another date is answered with the whole file",
    "folder.twice": "vCenter decodes the names in a /folder URL twice",
    "folder.inner-path": "a datacenter inside folders is named by its path, with / between the folders",
    "host.ticket": "the VM's own host serves the file with a service ticket",
    "host.name": "the ticket names a host that this machine reaches",
    "host.once": "a host decodes the names in a /folder URL once",
    "s3.bucket": "the bucket is in the Region, and belongs to the expected account",
    "s3.upload": "an upload in two parts with CRC64NVME of the whole object is taken",
    "s3.part-echo": "UploadPart's answer names the part's checksum",
    "s3.object-echo": "CompleteMultipartUpload or HeadObject names the object's checksum",
    "s3.read": "the object reads back the same by ranges",
    "s3.gone": "the object is deleted, and no version of it stays",
    "ebs.upload": "EBS direct takes a snapshot of one block",
    "ebs.put-echo": "PutSnapshotBlock's answer names the block's checksum",
    "ebs.complete": "the snapshot completes with a LINEAR checksum",
    "ebs.read": "the block reads back the same",
    "ebs.gone": "the snapshot is deleted",
    "import.image": "ImportImage of an object in S3 passes a dry run",
    "import.of-snapshot": "ImportImage of an EBS snapshot passes a dry run",
    "import.snapshot": "ImportSnapshot passes a dry run",
    **{f"role.{probe.id}": f"not the case: {probe.title}" for probe in role_probes()},
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was observed of one assumption."""

    id: str
    saw: Saw
    seen: str  # fit for an issue
    code: str = ""  # the service's own error code

    def to_json(self) -> dict[str, Any]:
        found = {"id": self.id, "assumed": ASSUMPTIONS.get(self.id, ""), "saw": self.saw.value, "seen": self.seen}
        return {**found, "code": self.code} if self.code else found


@dataclass(frozen=True, slots=True)
class StepReport:
    """How a step went."""

    id: str
    title: str
    outcome: Outcome
    why: str = ""  # it was skipped, or ended early
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()
    left: tuple[str, ...] = ()  # what could not be removed
    kind: ErrorKind | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "outcome": self.outcome.value,
            "why": self.why,
            "seconds": round(self.seconds, 1),
            "findings": [finding.to_json() for finding in self.findings],
            "left": list(self.left),
        }


@dataclass(frozen=True, slots=True)
class LiveReport:
    """All steps in their order, skipped ones too."""

    steps: tuple[StepReport, ...]
    read_only: bool = False
    interrupted: bool = False

    def count(self, saw: Saw) -> int:
        return sum(finding.saw is saw for step in self.steps for finding in step.findings)

    @property
    def clean(self) -> bool:
        """Whether every assumption tested held, and nothing was left behind."""
        bad = self.count(Saw.DIFFERED) + self.count(Saw.BLOCKED)
        return not bad and not any(step.left or step.outcome is Outcome.FAILED for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        return {
            "vmie_tui": __version__,
            "read_only": self.read_only,
            "interrupted": self.interrupted,
            "counts": {saw.value: self.count(saw) for saw in Saw},
            "steps": [step.to_json() for step in self.steps],
        }


# -- what the report must not tell

_WHOLE: tuple[tuple[re.Pattern[str], str], ...] = (  # taken out before the names in them
    (re.compile(r"\b(?:https?|s3)://[^\s'\"<>)]+", re.I), "<url>"),
    (re.compile(r"\barn:aws[\w-]*:[^\s'\",<>)]+"), "<arn>"),
    (re.compile(r"\[[^\]\n]{1,100}\] [^\n'\"<>]{0,400}?\.vmdk"), "<disk file>"),
)
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.I), "<uuid>"),
    (re.compile(r"\b(?:[0-9a-f]{2}[:-]){5,}[0-9a-f]{2}\b", re.I), "<fingerprint>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "<address>"),
    (re.compile(r"(?<![\w:])\[?(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}\]?(?![\w:])", re.I), "<address>"),
    (re.compile(r"(?<!\d)\d{12}(?!\d)"), "<account>"),
    (re.compile(r"\b[\w.+-]+@[\w.-]+\b"), "<user>"),
    (re.compile(r"\b(snap|vol|ami|i|import-ami|import-snap|vm|host|datastore|snapshot)-[0-9a-f]+\b"), r"<\1 id>"),
    (re.compile(r"(?<![\w.-])(?!vim\.|vmodl\.|config\.|runtime\.|info\.|[\w.-]*amazonaws\.com)"
                r"(?:[a-z0-9](?:[\w-]*[a-z0-9])?\.)+[a-z]{2,24}\b(?!\()", re.I), "<host>"),
)  # fmt: skip


class Placeholders:
    """Replaces names in foreign texts by placeholders: those of this site, and whatever looks like one."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def learn(self, placeholder: str, *names: str) -> None:
        for name in names:
            if name and len(name) > 1:
                self._names.setdefault(name, f"<{placeholder}>")

    def masked(self, text: str) -> str:
        """``text`` in one line, without names or secrets."""
        text = known_secrets.hidden(" ".join(text.split()))
        for shape, put in _WHOLE:
            text = shape.sub(put, text)
        for name in sorted(self._names, key=len, reverse=True):
            text = re.sub(rf"(?<![\w<]){re.escape(name)}(?![\w>])", self._names[name], text, flags=re.I)
        for shape, put in _SHAPES:
            text = shape.sub(put, text)
        return redacted(text)


# -- a step while it runs


class _Ended(Exception):
    """The step cannot go on; what stopped it is among its findings."""


@dataclass(slots=True)
class Run:
    """A running step: its resources, its findings, and its clean-up."""

    live: Live
    findings: list[Finding] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    kind: ErrorKind | None = None
    why: str = ""
    _undo: list[tuple[str, str, Callable[[], None]]] = field(default_factory=list)

    @property
    def vsphere(self) -> VSphere:
        return self.live.vsphere()

    @property
    def machine(self) -> Machine:
        assert self.live.machine is not None
        return self.live.machine

    @property
    def aws(self) -> Aws:
        return self.live.aws()

    def held(self, ident: str, seen: str) -> None:
        self.findings.append(Finding(ident, Saw.HELD, seen))

    def differed(self, ident: str, seen: str) -> None:
        self.findings.append(Finding(ident, Saw.DIFFERED, seen))

    def unseen(self, ident: str, seen: str) -> None:
        self.findings.append(Finding(ident, Saw.UNSEEN, seen))

    def noted(self, seen: str) -> None:
        self.findings.append(Finding("noted", Saw.NOTED, seen))

    def judge(self, ident: str, good: bool, held: str, differed: str) -> None:
        """Records that the assumption held, or differed."""
        self.findings.append(Finding(ident, Saw.HELD if good else Saw.DIFFERED, held if good else differed))

    @contextlib.contextmanager
    def proving(self, ident: str, *, fatal: bool = True) -> Iterator[None]:
        """An error inside belongs to this assumption; it ends the step if ``fatal``."""
        try:
            yield
        except VmieError as error:
            problem = error.problem
            saw = Saw.BLOCKED if problem.kind in _NOT_TRIED else Saw.DIFFERED
            words = self.live.words_of(problem)
            self.findings.append(Finding(ident, saw, words, problem.code))
            self.kind = self.kind or problem.kind
            if fatal:
                self.why = words
                raise _Ended from error

    def undo(self, what: str, name: str, take_away: Callable[[], None]) -> None:
        """``take_away`` is called at the step's end; when it fails, ``what`` was left behind, called ``name``."""
        self._undo.append((what, name, take_away))

    def clean_up(self) -> None:
        """Removes what the step created, last first. Never raises; a second interrupt leaves that one item behind."""
        while self._undo:
            what, name, take_away = self._undo.pop()
            try:
                with self.live.undisturbed(f"{what} is taken away first"):
                    take_away()
            except KeyboardInterrupt:
                self._leave(what, name, "interrupted")
            except VmieError as error:
                self._leave(what, name, error.problem.what, error.problem.detail)
            except Exception as error:  # noqa: BLE001 - whatever it is, the rest is still to be taken away
                self._leave(what, name, type(error).__name__, str(error))

    def _leave(self, what: str, name: str, why: str, detail: str = "") -> None:
        words = f"{why} ({' '.join(detail.split())})" if detail else why
        self.live.say(f"could not be removed: {what} {name}: {words}")
        self.left.append(f"{what}: {self.live.names.masked(words)}")


_NOT_TRIED = frozenset(
    {ErrorKind.LOGIN, ErrorKind.PERMISSION, ErrorKind.THROTTLED, ErrorKind.NETWORK, ErrorKind.LOCAL, ErrorKind.TLS}
)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the live check."""

    id: str
    title: str
    does: Callable[[Live], str]  # what it will do, said before anybody is asked
    run: Callable[[Run], None]
    vcenter: bool = False
    bucket: bool = False
    lighter: Callable[[Run], None] | None = None  # what is left of it in a read-only profile; None: nothing


class Live(Closing):
    """One run. A context manager; for the main thread, whose Ctrl+C it turns into the end of a step.

    ``find``: the virtual machine to try, None for AWS's part alone. ``ask``: whether a step may begin; None agrees to
    all. ``say``: takes a line for the user's eyes, with real names. Raises ServiceError when there is no such machine.
    """

    def __init__(
        self,
        patient: Patient,
        find: Callable[[VSphere], Machine] | None,
        *,
        ask: Callable[[Step, str], bool] | None,
        say: Callable[[str], None],
        done: Callable[[StepReport], None] = lambda report: None,
    ) -> None:
        self.patient, self.names = patient, Placeholders()
        self.machine: Machine | None = None
        self.token = secrets.token_hex(4)
        self.heard = False  # Ctrl+C, in the step under way
        self.over = False  # no further step begins
        self.say = say
        self._find, self._ask, self._done = find, ask, done
        self._vsphere: VSphere | None = None
        self._aws_works = False
        self._repeated: Counter[str] = Counter()  # codes of answers to AWS's clients that may pass

    # -- what steps use

    @property
    def profile(self) -> Profile:
        return self.patient.profile

    def vsphere(self) -> VSphere:
        if self._vsphere is None:
            self._vsphere = self.patient.open_vsphere(read_only=self.profile.read_only)
        return self._vsphere

    def aws(self) -> Aws:
        return self.patient.aws()

    def words_of(self, problem: Problem) -> str:
        """The error text, with placeholders for names."""
        text = f"{problem.what} ({problem.detail})" if problem.detail else problem.what
        return self.names.masked(text)

    @contextlib.contextmanager
    def undisturbed(self, what: str) -> Iterator[None]:
        """A first Ctrl+C, SIGTERM or SIGHUP is only noted (``heard``); a second one interrupts."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        again = False

        def hear(number: int, _frame: FrameType | None) -> None:
            nonlocal again
            self.heard, self.over = True, self.over or number != signal.SIGINT
            if again:
                raise KeyboardInterrupt
            again = True
            self.say(f"{what}; once more interrupts that too")

        kept = {number: signal.signal(number, hear) for number in _SIGNALS}
        try:
            yield
        finally:
            _restore(kept)

    def go_on(self) -> None:
        """Raises KeyboardInterrupt when one was noted."""
        if self.heard:
            raise KeyboardInterrupt

    # -- the run

    def run(self) -> LiveReport:
        """Confirms, runs and cleans up each step. Raises ServiceError NOT_FOUND or INVALID for the machine's name."""
        reports: list[StepReport] = []
        main = threading.current_thread() is threading.main_thread()
        kept = {number: signal.signal(number, self._end) for number in _SIGNALS[1:]} if main else {}
        try:
            for step in (_SIGN_IN, *STEPS):
                report = self._step(step)
                reports.append(report)
                self._done(report)
        finally:
            _restore(kept)
        return LiveReport(tuple(reports), self.profile.read_only, self.over)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self.over = True
        raise KeyboardInterrupt

    def _step(self, step: Step) -> StepReport:
        try:
            if why := self._hindered(step):
                return StepReport(step.id, step.title, Outcome.SKIPPED, why)
            if step is not _SIGN_IN and self._ask is not None and not self._ask(step, step.does(self)):
                return StepReport(step.id, step.title, Outcome.SKIPPED, "not agreed to")
        except KeyboardInterrupt:
            return StepReport(step.id, step.title, Outcome.SKIPPED, "interrupted before it began")
        return self._run_step(step)

    def _hindered(self, step: Step) -> str:
        """Why a step cannot run here, "" when it can."""
        profile = self.profile
        if step is _SIGN_IN or self.over:
            return "interrupted before it began" if self.over else ""
        changes = step.lighter is None or (step.vcenter and self._running)
        reasons = (
            (step.vcenter and profile.vcenter is None, "the profile has no vCenter"),
            (step.vcenter and self._find is None, "no virtual machine was named"),
            (step.vcenter and self.machine is None, "vCenter did not let this profile in"),
            (not step.vcenter and not self._aws_works, "AWS did not let this profile in"),
            (step.bucket and not profile.aws.bucket, "the profile has no bucket"),
            (profile.read_only and changes, "left out: the profile is read-only"),
        )
        return next((why for true, why in reasons if true), "")

    @property
    def _running(self) -> bool:
        return self.machine is not None and self.machine.power is not Power.OFF

    def _run_step(self, step: Step) -> StepReport:
        run, began, outcome = Run(self), time.monotonic(), Outcome.DONE
        self.heard = False
        work = step.lighter if self.profile.read_only and step.lighter is not None else step.run
        try:
            try:
                work(run)
                self.go_on()
            except _Ended:
                outcome = Outcome.FAILED
            except Skip as why:
                outcome, run.why = Outcome.SKIPPED, str(why)
            except VmieError as error:
                outcome, run.why, run.kind = Outcome.FAILED, self.words_of(error.problem), error.kind
                if step is _SIGN_IN:
                    raise
            finally:
                run.clean_up()
        except KeyboardInterrupt:
            outcome, run.why = Outcome.INTERRUPTED, "interrupted"
        if self.heard:
            outcome, run.why = Outcome.INTERRUPTED, "interrupted"
        for code, times in sorted(self._repeated.items()):
            run.noted(f"AWS answered {'once' if times == 1 else f'{times} times'} with {code}")
        self._repeated.clear()
        if outcome is Outcome.INTERRUPTED and (self._ask is None or step is _SIGN_IN):
            self.over = True  # nobody is asked before the next step
        seconds = time.monotonic() - began
        return StepReport(
            step.id, step.title, outcome, run.why, seconds, tuple(run.findings), tuple(run.left), run.kind
        )

    def sign_in(self, run: Run) -> None:
        """Signs in to both sides, and learns the site's names to mask."""
        profile = self.profile
        self._learn_settings()
        if profile.vcenter is not None and self._find is not None:
            with run.proving("vcenter.sign-in", fatal=False):
                vsphere = self.vsphere()
                self.names.learn("user", vsphere.info.user)
                run.held("vcenter.sign-in", f"{self.names.masked(vsphere.info.full_name)}")
                if vsphere.standalone:
                    run.noted("an ESXi host by itself, no vCenter")
            if self._vsphere is not None:
                self.machine = self._find(self._vsphere)
                self._learn_machine(self.machine)
        with run.proving("aws.sign-in", fatal=False):
            identity = self.patient.identity()
            self.names.learn("account", identity.account)
            self.names.learn("caller", identity.arn, identity.user_id)
            kind = "root" if identity.root else identity.arn.split(":", 5)[-1].split("/")[0]
            late = f", the clock is {abs(identity.skew):.0f} s off" if abs(identity.skew) > 1 else ""
            run.held("aws.sign-in", f"as a {kind}, in {self.aws().region}, partition {self.patient.partition}{late}")
            self._aws_works = True
        if self._aws_works:
            self._count_repeats()
        wrong = [finding.seen for finding in run.findings if finding.saw in {Saw.BLOCKED, Saw.DIFFERED}]
        if wrong:
            run.why = "; ".join(wrong)
            raise _Ended

    def _count_repeats(self) -> None:
        """Know of each answer that AWS's clients ride out by asking again."""

        def count(response: Any = None, caught_exception: Exception | None = None, **_: Any) -> None:
            if caught_exception is not None:
                self._repeated[type(caught_exception).__name__] += 1
            elif response is not None and (status := response[0].status_code) >= _BUSY:
                self._repeated[str(response[1].get("Error", {}).get("Code") or status)] += 1
            elif response is not None and _SLOW.search(code := str(response[1].get("Error", {}).get("Code", ""))):
                self._repeated[code] += 1

        for service in ("sts", "iam", "ec2", "ebs", BLOCKS, "s3", PARTS):
            self.aws().client(service).meta.events.register("needs-retry", count)

    def _learn_settings(self) -> None:
        profile, vcenter, aws = self.profile, self.profile.vcenter, self.profile.aws
        self.names.learn("profile", profile.name, aws.profile or "")
        self.names.learn("bucket", aws.bucket)
        if aws.prefix != _USUAL.prefix:
            self.names.learn("prefix", aws.prefix.strip("/"))
        self.names.learn("account", aws.bucket_owner)
        self.names.learn("key", aws.kms_key_id)
        if aws.role_name != _USUAL.role_name:
            self.names.learn("role", aws.role_name)
        if aws.endpoint_url:
            self.names.learn("endpoint", aws.endpoint_url, urlsplit(aws.endpoint_url).netloc)
        if vcenter is not None:
            self.names.learn("vCenter", vcenter.host)
            self.names.learn("user", vcenter.user, *re.split(r"[@\\]", vcenter.user))

    def _learn_machine(self, machine: Machine) -> None:
        self.names.learn("VM", machine.name, machine.moid, machine.hostname)
        self.names.learn("datacenter", machine.datacenter, *machine.datacenter.split("/"))
        self.names.learn("folder", *machine.folder)
        self.names.learn("cluster", machine.cluster)
        self.names.learn("ESXi host", machine.host)
        self.names.learn("datastore", *(disk.datastore for disk in machine.disks))
        self.names.learn("disk file", *(disk.file_name for disk in machine.disks))
        self.names.learn("network", *(nic.network for nic in machine.nics))

    def close(self) -> None:
        if self._vsphere is not None:
            self._vsphere.close()


_BUSY = 429  # HTTP statuses from here on are of servers that are busy or in trouble
_SLOW = re.compile("Throttl|SlowDown|LimitExceeded|TooManyRequests")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _restore(kept: dict[signal.Signals, Any]) -> None:
    for number, handler in kept.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


# -- vCenter


def _take_snapshot(run: Run) -> Snapshot:
    """Takes a snapshot, removed at the step's end by its unique name."""
    vsphere, moid = run.vsphere, run.machine.moid
    name = f"vmie-tui doctor {run.live.token}"
    unsure = True  # vCenter was asked, and has not answered

    def take_away() -> None:
        found = None
        for _ in Poll(1.0, seconds=LATE_SECONDS if unsure else 0.0):
            if (found := find_snapshot(vsphere, moid, name)) is not None:
                break
        if found is None:
            if unsure:
                raise ServiceError(ErrorKind.REMOTE, "vCenter may still be making it")
            return
        began = time.monotonic()
        for _ in range(2):  # another task may hold the VM for a moment
            try:
                remove_snapshot(vsphere, found.moid)
                break
            except ServiceError as error:
                words = run.live.words_of(error.problem)
                run.findings.append(Finding("snapshot.removed", Saw.DIFFERED, words, error.problem.code))
        if find_snapshot(vsphere, moid, name) is not None:
            raise ServiceError(ErrorKind.REMOTE, "it is still there")
        _see_consolidation(run, time.monotonic() - began)

    run.undo("the snapshot", f"'{name}' of {run.machine.name}", take_away)
    began = time.monotonic()
    with run.proving("snapshot.made"), run.live.undisturbed("the snapshot is finished, then removed"):
        try:
            made = create_snapshot(
                vsphere, moid, name, "Made by vmie-tui doctor --live; it may be removed", quiesce=False
            )
        except ServiceError as error:
            unsure = error.kind in {ErrorKind.NETWORK, ErrorKind.LOGIN}
            raise
        unsure = False
    run.held("snapshot.made", f"in {time.monotonic() - began:.1f} s")
    run.live.go_on()
    return made


def _see_consolidation(run: Run, seconds: float) -> None:
    with run.proving("snapshot.removed", fatal=False):
        needed = read_machine(run.vsphere, run.machine.moid).consolidation_needed
        words = f"in {seconds:.1f} s"
        run.judge("snapshot.removed", not needed, words, f"{words}, but vCenter says that the disks need consolidation")


def _lease(run: Run) -> None:
    machine = run.machine
    snapshot = _take_snapshot(run) if machine.power is not Power.OFF else None
    lease = ExportLease(run.vsphere, machine.moid, snapshot_moid=snapshot.moid if snapshot else None)

    def give_back() -> None:
        lease.abort("vmie-tui doctor has read what it wanted")
        if not lease.given_back:
            raise ServiceError(ErrorKind.REMOTE, "vCenter did not take it back, and ends it by itself within minutes")

    run.undo("the export lease", f"of {machine.name}", give_back)
    began = time.monotonic()
    with run.proving("lease.ready"), run.live.undisturbed("the lease is waited for, then given back"):
        lease.__enter__()
    run.held("lease.ready", f"in {time.monotonic() - began:.1f} s, {'of a snapshot' if snapshot else 'of the VM'}")
    run.live.go_on()
    wanted = [disk for disk in machine.disks if not (snapshot and disk.independent)]
    same = sorted(disk.device_key for disk in lease.disks) == sorted(disk.key for disk in wanted)
    run.judge(
        "lease.disks", same, f"{len(wanted)}", f"{len(lease.disks)} of {len(wanted)}, or under keys that are not theirs"
    )
    if not lease.disks:
        raise Skip("the lease offers no disk")
    _read_disk(run, lease, lease.disks[0])


def _read_disk(run: Run, lease: ExportLease, disk: LeaseDisk) -> None:
    host = urlsplit(disk.url).hostname or ""
    run.live.names.learn("ESXi host", host)
    vcenter = host.lower() == run.vsphere.settings.host.strip("[]").lower()
    with run.proving("lease.place"):
        stream = lease.open(disk)
    trust = "by the thumbprint that the lease gives" if disk.thumbprint else "by its authority"
    length = "" if stream.content_length is None else f", {size(stream.content_length)} announced"
    where = "vCenter's own address" if vcenter else "an ESXi host"
    run.held("lease.place", f"at {where}, trusted {trust}{length}")
    head, buffer, began = bytearray(), memoryview(bytearray(RANGE)), time.monotonic()
    with stream, run.proving("lease.bytes"):
        while (left := MEGABYTE - len(head)) and (count := stream.readinto(buffer[: min(left, RANGE)])):
            head += buffer[:count]
            lease.check()
    seconds = max(time.monotonic() - began, 0.001)
    if len(head) < MEGABYTE and not _whole(head):
        run.why = f"the stream ended after {len(head)} bytes, before its own end mark"
        run.differed("lease.bytes", run.why)
        raise _Ended
    run.held("lease.bytes", f"{size(len(head))} at {size(len(head) / seconds)}/s")
    decoder = StreamDecoder(lambda *_: None)
    with run.proving("lease.format"):
        decoder.feed(bytes(head))
        good = decoder.capacity == disk.capacity
        run.judge("lease.format", good, "as assumed", f"of {decoder.capacity} bytes, the disk has {disk.capacity}")


def _whole(stream: bytes | bytearray) -> bool:
    """Whether it has its end mark; what is wrong with it otherwise is said by who looks at its format."""
    decoder = StreamDecoder(inflate=False)
    with contextlib.suppress(VmieError):
        decoder.feed(stream)
    return decoder.complete


def _tracking(run: Run) -> None:
    """Enables change tracking, checks what the first snapshot reports, and disables it again."""
    vsphere, moid = run.vsphere, run.machine.moid
    now = read_machine(vsphere, moid)
    if now.cbt:
        raise Skip("changes are tracked already: the step before has shown it")
    if now.snapshots:
        raise Skip("the VM has snapshots, and tracking cannot begin then")

    def back() -> None:
        if read_machine(vsphere, moid).cbt:
            disable_tracking(vsphere, moid)

    run.undo("change tracking, which was off,", f"of {run.machine.name}", back)
    with run.proving("cbt.enable"), run.live.undisturbed("tracking is switched on, then off again"):
        enable_tracking(vsphere, moid)
    run.held("cbt.enable", "as assumed")
    run.live.go_on()
    snapshot = _take_snapshot(run)
    with run.proving("cbt.change-id"):
        disks = snapshot_disks(vsphere, snapshot.moid)
    if disks:
        _see_changes(run, snapshot, disks, tracked=True)


def _snapshot(run: Run) -> None:
    snapshot = _take_snapshot(run)
    with run.proving("folder.read"):
        disks = snapshot_disks(run.vsphere, snapshot.moid)
    if not disks:
        raise Skip("the snapshot holds no disk: all are independent")
    _see_changes(run, snapshot, disks, tracked=run.machine.cbt)
    if run.machine.snapshots:
        run.noted("the VM has other snapshots: what this one froze are difference files, which have no flat file")
    _see_folder(run, disks[0])


def _see_changes(run: Run, snapshot: Snapshot, disks: tuple[SnapshotDisk, ...], *, tracked: bool) -> None:
    disk = disks[0]
    ids = sum(bool(one.change_id) for one in disks)
    words = f"tracking is {'on' if tracked else 'off'}, {ids} of {len(disks)} disks have a change id"
    run.judge("cbt.change-id", ids == (len(disks) if tracked else 0), words, words)

    def areas(change_id: str) -> list[tuple[int, int]]:
        return changed_areas(run.vsphere, run.machine.moid, snapshot.moid, disk.key, change_id, disk.capacity)

    if not disk.change_id:
        run.unseen("cbt.nothing", "there is no change id")
        try:
            found = areas(ALLOCATED)
        except ServiceError as error:
            words, code = run.live.words_of(error.problem), error.problem.code
            saw = Saw.DIFFERED if tracked or code == "MethodNotFound" else Saw.UNSEEN  # untracked, a refusal is right
            run.findings.append(Finding("cbt.allocated", saw, words, code))
        else:
            run.noted(f"without tracking vCenter still names {len(found)} areas")
        return
    with run.proving("cbt.allocated", fatal=False):
        found = areas(ALLOCATED)
        run.held("cbt.allocated", f"{len(found)} areas, {size(sum(length for _, length in found))}")
    with run.proving("cbt.nothing", fatal=False):
        since = areas(disk.change_id)
        run.judge("cbt.nothing", not since, "none", f"{len(since)} areas, {size(sum(length for _, length in since))}")


def _see_base(run: Run) -> None:
    """Of a VM that is off the file itself can be read: nothing needs to be frozen, so nothing is changed."""
    run.noted("read-only: no snapshot is made; the files of the VM, which is off, are read as they are")
    found = next((disk for disk in run.machine.disks if disk.file_name), None)
    if found is None:
        raise Skip("the virtual machine has no disk with a file")
    _see_folder(run, SnapshotDisk(found.key, found.uuid, found.capacity, "", found.file_name, found.datastore))


def _see_folder(run: Run, disk: SnapshotDisk) -> None:
    machine, vsphere = run.machine, run.vsphere
    place = machine.datacenter_id or machine.datacenter
    run.live.names.learn("disk file", disk.file_name)
    by_host = bool(machine.host) and not vsphere.standalone
    with (
        run.proving("folder.read", fatal=False),
        FolderReader(
            vsphere, place, disk.file_name, host=machine.host, datastore=disk.datastore, by_host=by_host
        ) as reader,
    ):
        _see_ranges(run, reader, disk)
    if any(finding.id == "folder.read" and finding.code == "404" for finding in run.findings):
        run.unseen("host.ticket", "there is no flat file")
    else:
        _see_host(run, disk, place)


def _see_ranges(run: Run, reader: FolderReader, disk: SnapshotDisk) -> None:
    middle = reader.size // 2 // RANGE * RANGE
    wanted = [(0, min(MEGABYTE, reader.size)), (middle, min(RANGE, reader.size - middle))]
    wanted.append((max(0, reader.size - RANGE), min(RANGE, reader.size)))
    began = time.monotonic()
    first = [_digest(reader.read_at(*area)) for area in wanted]
    seconds = time.monotonic() - began
    if reader.at_host:
        run.differed("folder.read", "vCenter found the file locked; the VM's host served it with a ticket")
    else:
        run.held("folder.read", f"three ranges in {seconds:.1f} s, {reader.retries} tried again")
    running = run.machine.power is Power.ON
    if running:
        run.held("folder.running", "by its host" if reader.at_host else "by vCenter")
    else:
        run.unseen("folder.running", "the virtual machine does not run")
    run.judge(
        "folder.size", reader.size == disk.capacity, "as assumed", f"{reader.size} bytes, the disk has {disk.capacity}"
    )
    run.judge(
        "folder.steady", first == [_digest(reader.read_at(*area)) for area in wanted], "as assumed", "other bytes came"
    )
    file = reader.file
    run.judge(
        "folder.dates",
        bool(file.version),
        "an ETag" if file.version.startswith('"') else "Last-Modified",
        "neither: a file that is exchanged for one of the same size is noticed by what vCenter says of it alone",
    )
    if file.at_host:
        return
    inner = "/" in file.site
    if inner:
        run.held("folder.inner-path", f"{file.site.count('/')} folders deep")
    else:
        run.unseen("folder.inner-path", "the datacenter is in no folder")
    if file.version:
        status = _status(run, file.path, {"If-Range": EPOCH})
        run.judge("folder.if-range", status == 200, "as assumed", f"HTTP {status}")
    else:
        run.unseen("folder.if-range", "there is no date to ask for")
    doubled = encoded_twice(file.path)
    if not doubled:
        run.unseen("folder.twice", "the datastore's name has no letter of ASCII")
        return
    status = _status(run, doubled)
    expected = 404 if run.vsphere.standalone else 206
    run.judge(
        "folder.twice",
        status == expected,
        "once, as a host does" if run.vsphere.standalone else "as assumed",
        f"a name that is encoded twice was answered with HTTP {status}: names are decoded {_times(status)}",
    )


def _times(status: int) -> str:
    return {206: "twice", 404: "once"}.get(status, "in a way that this does not tell")


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


_CHARACTER = re.compile("%25[0-9A-Fa-f]{2}|%[0-9A-Fa-f]{2}|.")  # as it is written in a URL, once or twice encoded


def encoded_twice(path: str) -> str:
    """The address with one letter or digit of the datastore's name encoded twice, which only who decodes twice finds;
    "" for a name without any."""
    head, sign, name = path.rpartition("dsName=")
    written: list[str] = _CHARACTER.findall(name)
    at = next((at for at, text in enumerate(written) if len(text) == 1 and text.isalnum()), -1)
    if at < 0:
        return ""
    return "".join([head, sign, *written[:at], f"%25{ord(written[at]):02X}", *written[at + 1 :]])


def _status(run: Run, path: str, headers: dict[str, str] | None = None) -> int:
    """The HTTP status of a request for the first bytes of a file at vCenter. Raises ServiceError NETWORK."""
    vsphere = run.vsphere
    connection = vsphere.connection()
    wanted = {"Range": "bytes=0-511", "Cookie": vsphere.cookie, "Accept-Encoding": "identity", **(headers or {})}
    try:
        connection.request("GET", path, headers=wanted)
        return int(connection.getresponse().status)
    except (OSError, HTTPException) as error:
        raise ServiceError(ErrorKind.NETWORK, "the connection to vCenter broke", detail=str(error)) from error
    finally:
        connection.close()


def _see_host(run: Run, disk: SnapshotDisk, place: str) -> None:
    """The way of a file that vCenter cannot serve, whether or not this one needs it."""
    machine, vsphere = run.machine, run.vsphere
    if vsphere.standalone or not machine.host:
        run.unseen("host.ticket", "this is the host itself" if vsphere.standalone else "the VM has no host")
        return
    file = FlatFile(vsphere, place, disk.file_name, otherwise="", datastore=disk.datastore, host=machine.host)
    file.ask_host()
    connection = FlatConnection(file)
    try:
        with run.proving("host.ticket", fatal=False):
            ticket = file.ticket()
            run.live.names.learn("ESXi host", ticket.host)
            named = "another name than the inventory" if ticket.host != machine.host else "the inventory's name"
            connection.get(0, 512)
            run.held("host.ticket", "as assumed")
            run.held("host.name", f"it gives {named}")
            file.path = encoded_twice(file.path)
            if not file.path:
                run.unseen("host.once", "the datastore's name has no letter of ASCII")
                return
            try:
                connection.get(0, 512)
            except ServiceError as error:
                run.judge("host.once", error.problem.code == "404", "as assumed", run.live.words_of(error.problem))
            else:
                run.differed("host.once", "names are decoded twice")
    finally:
        connection.close()


# -- AWS


class _Control:
    """Of a transfer that nobody watches: an interrupt comes by itself."""

    def check(self) -> None: ...

    def moved(self, nbytes: int, *, skipped: bool = False) -> None: ...


@contextlib.contextmanager
def _answers(client: Any, operation: str) -> Iterator[list[dict[str, Any]]]:
    """The answers to one operation (``s3.UploadPart``) of a client, as they come."""
    found: list[dict[str, Any]] = []

    def keep(parsed: dict[str, Any], **_: Any) -> None:
        found.append(dict(parsed))

    client.meta.events.register(f"after-call.{operation}", keep)
    try:
        yield found
    finally:
        client.meta.events.unregister(f"after-call.{operation}", keep)


def _object(run: Run) -> None:
    aws, settings = run.aws, run.live.profile.aws
    bucket, key = settings.bucket, f"{settings.prefix}doctor-live-{run.live.token}"
    run.live.names.learn("object", key)
    store = ObjectStore(aws, part_size=lambda _: SMALLEST_PART)
    with run.proving("s3.bucket"):
        store.check_bucket(bucket)
        run.held("s3.bucket", "a foreign owner is set" if settings.bucket_owner else "as assumed")
    data, at = secrets.token_bytes(SMALLEST_PART + RANGE), 0

    def fill(view: memoryview) -> int:
        nonlocal at
        piece = data[at : at + len(view)]
        view[: len(piece)], at = piece, at + len(piece)
        return len(piece)

    sent = False

    def take_away() -> None:
        if not sent:
            store.abort(bucket, key)
        if not store.delete(bucket, key):
            raise ServiceError(ErrorKind.PERMISSION, "the bucket keeps versions, and this profile may not delete one")
        if sent:
            gone = store.head(bucket, key) is None
            run.judge("s3.gone", gone, f"{'with its version' if versioned else 'no version is kept'}", "it stays")

    versioned = False
    run.undo("the object", f"s3://{bucket}/{key}", take_away)
    began = time.monotonic()
    with (
        _answers(aws.client(PARTS), "s3.UploadPart") as parts,
        _answers(aws.client("s3"), "s3.CompleteMultipartUpload") as completed,
    ):
        with run.proving("s3.upload"):
            made = store.upload(UploadRequest(bucket, key, len(data)), fill, control=_Control())
            sent = True
        run.held("s3.upload", f"{made.parts} parts, {size(made.size)}, in {time.monotonic() - began:.1f} s")
        _see_echo(run, "s3.part-echo", parts, "ChecksumCRC64NVME")
    versioned = any(answer.get("VersionId") for answer in completed)
    if versioned:
        run.noted("the bucket keeps versions")
    named = any(answer.get("ChecksumCRC64NVME") for answer in completed)
    how = "by CompleteMultipartUpload" if named else "by HeadObject alone"
    run.judge("s3.object-echo", made.proven, how, "by neither: nothing shows what S3 stored")
    with run.proving("s3.read"):
        reader = S3Object(aws, bucket, key)
        pieces = [reader.read_at(offset, MEGABYTE) for offset in range(0, reader.size, MEGABYTE)]
        run.judge("s3.read", b"".join(pieces) == data, "as assumed", "other bytes came back")


def _see_echo(run: Run, ident: str, answers: list[dict[str, Any]], name: str) -> None:
    """Of the answers that were no errors."""
    good = [answer for answer in answers if "Error" not in answer]
    again = f", {len(answers) - len(good)} tried again" if len(answers) > len(good) else ""
    named = sum(bool(answer.get(name)) for answer in good)
    words = f"{named} of {len(good)} answers{again}"
    run.judge(ident, bool(good) and named == len(good), words, f"{words}: what was stored is not confirmed by it")


def _block(run: Run) -> None:
    aws, token, words = run.aws, run.live.token, "made by vmie-tui doctor --live"
    tags = {MARK: token}
    target = SnapshotTarget(BLOCK, words, tags, client_token=f"{MARK}-{token}")
    writer = SnapshotWriter(aws, None, target, journal=MemoryJournal(), control=_Control())

    def take_away() -> None:
        ids = (
            {writer.snapshot_id}
            if writer.snapshot_id
            else set(tagged_snapshots(aws, None, MARK, token, described=words))
        )
        for each in ids:
            delete_snapshot(aws, None, each)
        if writer.snapshot_id:
            state, _ = state_of(aws, aws.region, writer.snapshot_id)
            run.judge("ebs.gone", not state, "as assumed", f"its state is still {state}")

    run.undo("the EBS snapshot", f"with the tag {MARK}={token}", take_away)
    data, began = secrets.token_bytes(BLOCK), time.monotonic()
    with run.proving("ebs.upload"), run.live.undisturbed("the snapshot is begun, then deleted"):
        writer.__enter__()
    with contextlib.ExitStack() as held, _answers(aws.client(BLOCKS), "ebs.PutSnapshotBlock") as puts:
        held.push(writer)
        run.live.go_on()
        with run.proving("ebs.upload"):
            writer.put(0, memoryview(data))
        with run.proving("ebs.complete"):
            written = writer.complete()
        run.held("ebs.upload", f"{written.blocks} block")
        _see_echo(run, "ebs.put-echo", puts, "Checksum")
    run.held("ebs.complete", f"{time.monotonic() - began:.1f} s after it was begun")
    with run.proving("ebs.read"), SnapshotReader(aws, None, writer.snapshot_id) as reader:
        run.judge("ebs.read", reader.read_at(0, BLOCK) == data, "as assumed", "other bytes came back")
    _dry_run(run, "import.of-snapshot", snapshot_id=writer.snapshot_id)


def _imports(run: Run) -> None:
    _dry_run(run, "import.image")
    _dry_run(run, "import.snapshot", snapshot=True)


def _dry_run(run: Run, ident: str, *, snapshot_id: str = "", snapshot: bool = False) -> None:
    """Whether AWS would take the call. It looks at our rights first: the role and the object may not be looked at."""
    settings = run.live.profile.aws
    disk = (
        ImportDisk(snapshot_id=snapshot_id)
        if snapshot_id
        else ImportDisk(settings.bucket, f"{settings.prefix}doctor-live-{run.live.token}")
    )
    role = settings.role_name
    request = SnapshotRequest(disk, role_name=role) if snapshot else ImageRequest((disk,), role_name=role)
    with run.proving(ident, fatal=False):
        ImportTasks(run.aws).dry_run(request)
        run.held(ident, "DryRunOperation")


def _role(run: Run) -> None:
    aws, settings = run.aws, run.live.profile.aws
    found = probe_role_error(aws, RoleCase(settings.role_name, settings.bucket, aws.region))
    for probe in sorted(found, key=lambda probe: probe.id):
        ident = f"role.{probe.id}"
        if probe.id == "bucket" and not settings.bucket:
            run.unseen(ident, "the profile has no bucket")
            continue
        saw = {Looked.FOUND: Saw.DIFFERED, Looked.NOT_FOUND: Saw.HELD, Looked.NOT_INSPECTED: Saw.UNSEEN}[probe.outcome]
        run.findings.append(Finding(ident, saw, run.live.names.masked(probe.detail) or probe.outcome.value))


# -- the steps


def _freezes(live: Live) -> str:
    return "makes a snapshot of the VM without memory, " if live.machine and live.machine.power is not Power.OFF else ""


def _does_lease(live: Live) -> str:
    after = ", and removes the snapshot" if _freezes(live) else "; until then the VM cannot be powered on"
    return f"{_freezes(live)}opens an export lease, reads a megabyte of the first disk and gives the lease back{after}"


def _does_snapshot(live: Live) -> str:
    if live.profile.read_only:
        return "reads ranges of the first disk of the VM, which is off, over /folder; changes nothing"
    return (
        "makes a snapshot of the VM without memory, reads some 2 MB of the frozen disk over /folder and from its "
        "host, asks which areas changed, and removes the snapshot"
    )


def _does_tracking(live: Live) -> str:
    return (
        "switches change tracking of the VM on if it is off and there are no snapshots, makes a snapshot, asks which "
        "areas changed, removes the snapshot and switches tracking off again"
    )


_SIGN_IN = Step("sign-in", "Sign-in", lambda live: "", lambda run: run.live.sign_in(run))
STEPS: tuple[Step, ...] = (
    Step("lease", "Export lease", _does_lease, _lease, vcenter=True),
    Step(
        "snapshot", "Snapshot, frozen disk, changed areas", _does_snapshot, _snapshot, vcenter=True, lighter=_see_base
    ),
    Step("tracking", "Change tracking switched on", _does_tracking, _tracking, vcenter=True),
    Step(
        "object",
        "Object in the bucket",
        lambda live: "uploads 5 MiB of noise in two parts, reads it back and deletes it",
        _object,
        bucket=True,
    ),
    Step(
        "block",
        "EBS snapshot of one block",
        lambda live: (
            "makes an EBS snapshot of 512 KiB by EBS direct, reads it back, asks for a dry run of ImportImage on "
            "it, and deletes it; AWS bills some hundredths of a cent"
        ),
        _block,
    ),
    Step(
        "import",
        "ImportImage and ImportSnapshot as dry runs",
        lambda live: "asks AWS whether it would take an import; nothing is imported",
        _imports,
        bucket=True,
    ),
    Step(
        "role",
        "Service role",
        lambda live: "looks for what keeps VM import from using its role; only reads",
        _role,
        lighter=_role,
    ),
)
