"""Write ``vmie_tui/model/facts/features.toml`` from the table of the feature reference (a Markdown file).

Usage: python tools/make_features.py features.md
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

TARGET = Path(__file__).parent.parent / "vmie_tui" / "model" / "facts" / "features.toml"
ROW = re.compile(r"^\| (F\d{3}) \| (.*?) \| (.*) \| ([\d, ]+) \| (.*) \|$")
HEAD = """# Every documented fact a client can act on; its action: enforce, preflight, display, automate or explain.
# Made by tools/make_features.py; what is done with each is in the code, in uses.toml or in not_used.toml.
"""


def features(text: str) -> list[tuple[str, str, str, str, str]]:
    """(id, area, text, seeds, action) of every row; raises ValueError when an id is missing or comes twice."""
    rows = [match.groups() for line in text.splitlines() if (match := ROW.match(line))]
    ids = [row[0] for row in rows]
    if ids != [f"F{number:03}" for number in range(1, len(ids) + 1)]:
        raise ValueError("the ids are not F001, F002, ... in order")
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


def to_toml(rows: list[tuple[str, str, str, str, str]]) -> str:
    parts = [HEAD]
    for ident, area, words, seeds, action in rows:
        texts = (json.dumps(value, ensure_ascii=False) for value in (ident, area, words, action))
        names = ", ".join(f'"{seed.strip()}"' for seed in seeds.split(","))
        keys = [f"{key} = {value}" for key, value in zip(("id", "area", "text", "action"), texts, strict=True)]
        parts.append("\n".join(["[[features]]", *keys, f"seeds = [{names}]", ""]))
    return "\n".join(parts)


def main() -> None:
    rows = features(Path(sys.argv[1]).read_text(encoding="utf-8"))
    TARGET.write_text(to_toml(rows), encoding="utf-8")
    print(f"{len(rows)} features")


if __name__ == "__main__":
    main()
