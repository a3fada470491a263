"""Whether a name is that of a secret, and whether a value is one or only stands for one.

Rules that go by a name alone would take out half of what programmers write: `token: str`,
`password = get_password()`, `"api_key": "<your key>"`. What is said here decides between recall
and false positives, and docs/redaction.md has the figures.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from provenance_log.redaction_marks import MARK_START
from provenance_log.redaction_rules import Check

Weight = Literal["", "weak", "strong"]
"""How much a name says by itself: a strong one needs little of its value."""

NAME_LENGTH_MAX = 100
JUDGED_LENGTH_MAX = 512
"""A value is judged by its first characters."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_STRONG = _words(
    "password passwd passwort passphrase passcode pwd pgpassword mysqlpwd secret secrets "
    "clientsecret secretkey secretaccesskey privatekey apisecret appsecret"
)
_KEY_KINDS = _words(
    "access account admin api app application auth authorization client consumer deploy "
    "encryption host license master openai anthropic private secret service session shared "
    "signing ssh storage subscription webhook write x"
)
_KEYS = _words(
    "apikey accesskey accesskeyid accountkey authkey encryptionkey masterkey sessionkey "
    "signingkey sshkey deploykey"
)
_WEAK = _words(
    "token accesstoken refreshtoken authtoken apitoken idtoken sessiontoken bearertoken "
    "bottoken authorization auth credential credentials cookie "
    "xapikey xauthtoken setcookie"
)
_HARMLESS_TOKENS = _words(
    "next page continuation continue eos bos pad unk mask sep cls stop start end max min num "
    "count total input output prompt completion cache cached per first last cancel cancellation "
    "special sentinel design syntax lex parse sync resume reasoning"
)
_ABOUT = _words(
    "algorithm arn attempts audience budget class count created date dir enabled encryption "
    "endpoint env "
    "error exists expires expiry expiration field file filename format function group hash header "
    "help hint host id ids index issuer kind label length limit link list location manager max "
    "message min mode model name names needed ok owner param path pattern placeholder policy "
    "prefix present prompt provider ref reference regex required reset role rotation rule scope "
    "size source status store suffix title tokens type types ui uri url usage used user username "
    "valid validation validator var variable version"
)
"""Last words of names that tell about a secret and don't hold it: `token_type`, `secret_name`."""


@lru_cache(maxsize=4096)
def weight_of_name(name: str) -> Weight:
    """Say how much the name of a member or a variable speaks for its value being a secret."""
    if len(name) > NAME_LENGTH_MAX:
        return ""
    words = [word.lower() for word in _WORDS.findall(name)]
    while words and (words[-1].isdigit() or words[-1] in {"value", "base", "text", "plain", "b"}):
        words.pop()
    if not words or words[-1] in _ABOUT:
        return ""
    pairs = {first + second for first, second in pairwise(words)}
    if not _STRONG.isdisjoint(words) or not _STRONG.isdisjoint(pairs):
        return "" if words[0] in {"public", "no", "is", "has"} else "strong"
    if words[-1] in _KEYS or (len(words) > 1 and words[-1] == "key" and words[-2] in _KEY_KINDS):
        return "weak"
    if words[-1] in _WEAK:
        return "" if not _HARMLESS_TOKENS.isdisjoint(words[:-1]) else "weak"
    return ""


_STAND_INS = re.compile(
    r"(?i:\*{3,}|x{6,}|\.{3,}|-{4,}|_{4,}|0{8,}|#{3,}|…|•|example|sample|dummy|placeholder|"
    r"redacted|change[-_]?me|replace|insert|your[-_ ]|my[-_](?:api|secret|token|pass|key)|"
    r"\btodo\b|not[-_]?set|not[-_]?a[-_]?(?:real|secret)|fake)"
)
_REFERENCE = re.compile(
    r"[<\[({].*[>\])}]|\$\{?[A-Za-z_(].*|%\(?\w+\)?[%s]?|\{\{.*|@\w+|\\?[({<\[].*|.*[({\[<]",
    re.ASCII | re.DOTALL,
)
_WORDS_FOR_NOTHING = _words(
    "string str text bool boolean int integer number object array list dict none null nil true "
    "false undefined optional required unset empty default password passwd passphrase secret "
    "token key apikey value test testing user username admin root hidden masked sensitive env "
    "environ environment file path prompt stdin keyring vault bytes any unknown varchar "
    "postgres pass basic bearer"
)


def is_placeholder(value: str) -> bool:
    """Say whether a value only stands for a secret, as `<token>`, `***` or `${TOKEN}` do."""
    bare = value[:JUDGED_LENGTH_MAX].strip(" \t\r\n\"'`,;\\")
    return (
        bare.startswith(MARK_START)
        or len(set(bare)) < 4
        or bare.lower().strip("_-.:/") in _WORDS_FOR_NOTHING
        or _REFERENCE.fullmatch(bare) is not None
        or _STAND_INS.search(bare) is not None
    )


def is_stand_in_token(value: str) -> bool:
    """Say whether something has the form of a token and is plainly an example of one."""
    tail = value[-20:]
    return "EXAMPLE" in value or len(set(tail)) < 5 or "xxxxxx" in value or "XXXXXX" in value


_PARTS = re.compile(r"[A-Za-z0-9]{8,}")
_CASE_CHANGES = re.compile(r"[a-z](?=[A-Z])|[A-Z](?=[a-z])")


def looks_random(value: str) -> bool:
    """Say whether a value looks drawn by lot: a mixture that no name, word or number has."""
    for part in _PARTS.findall(value[:JUDGED_LENGTH_MAX]):
        if len(set(part)) < 6:
            continue
        digits = sum(map(str.isdigit, part))
        if 0 < digits < len(part) and _mixes(part):
            return True
        if len(_CASE_CHANGES.findall(part)) >= 0.3 * len(part):
            return True
    return False


def _mixes(part: str) -> bool:
    """Say whether digits stand between letters; `version2` and `20260110T` are no mixtures."""
    return re.search(r"[0-9][A-Za-z]+[0-9]|[A-Za-z][0-9]+[A-Za-z]", part) is not None


_CODE = re.compile(r"[A-Za-z_]\w*(?:(?:\.|::|->|\?\.)[A-Za-z_]\w*)+[!?]?", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z_]+(?:[-_][A-Za-z]+)*", re.ASCII)
_PATH = re.compile(
    r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\](?![A-Za-z0-9+/]{30}).*|[\w.-]+/[\w./-]+\.\w{1,5}"
)


def is_field_value(value: str, weight: Weight) -> bool:
    """Say whether a member of this name and value is a secret."""
    text = value.strip()
    if not 4 <= len(text) <= 8192 or is_placeholder(text) or _PATH.fullmatch(text):
        return False
    if weight == "strong":
        return len(text) <= 256 or not re.search(r"\s", text)
    return is_assigned_value(text, weight, is_quoted=True)


def is_assigned_value(value: str, weight: Weight, *, is_quoted: bool) -> bool:
    """Say whether what a text gives to a name of this weight is a secret, not code or prose."""
    if is_placeholder(value) or _CODE.fullmatch(value) or _PATH.fullmatch(value):
        return False
    if re.search(r"\s", value):
        return False
    if weight == "weak":
        return len(value) >= 16 and looks_random(value)
    if is_quoted:
        return len(value) >= 6 and not _IDENTIFIER.fullmatch(value)
    has_digit = any(map(str.isdigit, value))
    has_letter = any(map(str.isalpha, value))
    return len(value) >= 6 and has_letter and (has_digit or bool(re.search(r"[!#$%^&*+~?]", value)))


def is_secret(check: Check, value: str) -> bool:
    """Judge what matched the form of a rule."""
    if check == "random":
        return looks_random(value) and not is_stand_in_token(value)
    if check == "basic":
        return _is_user_and_password(value)
    if check == "value":
        return not is_placeholder(value) and (len(value) >= 16 or looks_random(value))
    if check == "loose":
        return not is_placeholder(value) and not (value.isdigit() and len(value) < 6)
    if check == "sentence":
        return not is_placeholder(value) and looks_random(value)
    return not is_stand_in_token(value)


def _is_user_and_password(value: str) -> bool:
    try:
        decoded = b64decode(value + "=" * (-len(value) % 4), validate=True).decode()
    except (Base64Error, UnicodeDecodeError):
        return False
    return ":" in decoded and decoded.isprintable()
