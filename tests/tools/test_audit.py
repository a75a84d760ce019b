"""The audit fails for a vulnerability, and for nothing else; what it could not look up it does not call good."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tools.audit import REQUIREMENTS, verdict

GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}


def judged(*entries: object) -> tuple[int, str]:
    code, lines = verdict(1, json.dumps({"dependencies": entries, "fixes": []}), "")
    return code, "\n".join(lines)


def test_what_it_says() -> None:
    assert judged(GOOD, GOOD) == (0, "2 audited, 0 vulnerable, 0 not in the database")
    code, text = judged(GOOD, BAD, UNKNOWN)
    assert code == 1 and "bad 1: PYSEC-1, mended in 2" in text and "2 audited, 1 vulnerable, 1 not" in text
    code, text = judged(UNKNOWN)
    assert code == 0 and "not audited" in text


def test_offline_is_no_failure_but_an_error_is() -> None:
    offline = "requests.exceptions.ConnectionError: HTTPSConnectionPool: Max retries exceeded with url: /pypi/x/json"
    assert verdict(1, "", offline)[0] == 0
    assert "not audited" in verdict(1, "", offline)[1][0]
    assert verdict(2, "", "error: no such option")[0] == 2
    assert verdict(0, "", "nothing at all")[0] == 1


def test_every_requirement_is_pinned_with_hashes_and_no_address() -> None:
    text = REQUIREMENTS.read_text()
    assert "://" not in text and "--index" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 60
    assert [entry for entry in entries if "==" not in entry.splitlines()[0] or "--hash=sha256:" not in entry] == []
    names = {entry.partition("==")[0].lower().replace("_", "-") for entry in entries}
    project = (Path(REQUIREMENTS).parents[1] / "pyproject.toml").read_text()
    wanted = re.findall(r'^  "([A-Za-z0-9_-]+)(?:\[.*?\])?==', project, re.M)
    assert wanted and {name.lower().replace("_", "-") for name in wanted} <= names
