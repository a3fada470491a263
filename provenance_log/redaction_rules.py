"""What well-known credentials look like: a table of rules, in the order of their precedence.

A rule is tried only where one of its keywords stands, and only there: its expression is matched
at that place and not searched for. Every repetition is bounded or possessive and none is nested
in another, so the time is linear in the text whatever the text is.

*Tokens* begin with letters that their service chose and go on without a blank, so that a text
without a long run of such characters needs no look at all. *Contexts* are secrets that are known
by what stands around them. The names are public: logs, `exclude_rules` and docs/redaction.md have
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RUN_LENGTH_MIN = 20
"""Every token has as many characters of `RUN_CHARACTERS` in a row, its keyword among them."""
RUN_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.~"

Check = Literal["", "random", "basic", "value", "loose", "sentence"]
"""How a match is judged beyond its form; see `redaction_judging`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of secret."""

    name: str
    keywords: tuple[str, ...]
    """One of these must stand in the text; in lower case unless it is a token."""
    pattern: str
    """Matched at the keyword; its group `secret` is what is taken out, or else all of it."""
    is_token: bool = True
    check: Check = ""
    back: int = 0
    """Characters before the keyword at which the expression begins."""
    gate: str = ""
    """A text in lower case without which the keywords need not be looked for."""


def _token(name: str, keywords: str, rest: str, check: Check = "") -> Rule:
    """Return the rule of a token: one of some beginnings, then `rest`."""
    return Rule(name, tuple(keywords.split()), f"(?:{_any_of(keywords)}){rest}", check=check)


def _any_of(keywords: str) -> str:
    return "|".join(word.replace(".", r"\.").replace("+", r"\+") for word in keywords.split())


def _context(
    name: str, keywords: tuple[str, ...], pattern: str, check: Check = "", gate: str = ""
) -> Rule:
    return Rule(name, keywords, f"(?i:{pattern})", is_token=False, check=check, gate=gate)


_ALONE = r"(?<![A-Za-z0-9])"
_END = r"(?![A-Za-z0-9])"
_URL64 = r"[A-Za-z0-9_-]"
_QUOTE = r"[\"'`]"

TOKEN_RULES: tuple[Rule, ...] = (
    Rule(
        "aws-secret-access-key",
        ("AKIA", "ASIA"),
        _ALONE + r"A[KS]IA[A-Z2-7]{16}[^A-Za-z0-9/+]{1,12}(?P<secret>[A-Za-z0-9/+]{40})(?![\w/+=])",
    ),
    Rule(
        "aws-access-key-id",
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        _ALONE + r"A(?:KI|SI|BI|CC)A[A-Z2-7]{16}" + _END,
    ),
    Rule("gcp-api-key", ("AIza",), r"AIza[\w-]{35}(?![\w-])"),
    Rule("gcp-oauth", ("GOCSPX-", "ya29."), r"(?:GOCSPX-[\w-]{28}|ya29\.[\w.-]{20,2048})"),
    Rule("azure-client-secret", ("Q~",), r"[\w~.-]{3}\dQ~[\w~.-]{31,34}", back=4),
    _token("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{36,255}"),
    _token("github-token", "github_pat_", r"[A-Za-z0-9_]{22,255}"),
    _token(
        "gitlab-token",
        "glpat- gldt- glrt- glptt- glft- glsoat- glcbt- glimt- glagent- gloas-",
        r"[\w=.-]{20,300}",
    ),
    _token(
        "slack-token",
        "xoxa- xoxb- xoxc- xoxd- xoxe- xoxe. xoxo- xoxp- xoxr- xoxs-",
        r"[A-Za-z0-9%.+/=-]{15,500}",
    ),
    _token("slack-token", "xapp-", r"\d-[A-Za-z0-9-]{15,300}"),
    _token(
        "stripe-key",
        "sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_",
        r"[A-Za-z0-9]{10,247}",
    ),
    _token("stripe-webhook-secret", "whsec_", r"[A-Za-z0-9+/]{24,64}={0,2}"),
    _token("anthropic-key", "sk-ant-", r"[\w-]{20,300}"),
    _token("openai-key", "sk-proj- sk-svcacct- sk-admin- sk-None-", r"[\w-]{20,300}"),
    _token("openrouter-key", "sk-or-v1-", r"[0-9a-f]{64}"),
    Rule("openai-key", ("sk-",), _ALONE + r"sk-[A-Za-z0-9]{20,64}" + _END, check="random"),
    _token("huggingface-token", "hf_ api_org_", r"[A-Za-z0-9]{30,64}" + _END, "random"),
    _token("npm-token", "npm_", r"[A-Za-z0-9]{36}" + _END),
    _token("pypi-token", "pypi-AgE", r"[\w-]{50,1000}"),
    _token("docker-token", "dckr_pat_ dckr_oat_", r"[\w-]{24,64}"),
    Rule("twilio-key", ("SK",), _ALONE + r"SK[0-9a-f]{32}" + _END),
    _token("sendgrid-key", "SG.", r"[\w-]{16,64}\.[\w-]{16,64}"),
    _token("mailgun-key", "key-", r"[0-9a-f]{32}" + _END),
    _token("brevo-key", "xkeysib- xsmtpsib-", r"[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    _token("digitalocean-token", "dop_v1_ doo_v1_ dor_v1_", r"[0-9a-f]{64}"),
    _token("heroku-key", "HRKU-", r"[\w-]{32,128}"),
    _token("databricks-token", "dapi", r"[0-9a-f]{32}(?:-\d)?" + _END),
    _token("shopify-token", "shpat_ shpca_ shppa_ shpss_", r"[0-9a-fA-F]{32}"),
    _token("square-token", "sq0atp- sq0csp- sq0idp-", r"[\w-]{22,64}"),
    Rule("square-token", ("EAAA",), r"(?<![\w/+-])EAAA[\w-]{60}(?![\w-])", check="random"),
    Rule("facebook-token", ("EAA",), r"(?<![\w/+-])EAA[MC][A-Za-z0-9]{60,300}" + _END),
    _token("cloudflare-token", "v1.0-", r"[0-9a-f]{24}-[0-9a-f]{146}"),
    _token("atlassian-token", "ATATT3 ATCTT3", r"[\w=-]{24,400}", "random"),
    Rule("atlassian-token", ("ATBB",), r"(?<![\w/+])ATBB[\w=]{24,60}(?![\w/+])", check="random"),
    _token("linear-key", "lin_api_ lin_oauth_", r"[A-Za-z0-9]{32,128}"),
    _token("notion-token", "ntn_ secret_", r"[A-Za-z0-9]{40,64}" + _END, "random"),
    Rule("airtable-token", ("pat",), _ALONE + r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    _token("vault-token", "hvs. hvb. hvr.", r"[\w-]{24,300}"),
    _token("terraform-token", ".atlasv1.", r"[\w=-]{60,80}"),
    _token("grafana-token", "glsa_ glc_", r"[A-Za-z0-9+/_=]{32,400}"),
    _token("sentry-token", "sntrys_ sntryu_", r"[\w+/=-]{40,500}"),
    _token("new-relic-key", "NRAK- NRJS- NRII- NRAL-", r"[\w-]{19,64}"),
    _token("planetscale-token", "pscale_tkn_ pscale_pw_ pscale_oauth_", r"[\w=.-]{32,64}"),
    _token("doppler-token", "dp.pt. dp.st. dp.ct. dp.sa.", r"[\w.-]{32,128}"),
    _token("pulumi-token", "pul-", r"[0-9a-f]{40}"),
    _token("postman-key", "PMAK-", r"[0-9a-f]{24}-[0-9a-f]{34}"),
    _token("rubygems-key", "rubygems_", r"[0-9a-f]{48}"),
    _token("fly-token", "fo1_ fm1r_ fm2_", r"[\w+/=,-]{40,600}"),
    _token("supabase-token", "sbp_ sb_secret_", r"[\w-]{22,64}", "random"),
    _token("groq-key", "gsk_", r"[A-Za-z0-9]{40,64}"),
    _token("xai-key", "xai-", r"[A-Za-z0-9]{70,100}"),
    _token("replicate-token", "r8_", r"[A-Za-z0-9]{37}" + _END),
    _token("perplexity-key", "pplx-", r"[A-Za-z0-9]{40,64}"),
    _token("nvidia-key", "nvapi-", r"[\w-]{60,80}"),
    _token("langsmith-key", "lsv2_pt_ lsv2_sk_", r"[0-9a-f]{32}_[0-9a-f]{10}"),
    _token("pinecone-key", "pcsk_", r"[A-Za-z0-9_]{40,100}"),
    _token("tailscale-key", "tskey-", r"[a-z]{3,12}-[A-Za-z0-9-]{16,80}"),
    _token("circleci-token", "CCIPAT_ CCIPRJ_", r"[A-Za-z0-9]{20,24}_[0-9a-f]{40}"),
    _token("buildkite-token", "bkua_", r"[0-9a-f]{40}"),
    _token("netlify-token", "nfp_ nfc_", r"[A-Za-z0-9]{36}" + _END),
    _token("sourcegraph-token", "sgp_", r"[A-Za-z0-9_]{40,80}"),
    _token("dynatrace-token", "dt0c01. dt0s01. dt0s16.", r"[A-Z2-7]{24}\.[A-Z2-7]{64}"),
    _token("onepassword-token", "ops_eyJ", r"[A-Za-z0-9+/_=-]{100,2000}"),
    _token("age-key", "AGE-SECRET-KEY-1", r"[0-9A-Z]{58}"),
    _token("alibaba-key", "LTAI", r"[A-Za-z0-9]{16,24}" + _END, "random"),
    _token("artifactory-token", "AKCp", r"[A-Za-z0-9]{64,80}"),
    _token("contentful-token", "CFPAT-", r"[\w-]{40,64}"),
    Rule("telegram-token", ("AA",), r"(?<=\d{8}:)AA[\w-]{32,34}(?![\w-])"),
    Rule(
        "jwt",
        ("eyJ",),
        rf"(?<![\w-])eyJ{_URL64}{{8,4096}}\.{_URL64}{{8,16384}}(?:\.{_URL64}{{0,8192}}){{1,3}}",
    ),
)

_NAME_ENDS = r"[\w-]{0,40}"
_SEPARATOR = rf"(?:{_QUOTE}|\])?[ \t]{{0,8}}(?:=>|:=|=|:)[ \t]{{0,8}}"
_QUOTED = r"[\"'`](?P<secret>[^\"'`\s]{4,4096})[\"'`]"
_BARE = r"(?P<bare>[^\s\"'`,;<>(){}\[\]|&]{4,4096})"
_USERINFO = r"[^\s/?#@:\"'<>\\`]"
_BODY_LINE = r"[\s\\\"'+,>|rn]{0,24}[A-Za-z0-9+/=]"

CONTEXT_RULES: tuple[Rule, ...] = (
    _context(
        "private-key",
        ("-----begin ",),
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?=[^-]{0,40}(?:[^-]|-(?!----)){0,400}?[A-Za-z0-9+/]{16})"
        r"(?:(?P<secret>(?:[\w+/=\s\"',:;.()\\>|@<]++|-(?!----))++)"
        r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY"
        rf"|(?P<cut>(?:{_BODY_LINE}{{16,}}+){{1,2000}}+"
        r"(?:[\s\\\"'n]{0,8}[A-Za-z0-9+/]{1,80}=)?))",
        gate="key",
    ),
    _context(
        "putty-key",
        ("private-lines:",),
        rf"private-lines:[ \t]{{0,4}}\d{{1,4}}(?P<secret>(?:{_BODY_LINE}{{16,}}+){{1,2000}}+)",
        gate="key",
    ),
    _context(
        "slack-webhook",
        ("hooks.slack.com/",),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[\w/+-]{20,200})",
        gate="://",
    ),
    _context(
        "discord-webhook",
        ("/api/webhooks/",),
        r"/api/webhooks/\d{16,22}/(?P<secret>[\w-]{40,100})",
        gate="://",
    ),
    _context(
        "discord-token",
        ("discord",),
        r"discord[^\n]{0,60}?(?<![\w.-])(?P<secret>[MNO][\w-]{22,27}\.[\w-]{6}\.[\w-]{27,40})",
    ),
    _context(
        "azure-storage-key",
        ("accountkey=", "sharedaccesskey=", "accesskey="),
        r"(?:account|sharedaccess|access)key=(?P<secret>[A-Za-z0-9+/]{40,90}={0,2})",
        gate="key",
    ),
    _context("azure-sas", ("sig=",), r"(?<=[?&;])sig=(?P<secret>[A-Za-z0-9%+/]{40,120}={0,2})"),
    _context(
        "heroku-key",
        ("heroku",),
        r"heroku[\w .\"'-]{0,40}[=:][\s\"']{0,4}"
        r"(?P<secret>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",
        gate="key",
    ),
    _context(
        "connection-string",
        ("://",),
        rf"://{_USERINFO}{{0,128}}:(?P<secret>[^\s/?#@\"'<>\\`]{{1,512}})@(?=[\w\[$%{{<.-])",
        "loose",
    ),
    _context(
        "url-userinfo",
        ("://",),
        r"://(?P<secret>[\w~.-]{20,255})(?::x-oauth-basic)?@(?=\w)",
        "random",
    ),
    _context(
        "authorization-header",
        ("authorization",),
        r"authorization\\{0,3}[\"']?\]?[ \t]{0,4}[:=,][ \t]{0,4}\\{0,3}[\"'`]?"
        r"(?:(?:bearer|token|bot|apikey|api-key|negotiate|key)[ \t]{1,4})"
        r"(?P<secret>[\w.~+/=:-]{8,8192})",
        "value",
        gate="auth",
    ),
    _context(
        "bearer-token", ("bearer ",), r"bearer[ \t]{1,4}(?P<secret>[\w.~+/=-]{16,8192})", "random"
    ),
    _context(
        "basic-auth",
        ("basic ",),
        r"basic[ \t]{1,4}(?P<secret>[A-Za-z0-9+/]{8,1024}={0,2})",
        "basic",
        gate="auth",
    ),
    _context(
        "cookie-header",
        ("cookie:", 'cookie":', "cookie':"),
        r"cookie[\"']?:[ \t]{0,4}[\"']?[\w.!#$%&*+^|~-]{1,128}="
        r"(?P<secret>[^\s\"'][^\r\n\"']{7,8191})",
        "sentence",
        gate="cookie",
    ),
    _context(
        "curl-user",
        ("-u", "--user", "--proxy-user"),
        r"(?<=[\s\"'])(?:-u|--user|--proxy-user)(?:[ \t=]|\\?[\"'],?[ \t]{0,4}){0,3}[\"']?"
        r"[^\s:\"'\\/]{1,64}:(?P<secret>[^\s\"'\\]{3,256})",
        "loose",
        gate="curl",
    ),
    _context(
        "netrc-password",
        ("login",),
        r"login\s{1,8}[^\s\"']{1,255}\s{1,8}password\s{1,8}(?P<secret>[^\s\"']{3,255})",
        "loose",
        gate="pass",
    ),
)
"""The rules of secrets that are known by their surroundings; the general one is separate."""

FIELD_RULE = "secret-field"
"""The value of a member whose name says that it is a secret."""
ASSIGNMENT_RULE = "secret-assignment"
"""A value that a text gives to such a name: `NAME=value`, `"name": "value"`, `--name value`."""

ASSIGNMENT_STEMS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "credential",
    "auth",
    "cookie",
)
"""Every name of a secret has one of these in it."""
ASSIGNMENT_PATTERN = (
    rf"(?P<name>{_NAME_ENDS})"
    rf"(?:{_SEPARATOR}(?:{_QUOTED}|{_BARE})"
    rf"|(?P<flag>[ \t]{{1,4}}){_QUOTE}?(?P<argument>[^\s\"'`]{{4,1024}})"
    r"|>(?P<element>[^<>\s]{4,1024})</)"
)

BUILT_IN_RULES = (*TOKEN_RULES, *CONTEXT_RULES)
RULE_NAMES: tuple[str, ...] = (
    *dict.fromkeys(rule.name for rule in BUILT_IN_RULES),
    ASSIGNMENT_RULE,
    FIELD_RULE,
)
"""The name of every rule, for `exclude_rules` and the documentation."""
