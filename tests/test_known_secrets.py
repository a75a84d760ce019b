"""Whatever form a known secret is written in, `hidden` takes it out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmie_tui import known_secrets

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "XML": escape,
    "XML attribute": lambda text: quoteattr(text)[1:-1],
    "XML by numbers": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "XML by hexadecimal numbers": lambda text: "".join(f"&#x{ord(char):X};" for char in text),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON as it is": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON for HTML": lambda text: json.dumps(text)[1:-1].replace("&", "\\u0026").replace("<", "\\u003C"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[1:-1],
    "URL": lambda text: quote(text, safe=""),
    "URL, lower case": lambda text: quote(text, safe="").lower(),
    "form": quote_plus,
    "path": quote,
    "repr": lambda text: repr(text)[1:-1],
    "bytes": lambda text: repr(text.encode())[2:-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "Basic, 1 before": lambda text: base64.b64encode(f"a:{text}".encode()).decode(),
    "Basic, 2 before": lambda text: base64.b64encode(f"ab:{text}".encode()).decode(),
    "Basic, 3 before": lambda text: base64.b64encode(f"abc:{text}".encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(f"a:{text}".encode()).decode(),
}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_secrets, "_words", {})
    monkeypatch.setattr(known_secrets, "_secrets", {})


def secrets() -> st.SearchStrategy[str]:
    text = st.text(st.sampled_from("&<>\"'\\% +/=\t\näß日🔑") | st.characters(codec="ascii", exclude_categories=["Cc"]))
    return text.map(lambda middle: f"x{middle}y9").filter(lambda secret: len(secret) >= 4)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@settings(deadline=None, max_examples=40)
@given(secret=secrets())
def test_no_form_of_a_secret_is_left(form: Callable[[str], str], secret: str) -> None:
    known_secrets._secrets.clear()
    known_secrets.remember(secret)
    written = form(secret)
    assert written not in known_secrets.hidden(f"said: {written} end")


@pytest.mark.parametrize("secret", ["abc", "a&", "9$z"])
@pytest.mark.parametrize("name", ["plain", "XML", "JSON", "URL", "base64", "Basic, 1 before", "Basic, 3 before"])
def test_a_short_secret_is_hidden_where_it_stands_alone(secret: str, name: str) -> None:
    known_secrets.remember(secret)
    written = FORMS[name](secret)
    assert known_secrets.hidden(f"said {written} end") == f"said {known_secrets.HIDDEN} end"


def test_other_text_stays() -> None:
    known_secrets.remember("abc", "Tr0ub4dor&3")
    text = "abcd xabc SGVsbG8gd29ybGQ= import-ami-0123456789abcdef0 /a/b 100%"
    assert known_secrets.hidden(text) == text


def of_proxies() -> Iterator[tuple[str, str]]:
    for password in ("P@ss#word1", "p@1#2/3?4", "Sec#ret123", "Sec/ret123", "Sec?ret123"):
        yield f"http://corpuser:{password}@proxy.corp:3128", password
        yield f"corpuser:{password}@proxy.corp:3128", password


@pytest.mark.parametrize(("address", "password"), of_proxies())
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY", "FTP_PROXY"])
def test_no_piece_of_a_proxys_password_is_left(variable: str, address: str, password: str) -> None:
    """Others cut such an address at the first @ # / or ?, and say the pieces."""
    known_secrets.remember_environment({variable: address})
    for said in (
        f'proxy URL: "http://***:***@{password.partition("@")[2]}@proxy.corp:3128"',
        f"Failed to parse: 'corpuser:{password[:3]}'",
        f"cannot reach {address}",
    ):
        left = known_secrets.hidden(said)
        assert password not in left
        assert f"corpuser:{password[:3]}" not in left
        assert not any(len(piece) > 3 and piece in left for piece in password.replace("@", "#").split("#"))


def test_a_long_text_takes_time_in_proportion() -> None:
    """Counted by what is looked at: the patterns hold no unbounded repeat of anything but digits of a reference."""
    known_secrets.remember("a b\n\\c&d" * 4)
    for pattern in known_secrets._secrets.values():
        assert "*" not in pattern.pattern.replace("0*", "").replace(r"\*", "")
