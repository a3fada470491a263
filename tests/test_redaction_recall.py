"""F84, S7: what is taken out, for every rule and every form in which a secret may be written."""

import base64
import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from secret_samples import (
    ALNUM,
    ASSIGNMENT_SAMPLES,
    FIELDS,
    PASSWORD,
    SAMPLES,
    TOKEN_SAMPLES,
    Sample,
    draw,
)

from provenance_log.redact import RedactionSettings, Redactor, findings
from provenance_log.redaction_rules import ASSIGNMENT_RULE, FIELD_RULE, RULE_NAMES

REDACTOR = Redactor(RedactionSettings(), lambda: b"k" * 32)


def redacted(value: Any) -> Any:
    action = {"type": "read", "tool": "Read", "status": "success", "details": {"v": value}}
    return REDACTOR.redact(action)["details"]


def rules_of(details: dict[str, Any]) -> set[str]:
    return {entry["rule"] for entry in details.get("_redacted", ())}


def in_json(text: str) -> str:
    return orjson.dumps({"a": {"b": [f"x\n{text}"]}}).decode()


def in_escapes(text: str) -> str:
    return '{"a":"' + "".join(f"\\u{ord(character):04x}" for character in text) + '"}'


# How the text of a sample may be written, and how its secret then reads.
FORMS: dict[str, tuple[Callable[[str], Any], Callable[[str], str]]] = {
    "plain": (lambda text: f"it is {text} there", str),
    "alone": (str, str),
    "in lines": (lambda text: f"first\n{text}\nlast", str),
    "in JSON text": (in_json, str),
    "in JSON text in JSON text": (lambda text: in_json(in_json(text)), str),
    "in escapes": (in_escapes, lambda secret: in_escapes(secret)[6:-2]),
    "URL-encoded": (
        lambda text: "a=" + urllib.parse.quote(text, safe=""),
        lambda secret: urllib.parse.quote(secret, safe=""),
    ),
    "nested": (lambda text: {"a": [{"b": [text]}]}, str),
    "as a key": (lambda text: {text: 1}, str),
}


@pytest.mark.parametrize("form", FORMS)
def test_secret_of_every_rule_is_taken_out_in_every_form(form: str) -> None:
    """All samples of a form in one test, so that a failure shows the whole row of the table."""
    write, read = FORMS[form]
    outcomes = {sample: redacted(write(sample.text)) for sample in SAMPLES}
    left = [
        sample
        for sample, details in outcomes.items()
        if read(sample.secret) in orjson.dumps(details).decode() or not rules_of(details)
    ]

    assert left == []


def test_every_rule_has_a_sample_and_each_is_found_by_its_own_rule() -> None:
    found = {sample: rules_of(redacted(f"it is {sample.text} there")) for sample in SAMPLES}

    # The id in front of a key of AWS is taken out with it: alone it is taken out as well.
    beside = {"aws-secret-access-key": {"aws-access-key-id"}}
    others = {s: rules - {s.rule} for s, rules in found.items() if rules != {s.rule}}
    assert [s for s in SAMPLES if s.rule not in found[s]] == []
    assert all(rules <= beside.get(s.rule, set()) for s, rules in others.items()), others
    assert {sample.rule for sample in SAMPLES} | {FIELD_RULE} == set(RULE_NAMES)


def test_base64_of_a_text_with_a_secret_is_taken_out_whole() -> None:
    texts = {s: base64.b64encode(f"here it is: {s.text}\n".encode()).decode() for s in SAMPLES}

    assert [s for s, text in texts.items() if text[:40] in str(redacted(text))] == []


@pytest.mark.parametrize("sample", TOKEN_SAMPLES[::4], ids=lambda sample: sample.rule)
def test_token_cut_anywhere_by_a_line_or_an_item_is_taken_out(sample: Sample) -> None:
    text = sample.text
    for cut in range(1, len(text), 3):
        for value in (
            f"x {text[:cut]}\n{text[cut:]} y",
            f"run {text[:cut]}\\\n{text[cut:]} y",
            [text[:cut], text[cut:]],
        ):
            details = redacted(value)
            longer = max(text[:cut], text[cut:], key=len)
            assert rules_of(details), value
            assert longer not in str(details), value


@pytest.mark.parametrize("name", FIELDS)
def test_value_of_a_member_named_like_a_secret_is_taken_out(name: str) -> None:
    """Whatever it looks like, whether alone, in a list, or as a pair of name and value."""
    secret = FIELDS[name]
    for value in (
        {name: secret},
        {name: [secret]},
        {"x": [{"name": name, "value": secret}]},
        orjson.dumps({name: secret}).decode(),
    ):
        details = redacted(value)
        assert secret not in str(details), value
        assert rules_of(details) <= {FIELD_RULE, ASSIGNMENT_RULE}


def test_argument_after_a_flag_is_taken_out() -> None:
    assert PASSWORD not in str(redacted(["psql", "--password", PASSWORD, "-h", "lab"]))


def test_number_is_a_password_by_its_name() -> None:
    assert redacted({"password": 12345678})["v"] != {"password": 12345678}
    assert redacted({"password": 42, "tokens": 12345678, "has_secret": True}) == {
        "v": {"password": 42, "tokens": 12345678, "has_secret": True}
    }


HASH = draw("hash", "0123456789abcdef", 64)
NEGATIVES: dict[str, Any] = {
    "a hash": HASH,
    "a commit": f"commit {HASH[:40]}",
    "UUIDs": [
        "0b8e7f5c-4a7d-4c1e-8d2f-6e5a4b3c2d1e",
        "session 5f0c0f0e-8f0a-4b7e-9a52-3c1d2e4f5a6b",
    ],
    "ids of a model": ["toolu_01ABcdEFghIJklMNopQRstUV", "msg_01ABcdEFghIJklMNopQRstUV"],
    "a picture": base64.b64encode(bytes(range(256)) * 20).decode(),
    "a digest": f"sha256:{HASH} integrity=sha512-{draw('sri', ALNUM, 86)}==",
    "an example key": "AKIA" + "IOSFODNN7EXAMPLE",
    "an example token": "ghp_" + "x" * 36,
    "placeholders": {
        "password": "********",
        "secret": "<your secret>",
        "api_key": "${API_KEY}",
        "token": "xxxxxxxxxxxxxxxx",
        "db_password": "{{ vault.password }}",
        "client_secret": "",
        "access_token": None,
        "auth_token": False,
        "private_key": "/etc/ssl/private/lab.pem",
        "passphrase": "[redacted:secret-field:0a1b2c3d]",
    },
    "names about secrets": {
        "token_type": "urn:ietf:oauth:2.0",
        "secret_name": "prod/db/a1b2c3d4e5f6a7b8",
        "password_file": "a1b2c3d4e5f6",
        "max_tokens": "4096",
        "next_page_token": draw("page", ALNUM, 24),
    },
    "code": [
        "password = get_password()",
        "password: str = field(default=None)",
        "token = self.next_token(token)",
        "secret = os.environ['APP_SECRET']",
        "api_key=api_key, auth=(user, password)",
        "const token = await client.fetchToken(id2);",
        "if password == other.password: return",
    ],
    "prose": "The password is asked for, and a bearer token-based scheme follows basic auth.",
    "a mention of keys": "It begins with -----BEGIN RSA PRIVATE KEY----- and ends with -----END.",
    "addresses": ["http://localhost:8080/a@b", "git@github.com:a/b.git", "ann@lab.test", "a:b@c"],
    "a variable in an URL": "postgres://${DB_USER}:${DB_PASS}@localhost/x",
    "uid and gid": "docker run -u 1000:1000 x; curl -u $USER:$PASS https://lab.test",
    "names with beginnings of tokens": "task-force-2024-q3 disk-usage-of-all sk-learn hf_transfer",
    "a long name": "a_very_long_name_of_a_function_that_does_something_2_times",
}


@pytest.mark.parametrize("kind", NEGATIVES)
def test_what_is_no_secret_stays(kind: str) -> None:
    action = {"type": "read", "details": {"v": NEGATIVES[kind]}}

    assert REDACTOR.redact(action) is action


tokens = st.sampled_from([sample for sample in TOKEN_SAMPLES if sample.text[0] != "S"])
texts = st.text(max_size=30)


@st.composite
def values_with_a_secret(draw_from: st.DrawFn) -> tuple[Any, str]:
    """Any value of JSON, with a token somewhere in it that has a blank or quote around it."""
    secret = draw_from(tokens).secret
    around = draw_from(st.sampled_from([" ", '"', "'", "\n", "(", ":"]))
    value: Any = f"{draw_from(texts)}{around}{secret}{around}{draw_from(texts)}"
    json = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
        lambda below: st.lists(below, max_size=3) | st.dictionaries(texts, below, max_size=3),
        max_leaves=6,
    )
    for _ in range(draw_from(st.integers(0, 4))):
        other = draw_from(json)
        value = draw_from(
            st.sampled_from(
                [
                    [other, value],
                    {draw_from(texts): other, draw_from(texts): value},
                    orjson.dumps([value, other]).decode(),
                    {orjson.dumps(value).decode(): other},
                ]
            )
        )
    return value, secret


@given(values_with_a_secret())
def test_no_value_keeps_a_planted_secret(planted: tuple[Any, str]) -> None:
    """A11, whatever is around it."""
    value, secret = planted
    text = orjson.dumps(redacted(value)).decode()

    assert secret not in text
    assert redacted(orjson.loads(text)["v"])["v"] == orjson.loads(text)["v"], "once is enough"


def test_findings_say_where() -> None:
    sample = TOKEN_SAMPLES[0]

    assert findings(f"a {sample.text} b") == [(sample.rule, 2, 2 + len(sample.text))]
    assert findings("nothing") == []


def test_samples_of_assignments_are_not_found_by_another_name() -> None:
    """The name decides: the same values of a harmless name stay."""
    harmless = [s.text.partition(s.secret)[2] for s in ASSIGNMENT_SAMPLES]

    assert len(harmless) == len(ASSIGNMENT_SAMPLES)
    assert findings(f"colour: {PASSWORD}\nbuild={draw('build', ALNUM, 32)}") == []


def test_every_rule_is_in_the_documents(repository: Path) -> None:
    text = (repository / "docs" / "redaction.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)

    assert rows == list(RULE_NAMES)
