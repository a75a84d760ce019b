"""Make the demo's skeleton guests: ``python tools/make_guests.py [NAME ...]`` (all of them without a name).

For maintainers, on Debian or Ubuntu; the result is committed, so the demo needs none of these tools. Runs as an
ordinary user, without mounting. The same guest comes out every time; ``--check`` makes them again and compares instead
of writing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import guestlib.bases
import guestlib.linux_guests
import guestlib.odd_guests
import guestlib.windows_guests  # noqa: F401 - importing registers the recipes
from guestlib.pack import Packed, pack
from guestlib.recipe import RECIPES, Recipe
from guestlib.tools import missing

IMAGES = Path(__file__).resolve().parents[1] / "vmie_tui" / "simulators" / "fleet" / "images"
INDEX = IMAGES / "index.toml"
HEADER = """# The packed guests, written by tools/make_guests.py: do not edit.
# boot: bios, uefi or none (a data disk). expect: what a look at the content must find, by short name.
# sha256: of the whole disk. blocks: SHA-256 over offset (8 bytes, little-endian) and content of the 4 KiB blocks that
# are not zero, which is quicker to check.
# noise: what fills the free ranges in the demo, mixed (deleted files) or random (ciphertext).
"""


def make(recipe: Recipe, folder: Path) -> Packed:
    image = folder / f"{recipe.name}.raw"
    free = recipe.make(image)
    packed = pack(image, free)
    image.unlink()
    return packed


def entry(recipe: Recipe, packed: Packed) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    expect = ", ".join(quoted(word) for word in recipe.expect)
    lines = (
        f"[{recipe.name}]",
        f"title = {quoted(recipe.title)}",
        f"about = {quoted(recipe.about)}",
        f"size = {packed.size}",
        f"sha256 = {quoted(packed.sha256)}",
        f"blocks = {quoted(packed.blocks)}",
        f"boot = {quoted(recipe.boot)}",
        f"expect = [{expect}]",
        f"noise = {quoted(recipe.noise)}",
    )
    return "\n".join(lines) + "\n"


def kept_entries() -> dict[str, str]:
    """The entries of the present index as text, by name."""
    if not INDEX.exists():
        return {}
    text = INDEX.read_text(encoding="utf-8")
    blocks = [block for block in text.split("\n\n") if block.startswith("[")]
    return {block[1 : block.index("]")]: block.strip() + "\n" for block in blocks}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *RECIPES], metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--check", action="store_true", help="compare with the packed guests, write nothing")
    arguments = parser.parse_args()
    if needed := missing():
        print(f"install first: apt-get install {' '.join(needed)}", file=sys.stderr)
        return 2
    names = arguments.names or list(RECIPES)
    IMAGES.mkdir(exist_ok=True)
    entries = kept_entries()
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            started = time.monotonic()
            packed = make(RECIPES[name], Path(folder))
            text = entry(RECIPES[name], packed)
            same = entries.get(name) == text and (IMAGES / f"{name}.xz").read_bytes() == packed.blob
            took = time.monotonic() - started
            note = "" if same else "  changed"
            print(f"{name:28} {packed.size >> 20:5} MiB  {len(packed.blob):7} bytes  {took:4.1f} s{note}")
            if arguments.check:
                wrong += [] if same else [name]
                continue
            (IMAGES / f"{name}.xz").write_bytes(packed.blob)
            entries[name] = text
    if arguments.check:
        print(f"different: {', '.join(wrong)}" if wrong else "all guests come out as they are packed")
        return 1 if wrong else 0
    INDEX.write_text("\n".join([HEADER, *(entries[name] for name in RECIPES if name in entries)]), encoding="utf-8")
    tomllib.loads(INDEX.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
