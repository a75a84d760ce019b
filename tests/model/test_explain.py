"""Errors in words: documented ones in any wording, traps, logs, and texts nobody knows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vmie_tui.cli import main
from vmie_tui.model import facts
from vmie_tui.model.errors import ErrorKind, Problem
from vmie_tui.model.explain import (
    LONGEST,
    ROLE_ERROR,
    actions,
    compiled,
    explain,
    explain_problem,
    identified,
    role_probes,
)
from vmie_tui.model.task import Task, TaskDisk, TaskKind

ERRORS = facts.load("errors")["troubleshooting"]["errors"]
TRAPS = [trap for trap in facts.load("traps")["traps"] if trap.get("patterns")]
MESSAGES = [(error["id"], error[key]) for error in ERRORS for key in ("message", "older_message") if key in error]


def ids(text: str, task: Task | None = None) -> list[str]:
    return [match.id for match in explain(text, task=task).matches]


def wrapped(text: str) -> str:
    """As a terminal of 30 columns, with a margin, would break it."""
    return re.sub(r"(.{20,30}?) ", r"\1\n   ", text)


CHANGES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "shouted": str.upper,
    "wrapped": wrapped,
    "typographic": lambda text: text.replace("'", "’").replace(" - ", " – ").replace(" ", "\u00a0"),
    "json": lambda text: json.dumps({"StatusMessage": text}),
    "html": lambda text: text.replace("<", "&lt;").replace("'", "&#39;"),
    "coloured": lambda text: f"\x1b[31m{text}\x1b[0m",
    "in a log": lambda text: f"2026-11-21T08:00:00Z INFO start\n2026-11-21T08:00:01Z ERROR {text}\nnext line",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("ident", "message"), MESSAGES)
def test_every_documented_error_is_explained_in_every_dress(ident: str, message: str, change: str) -> None:
    found = explain(CHANGES[change](message))
    match = next((match for match in found.matches if match.id == ident), None)
    assert match is not None, found
    same_words = {
        error["id"] for error in ERRORS if error["regex"] == next(e for e in ERRORS if e["id"] == ident)["regex"]
    }
    assert found.matches[0].id in same_words
    assert match.cause and match.remedy and match.action in actions()


@pytest.mark.parametrize(
    ("text", "ident"),
    [
        ("The service role vmimport provided does not exist or does not have sufficient permissions", "E06"),
        ("The service role <import-role> does not exist or does not have sufficient permissions", "E06"),
        ("ClientError: Unsupported kernel version 4.15.0-1021-aws", "E27"),
        ("ClientError: BLSCFG-style GRUB found, but unable to detect default kernel", "E23"),
        ("ClientError: BLS style GRUB found but unable to detect default kernel", "E23"),
        ("ClientError: Unknown OS / Missing OS files.", "E15"),
        ("Could not read fstab", "E22"),
        ("Disk validation failed [ Unsupported VMDK File Format ]", "E04"),
        ("Client.NotExportable: Only imported instances can be exported.", "E17"),
        ("vSphere certificate hostname mismatch: Certificate for <esx>", "T03"),
        ("ClientError: Disk validation failed [We do not have access to the given resource. Reason 403]", "K02"),
        ("ClientError: Disk validation failed [Unsupported specified file format]", "K03"),
        ("ClientError: Disk validation failed [Unsupported OVA format]", "T35"),
        ("ClientError: EFI partition detected. UEFI booting is not supported in EC2.", "K01"),
        ("ClientError: No valid partitions. Not a valid volume.", "K04"),
        ("botocore.exceptions.EndpointConnectionError: Could not connect to the endpoint URL", "T02"),
        ("An error occurred (ExpiredToken) when calling the UploadPart operation", "T38"),
        ("An error occurred (RequestTimeTooSkewed) when calling the PutObject operation", "T32"),
        ("(vim.fault.NotAuthenticated) { msg = 'The session is not authenticated.' }", "T08"),
        ("ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "T03"),
        ("OSError: [Errno 28] No space left on device", "K09"),
        ("An error occurred (UnauthorizedOperation) when calling the ImportImage operation", "T36"),
        ("User initiated cancelation", "T33"),
    ],
)  # fmt: skip
def test_other_words_seen_in_public(text: str, ident: str) -> None:
    assert ids(text)[0] == ident


@pytest.mark.parametrize(
    ("ident", "ours", "documented"),
    [
        ("E29", ("name that is in the certificate", "thumbprint"), "re-register it"),
        ("E30", ("ca_bundle", "ca_file"), "trust store"),
    ],
)
def test_certificates_of_a_replication_are_put_right_in_our_settings(
    ident: str, ours: tuple[str, ...], documented: str
) -> None:
    """The documented remedies are for a connector that is gone (F448, F449): they are told, as those."""
    match = explain(facts.error(ident)["message"]).matches[0]
    assert match.id == ident and match.action == "tls"
    assert all(word in match.remedy for word in ours) and "connector" not in match.remedy
    assert [cause.remedy for cause in match.causes if "connector" in cause.title] == [facts.error(ident)["remedy"]]
    assert documented in match.causes[0].remedy


def test_only_remedies_of_the_lost_service_are_replaced() -> None:
    replaced = [ident for ident, extra in facts.load("traps")["errors"].items() if "remedy" in extra]
    assert replaced == [error["id"] for error in ERRORS if error["group"] == "sms"]


def test_a_pasted_log_finds_all_with_their_lines() -> None:
    log = "\n".join(
        [
            "one",
            "ERROR: ClientError: Footers not identical",
            "three",
            "botocore: An error occurred (SlowDown) when calling the UploadPart operation",
            'five "StatusMessage": "ClientError: Unsupported kernel version 5.19"',
        ]
    )
    found = {match.id: match.line for match in explain(log).matches}
    assert found == {"E09": 2, "T23": 4, "E27": 5}


def task(kind: TaskKind, message: str = "", *, format: str = "VMDK", **raw: object) -> Task:
    return Task(kind, "import-ami-1", "deleted", message, disks=(TaskDisk(format=format),), raw=dict(raw))


def test_the_kind_of_task_decides_between_equal_words() -> None:
    words = "Parameter disk-image-size=0 has an invalid format"
    assert ids(words, task(TaskKind.IMPORT_IMAGE)) == ["E01", "E07"]
    assert ids(words, task(TaskKind.CONVERSION)) == ["E07", "E01"]
    assert ids(f"calling ImportInstance: {words}") == ["E07", "E01"]


def test_causes_are_ranked_by_what_the_task_is() -> None:
    words = "ClientError: Disk validation failed [Unsupported OVA format]"
    secret = explain(words, task=task(TaskKind.IMPORT_IMAGE, Encrypted=True)).matches[0].causes
    assert "KMS" in secret[0].title and secret[0].confidence > secret[1].confidence
    plain = explain(words, task=task(TaskKind.IMPORT_IMAGE, format="OVA", Encrypted=False)).matches[0].causes
    assert "no OVA" in plain[0].title and plain[0].confidence > plain[1].confidence
    unknown = explain(words).matches[0].causes
    assert unknown[0].confidence == unknown[1].confidence


def test_what_belongs_to_another_platform_is_less_likely() -> None:
    words = facts.error("E21")["message"]
    sure = {
        platform: explain(words, task=task(TaskKind.IMPORT_IMAGE, Platform=platform)).matches[0].confidence
        for platform in ("Windows", "Linux", None)
    }
    assert sure["Windows"] > sure[None] > sure["Linux"]  # type: ignore[operator]
    stuck = Task(TaskKind.IMPORT_IMAGE, "import-ami-1", "active")
    assert explain("stuck at 27%", task=stuck).matches[0].confidence > explain("stuck at 27%").matches[0].confidence


def test_a_task_explains_itself() -> None:
    found = explain("", task=task(TaskKind.IMPORT_IMAGE, "ClientError: Unknown OS / Missing OS files"))
    assert found.known and found.text == "ClientError: Unknown OS / Missing OS files"
    assert found.matches[0].causes


def test_the_role_error_lists_its_six_causes() -> None:
    match = explain(facts.error("E06")["message"]).matches[0]
    assert [probe.id for probe in match.probes] == ["root", "pass-role", "trust", "bucket", "kms", "sts"]
    assert match.probes == role_probes()
    assert all(probe.check and probe.remedy for probe in match.probes)


def test_the_first_boot_failure_lists_its_causes() -> None:
    assert len(explain("FirstBootFailure").matches[0].causes) == 7


@pytest.mark.parametrize(
    "text", ["", " \n\t", "hello world", "everything is fine: 100 % done", "\x00\x1b[31m", "❦" * 50]
)
def test_what_is_not_known_is_said_and_kept(text: str) -> None:
    found = explain(text)
    assert not found.known and found.text == text and found.matches == ()


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap["id"])
def test_traps_are_complete_and_their_expressions_work(trap: dict[str, object]) -> None:
    assert trap["action"] in actions()
    assert trap["cause"] and trap["remedy"] and trap["title"]
    for pattern in trap["patterns"]:  # type: ignore[attr-defined]
        compiled(pattern)


def test_all_forty_traps_are_there() -> None:
    listed = {trap["id"] for trap in facts.load("traps")["traps"]}
    assert {f"T{number:02}" for number in range(1, 41)} <= listed


def test_every_documented_error_has_an_action() -> None:
    more = facts.load("traps")["errors"]
    assert {error["id"] for error in ERRORS} == set(more)
    assert all(entry["action"] in actions() for entry in more.values())


_WORDS = st.sampled_from(
    [message for _, message in MESSAGES] + ["role", "service role ", "Bucket ", "\n", "[", "\\", "'"]
)


def test_facts_named_by_traps_exist() -> None:
    tables = (facts.load("features"), facts.load("errors"), facts.load("licences"))
    known = {ident for table in tables for ident in re.findall(r"'id': '(\w+)'", str(table))}
    named = {fact for trap in facts.load("traps")["traps"] for fact in trap.get("facts", ())}
    assert named and named <= known
    assert {"K15", "DF04"} <= set(explain("the task cannot be cancelled").matches[0].facts)


def test_the_command_wants_a_text_from_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert main(["explain"]) == 2
    assert "standard input" in capsys.readouterr().err


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=80), _WORDS), max_size=8).map(" ".join))
@example("service role " * 2000)
@example("Bucket " * 2000 + "is not in the")
@example("MalformedPolicyDocument" * 5000)
@example(" " * 20_000)
def test_no_text_breaks_it_and_the_text_is_kept(text: str) -> None:
    found = explain(text)
    assert found.text == text
    for match in found.matches:
        assert 0 < match.confidence < 1
        assert 1 <= match.line <= text.count("\n") + 1
    assert json.loads(json.dumps(found.to_json()))["text"] == text


def test_of_a_huge_log_the_end_is_read_and_lines_still_count_from_the_start() -> None:
    text = "x" * 99 + "\n"
    count = LONGEST // 100 + 50
    found = explain(text * count + "Footers not identical")
    assert [(match.id, match.line) for match in found.matches] == [("E09", count + 1)]


# -- the command


def test_the_command_explains(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "ClientError:", "Footers", "not", "identical"]) == 0
    out = capsys.readouterr().out
    assert "% sure" in out and "E09" not in out and "export the VM again" in out


def test_the_command_says_that_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "no such error"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "no such error\n" and "not known" in captured.err


def test_the_command_reads_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = __import__("io").BytesIO(b"\xff line\nClientError: Unknown OS / Missing OS files\n")

        @staticmethod
        def isatty() -> bool:
            return False

    monkeypatch.setattr("sys.stdin", Input())
    assert main(["explain", "-", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["known"] and told["matches"][0]["id"] == "E15" and told["matches"][0]["line"] == 2


# -- problems: identified once, then looked up by id


def problem(detail: str, code: str = "") -> Problem:
    return Problem(ErrorKind.REMOTE, "AWS could not import the machine", code=code, detail=detail)


@pytest.mark.parametrize("message", [message for _, message in MESSAGES])
def test_a_problem_is_explained_by_its_ids_as_by_its_words(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    by_words = explain(message)
    known = identified(problem(message))
    assert known.facts == tuple(match.id for match in by_words.matches)
    monkeypatch.setattr("vmie_tui.model.explain.explain", None)  # no expression is asked from here on
    kept = Problem.from_json(json.loads(json.dumps(known.to_json())))
    found = explain_problem(kept)
    assert (found.text, [(match.id, match.confidence, match.causes) for match in found.matches]) == (
        message,
        [(match.id, match.confidence, match.causes) for match in by_words.matches],
    )


def test_a_problem_that_an_older_version_kept_is_explained_by_its_words() -> None:
    row = {"kind": "remote", "what": "AWS could not import", "subject": "import-ami-1", "remedy": "", "code": ""}
    kept = Problem.from_json({**row, "retry_safe": False, "detail": "ClientError: Unknown OS / Missing OS files."})
    assert (kept.facts, kept.causes) == ((), ())
    assert [match.id for match in explain_problem(kept).matches] == ["E15"]
    assert set(kept.to_json()) == {*row, "retry_safe", "detail"}  # nor does it get empty fields


@pytest.mark.parametrize(
    ("code", "detail", "facts_found"),
    [
        ("ExpiredToken", "Le jeton a expiré", ("T38",)),
        ("TaskInProgress", "Ein anderer Vorgang läuft", ("T04",)),
        ("AccessDenied", "Access Denied", ("T36",)),
        ("AccessDenied", "not allowed: kms:Decrypt", ("K10",)),  # says more than that a permission is missing
        ("Unheard", "Access was not so much denied as forgotten", ()),
    ],
)
def test_the_code_of_an_answer_identifies_it_whatever_its_words(
    code: str, detail: str, facts_found: tuple[str, ...]
) -> None:
    assert identified(problem(detail, code)).facts == facts_found


def test_no_code_stands_for_two_facts_and_known_ones_are_kept() -> None:
    codes = [code for trap in TRAPS for code in trap.get("codes", ())]
    assert len(codes) == len(set(codes)) > 30
    told = Problem(ErrorKind.INVALID, "a sentence of our own", code="ExpiredToken", facts=("E04",))
    assert identified(told) is told


def test_causes_that_were_found_come_first_and_unknown_ids_are_left_out() -> None:
    told = Problem(ErrorKind.REFUSED, "the trust is wrong", facts=("Z99", ROLE_ERROR), causes=("sts", "trust"))
    (match,) = explain_problem(Problem.from_json(told.to_json())).matches
    usual = [probe.id for probe in role_probes()]
    assert [probe.id for probe in match.probes] == sorted(usual, key=lambda ident: ident not in {"sts", "trust"})
    assert [probe.id for probe in match.probes][:2] == ["trust", "sts"] != usual[:2]
