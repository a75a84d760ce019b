"""The import manifest is read back as it was written, and only as it was written; its parts and URLs."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmie_tui.services.aws.s3.instance_parts import (
    LARGEST_PART,
    TOOL_PART,
    PartObjects,
    part_object_size,
)
from vmie_tui.services.aws.s3.manifest import ManifestPart, manifest_pieces, part_key
from vmie_tui.services.aws.session import PRESIGN, Aws, client_config
from vmie_tui.settings import AwsSettings
from vmie_tui.simulators.aws import manifest as reader

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).filter(
    lambda key: key.strip() == key
)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 1 << 44),
    shape=st.tuples(st.integers(1, 40), st.sampled_from(["RAW", "VHD", "VMDK"]), st.integers(1, 16384)),
    stem=KEYS,
)
def test_a_manifest_is_read_back_as_it_was_written(size: int, shape: tuple[int, str, int], stem: str) -> None:
    count, format_name, gib = shape
    step = -(-size // count)
    cuts = list(range(0, size, step))
    parts = [ManifestPart(n, part_key(stem, n), at, min(step, size - at)) for n, at in enumerate(cuts)]
    text = b"".join(
        manifest_pieces(
            format_name=format_name,
            size=size,
            volume_gib=gib,
            parts=parts,
            count=len(parts),
            key="manifest",
            sign=lambda method, key: f"https://host/{key}?m={method}&a=<b>",
        )
    )
    read = reader.parse(text)
    assert (read.format, read.size, read.volume_gib, len(read.parts)) == (format_name, size, gib, len(cuts))
    assert [(p.start, p.size, p.key) for p in read.parts] == [(p.start, p.size, p.key) for p in parts]
    assert read.parts[0].head_url == f"https://host/{part_key(stem, 0)}?m=HEAD&a=<b>"
    assert read.parts[0].delete_url.endswith("m=DELETE&a=<b>") and read.self_destruct_url.endswith("m=DELETE&a=<b>")


GOOD = b"".join(
    manifest_pieces(
        format_name="RAW",
        size=25,
        volume_gib=1,
        parts=[ManifestPart(0, "k.part0", 0, 10), ManifestPart(1, "k.part1", 10, 15)],
        count=2,
        key="kmanifest.xml",
        sign=lambda method, key: f"https://host/{key}",
    )
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<size>25</size>", b"<size>26</size>"),
        (b"<size>25</size>", b"<size>many</size>"),
        (b'count="2"', b'count="3"'),
        (b'index="1"', b'index="2"'),
        (b'start="10"', b'start="11"'),
        (b'end="9"', b'end="8"'),
        (b"2010-11-15</version>\n    <file", b"2016-11-15</version>\n    <file"),
        (b"<file-format>RAW", b"<file-format>VHDX"),
        (b"<file-format>RAW</file-format>", b""),
        (b"<importer>", b"<importer><extra/>"),
        (b"</manifest>", b""),
    ],
)
def test_a_strict_reader_takes_no_other(old: bytes, new: bytes) -> None:
    assert old in GOOD
    reader.parse(GOOD)
    with pytest.raises(reader.ManifestError):
        reader.parse(GOOD.replace(old, new, 1))


# -- sizes and URLs


@pytest.mark.parametrize("size", [0, 1, TOOL_PART, 1 << 34, 1 << 40, 16 << 40])
def test_part_sizes_are_whole_mebibytes_within_bounds(size: int) -> None:
    part = part_object_size(size)
    assert TOOL_PART <= part <= LARGEST_PART and part % (1 << 20) == 0


def test_urls_of_aws_itself_name_the_region_and_sign_with_v4() -> None:
    config = client_config(PRESIGN, None)
    assert config.signature_version == "s3v4" and config.s3["addressing_style"] == "virtual"  # type: ignore[attr-defined]
    import boto3

    session = boto3.session.Session(aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key="x")
    signed = PartObjects(Aws(session, AwsSettings(region="eu-central-1")), "eu-central-1")
    url = urlsplit(signed.manifest_url("my-bucket", "a b/manifest.xml"))
    assert url.netloc == "my-bucket.s3.eu-central-1.amazonaws.com"
    query = parse_qs(url.query)
    assert (query["X-Amz-Algorithm"], query["X-Amz-Expires"]) == (["AWS4-HMAC-SHA256"], ["604800"])
