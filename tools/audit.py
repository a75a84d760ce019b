"""``make audit``: the pinned requirements against the known vulnerabilities, by pip-audit.

Exit code 1 when a pinned version has a known vulnerability. Where the database cannot be reached that is said, with 0:
a machine without a network must not fail for it. What was not looked up is counted, never taken for good.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[1] / "requirements" / "all.txt"
SECONDS = 300
OFFLINE = (
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "ProxyError",
    "SSLError",
    "Max retries exceeded",
    "Could not connect",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Network is unreachable",
)


def verdict(code: int, output: str, errors: str) -> tuple[int, list[str]]:
    """(exit code, lines to say) for how pip-audit ended and what it wrote."""
    try:
        found = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        if any(word in errors for word in OFFLINE):
            return 0, ["not audited: the database of vulnerabilities cannot be reached from here"]
        return code or 1, ["pip-audit failed:", *errors.splitlines()[-5:]]
    skipped = [entry for entry in found if "skip_reason" in entry]
    bad = [entry for entry in found if entry.get("vulns")]
    lines = [
        f"{entry['name']} {entry['version']}: {vulnerability['id']}, mended in {fixed(vulnerability)}"
        for entry in bad
        for vulnerability in entry["vulns"]
    ]
    lines.append(f"{len(found) - len(skipped)} audited, {len(bad)} vulnerable, {len(skipped)} not in the database")
    if len(skipped) == len(found):
        lines.append("not audited: the database that answers from here knows none of them")
    return (1 if bad else 0), lines


def fixed(vulnerability: dict[str, list[str]]) -> str:
    return ", ".join(vulnerability.get("fix_versions") or ["no version yet"])


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "-r", str(REQUIREMENTS), "--require-hashes", "--disable-pip"]
    options = ["--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    try:
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        print(f"not audited: no answer within {SECONDS} s")
        return 0
    code, lines = verdict(done.returncode, done.stdout, done.stderr)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
