"""Secrets to plant: for each rule some that its service could have issued, made from parts.

None is a whole literal anywhere in the repository, so that a scanner of repositories has nothing
to report, and none was ever issued: the random parts come from a seed.
"""

import base64
import random
from dataclasses import dataclass

UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LOWER = UPPER.lower()
DIGITS = "0123456789"
ALNUM = UPPER + LOWER + DIGITS
URL64 = ALNUM + "_-"
HEX = DIGITS + "abcdef"
BASE32 = UPPER + "234567"


@dataclass(frozen=True)
class Sample:
    """A text that holds a secret, and the rule that is to find it."""

    rule: str
    text: str
    secret: str
    """What must be nowhere afterwards."""


def draw(seed: str, alphabet: str, length: int) -> str:
    """Random characters; the same ones for the same seed."""
    return "".join(random.Random(seed).choices(alphabet, k=length))


# Rule → beginning, alphabet and length of the rest, and an end.
TOKENS: list[tuple[str, str, str, int, str]] = [
    ("aws-access-key-id", "AKIA", BASE32, 16, ""),
    ("aws-access-key-id", "ASIA", BASE32, 16, ""),
    ("gcp-api-key", "AIza", URL64, 34, "x"),
    ("gcp-oauth", "GOCSPX-", URL64, 28, ""),
    ("gcp-oauth", "ya29.", URL64, 120, ""),
    ("azure-client-secret", "a1B8Q~", URL64, 34, ""),
    *(("github-token", f"gh{kind}_", ALNUM, 36, "") for kind in "pousr"),
    ("github-token", "github_pat_", ALNUM, 82, ""),
    ("gitlab-token", "glpat-", URL64, 20, ""),
    ("gitlab-token", "glrt-", URL64, 20, ""),
    ("slack-token", "xoxb-", DIGITS, 12, "-1234567890123-" + draw("slack", ALNUM, 24)),
    ("slack-token", "xoxp-", DIGITS, 12, "-1234567890123-" + draw("slackp", HEX, 32)),
    ("slack-token", "xapp-1-A0", ALNUM, 12, "-1234567890123-" + draw("xapp", HEX, 64)),
    ("stripe-key", "sk_live_", ALNUM, 24, ""),
    ("stripe-key", "rk_test_", ALNUM, 99, ""),
    ("stripe-webhook-secret", "whsec_", ALNUM, 32, ""),
    ("anthropic-key", "sk-ant-api03-", URL64, 93, "AA"),
    ("anthropic-key", "sk-ant-oat01-", URL64, 93, "AA"),
    ("openai-key", "sk-proj-", URL64, 74, "T3Blbk" + "FJ" + draw("openai", URL64, 74)),
    ("openai-key", "sk-", ALNUM, 20, "T3Blbk" + "FJ" + draw("openai2", ALNUM, 20)),
    ("openrouter-key", "sk-or-v1-", HEX, 64, ""),
    ("huggingface-token", "hf_", UPPER + LOWER, 34, ""),
    ("npm-token", "npm_", ALNUM, 36, ""),
    ("pypi-token", "pypi-AgEIcHlwaS5vcmc", URL64, 120, ""),
    ("docker-token", "dckr_pat_", URL64, 27, ""),
    ("twilio-key", "SK", HEX, 32, ""),
    ("sendgrid-key", "SG.", URL64, 22, "." + draw("sendgrid", URL64, 43)),
    ("mailgun-key", "key-", HEX, 32, ""),
    ("brevo-key", "xkeysib-", HEX, 64, "-" + draw("brevo", ALNUM, 16)),
    ("digitalocean-token", "dop_v1_", HEX, 64, ""),
    ("heroku-key", "HRKU-AA", URL64, 58, ""),
    ("databricks-token", "dapi", HEX, 32, "-2"),
    ("shopify-token", "shpat_", HEX, 32, ""),
    ("square-token", "sq0csp-", URL64, 43, ""),
    ("square-token", "EAAA", URL64, 59, "x"),
    ("facebook-token", "EAAM", ALNUM, 120, ""),
    ("cloudflare-token", "v1.0-", HEX, 24, "-" + draw("cloudflare", HEX, 146)),
    ("atlassian-token", "ATATT3xFfGF0", URL64, 180, "=" + "1A2B3C4D"),
    ("linear-key", "lin_api_", ALNUM, 40, ""),
    ("notion-token", "ntn_", ALNUM, 46, ""),
    ("notion-token", "secret_", ALNUM, 43, ""),
    ("airtable-token", "pat", ALNUM, 14, "." + draw("airtable", HEX, 64)),
    ("vault-token", "hvs.", URL64, 95, ""),
    ("terraform-token", draw("tf", ALNUM, 14) + ".atlasv1.", ALNUM, 67, ""),
    ("grafana-token", "glsa_", ALNUM, 32, "_" + draw("grafana", HEX, 8)),
    ("sentry-token", "sntryu_", HEX, 64, ""),
    ("new-relic-key", "NRAK-", UPPER + DIGITS, 27, ""),
    ("planetscale-token", "pscale_tkn_", URL64, 43, ""),
    ("doppler-token", "dp.pt.", ALNUM, 43, ""),
    ("pulumi-token", "pul-", HEX, 40, ""),
    ("postman-key", "PMAK-", HEX, 24, "-" + draw("postman", HEX, 34)),
    ("rubygems-key", "rubygems_", HEX, 48, ""),
    ("fly-token", "fo1_", URL64, 43, ""),
    ("supabase-token", "sbp_", HEX, 40, ""),
    ("groq-key", "gsk_", ALNUM, 52, ""),
    ("xai-key", "xai-", ALNUM, 80, ""),
    ("replicate-token", "r8_", ALNUM, 37, ""),
    ("perplexity-key", "pplx-", ALNUM, 48, ""),
    ("nvidia-key", "nvapi-", URL64, 64, ""),
    ("langsmith-key", "lsv2_pt_", HEX, 32, "_" + draw("langsmith", HEX, 10)),
    ("pinecone-key", "pcsk_", ALNUM, 68, ""),
    ("tailscale-key", "tskey-auth-", ALNUM, 12, "CNTRL-" + draw("tailscale", ALNUM, 32)),
    ("circleci-token", "CCIPAT_", ALNUM, 22, "_" + draw("circleci", HEX, 40)),
    ("buildkite-token", "bkua_", HEX, 40, ""),
    ("netlify-token", "nfp_", ALNUM, 36, ""),
    ("sourcegraph-token", "sgp_", HEX, 40, ""),
    ("dynatrace-token", "dt0c01.", BASE32, 24, "." + draw("dynatrace", BASE32, 64)),
    ("onepassword-token", "ops_eyJ", ALNUM, 250, ""),
    ("age-key", "AGE-SECRET-KEY-1", UPPER + DIGITS, 58, ""),
    ("alibaba-key", "LTAI", ALNUM, 20, ""),
    ("artifactory-token", "AKCp", ALNUM, 69, ""),
    ("contentful-token", "CFPAT-", URL64, 43, ""),
]


def url64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def jwt() -> str:
    head, body = url64('{"alg":"HS256","typ":"JWT"}'), url64('{"sub":"1234","name":"Jane"}')
    return f"{head}.{body}.{draw('jwt', URL64, 43)}"


def pem(kind: str, body: str = "") -> tuple[str, str]:
    """A private key in lines of 64, and its second line."""
    body = body or draw(kind, ALNUM + "+/", 64 * 5 + 20)
    lines = [body[i : i + 64] for i in range(0, len(body), 64)]
    label = f"{kind} PRIVATE " if kind else "PRIVATE "
    text = "\n".join([f"-----BEGIN {label}KEY-----", *lines, f"-----END {label}KEY-----"])
    return text, lines[1]


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


PASSWORD = draw("password", ALNUM, 8) + "!7q"
LONG = draw("long", ALNUM + "+/", 40)


def _contexts() -> list[Sample]:
    key_id = "AKIA" + draw("id", BASE32, 16)
    uuid = "-".join(draw(f"heroku{n}", HEX, n) for n in (8, 4, 4, 4, 12))
    azure = draw("azure", ALNUM + "+/", 86) + "=="
    sig = draw("sas", ALNUM, 43)
    putty = draw("putty", ALNUM + "+/", 64)
    cookie = draw("cookie", ALNUM, 40)
    discord = f"MTA{draw('discord', ALNUM, 21)}.{draw('d2', URL64, 6)}.{draw('d3', ALNUM, 30)}"
    telegram = "AA" + draw("telegram", ALNUM, 33)
    webhook = f"T0{draw('t', UPPER, 8)}/B0{draw('b', UPPER, 8)}/{draw('w', ALNUM, 24)}"
    basic_text = basic("ann", PASSWORD)
    discord_hook = draw("hook", URL64, 68)
    bearer = draw("bearer", ALNUM, 32)
    user_token = draw("userinfo", ALNUM, 30)
    pem_key, pem_line = pem("RSA")
    return [
        Sample("aws-secret-access-key", f"{key_id}:{LONG}", LONG),
        Sample("private-key", pem_key, pem_line),
        Sample("private-key", pem_key.split("-----END")[0], pem_line),
        Sample("private-key", pem_key.replace("\n", r"\n"), pem_line),
        Sample(
            "putty-key",
            f"PuTTY-User-Key-File-3: x\nPrivate-Lines: 2\n{putty}\n{putty[:60]}==\nPrivate-MAC: 0",
            putty,
        ),
        Sample("slack-webhook", f"https://hooks.slack.com/services/{webhook}", webhook),
        Sample(
            "discord-webhook",
            f"https://discord.com/api/webhooks/{draw('n', '123', 18)}/{discord_hook}",
            discord_hook,
        ),
        Sample("discord-token", f"discord bot: {discord}", discord),
        Sample(
            "telegram-token", f"https://api.telegram.org/bot1234567890:{telegram}/getMe", telegram
        ),
        Sample("azure-storage-key", f"AccountName=lab;AccountKey={azure};Suffix=x", azure),
        Sample("azure-sas", f"https://lab.example.net/c?sv=2022&sig={sig}%3D&se=2030", sig),
        Sample("heroku-key", f"HEROKU_API_KEY = '{uuid}'", uuid),
        Sample("authorization-header", f"Authorization: Bearer {bearer}", bearer),
        Sample("authorization-header", f"-H 'authorization: token {bearer}'", bearer),
        Sample("bearer-token", f"curl sends bearer {bearer} here", bearer),
        Sample("basic-auth", f"Authorization: Basic {basic_text}", basic_text),
        Sample("cookie-header", f"Cookie: theme=dark; session={cookie}", cookie),
        Sample("cookie-header", f"Set-Cookie: session={cookie}; HttpOnly; Path=/", cookie),
        Sample("curl-user", f"curl -s -u ann:{PASSWORD} https://lab.test/x", PASSWORD),
        Sample("curl-user", f"curl --user 'ann:{PASSWORD}' https://lab.test/x", PASSWORD),
        Sample("netrc-password", f"machine lab.test\n  login ann\n  password {PASSWORD}", PASSWORD),
        Sample("url-userinfo", f"git clone https://{user_token}@lab.test/x.git", user_token),
        Sample("jwt", f"token is {jwt()}", jwt()),
    ]


def _connections() -> list[Sample]:
    samples = [
        Sample("connection-string", f"{scheme}://ann:{PASSWORD}@db.lab.test:5432/x", PASSWORD)
        for scheme in ("postgres", "postgresql", "mysql", "mongodb+srv", "amqp", "https", "rediss")
    ]
    samples.append(Sample("connection-string", f"redis://:{PASSWORD}@cache:6379/0", PASSWORD))
    return samples


def _private_keys() -> list[Sample]:
    pem_key, pem_line = pem("RSA")
    encrypted = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{draw('iv', HEX, 32)}\n\n"
    samples = []
    for kind in ("", "EC", "DSA", "OPENSSH", "ENCRYPTED"):
        text, line = pem(kind)
        samples.append(Sample("private-key", f"here it is:\n{text}\nand more", line))
    text, line = pem("RSA", draw("enc", ALNUM + "+/", 400))
    text = text.replace("KEY-----\n", f"KEY-----\n{encrypted}", 1)
    samples.append(Sample("private-key", text, line))
    text = f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{pem_key.split('KEY-----')[1]}"
    samples.append(
        Sample(
            "private-key",
            f"{text.split('-----END')[0]}-----END PGP PRIVATE KEY BLOCK-----",
            pem_line,
        )
    )
    return samples


def _assignments() -> list[Sample]:
    token = draw("assigned", ALNUM, 32)
    texts = {
        f"export DB_PASSWORD={PASSWORD}": PASSWORD,
        f"password: {PASSWORD}": PASSWORD,
        f"Password: '{PASSWORD}'": PASSWORD,
        f'db.password = "{PASSWORD}"': PASSWORD,
        f"jdbc:postgresql://lab.test/x?user=ann&password={PASSWORD}": PASSWORD,
        f"Server=lab;User Id=ann;Pwd={PASSWORD};": PASSWORD,
        f"AWS_SECRET_ACCESS_KEY={LONG}": LONG,
        f"aws_secret_access_key = {LONG}": LONG,
        f"MY_API_TOKEN={token}": token,
        f"api_key: {token}": token,
        f'const apiKey = "{token}";': token,
        f"X-Api-Key: {token}": token,
        f"client_secret => '{token}'": token,
        f"tool --password {PASSWORD} --verbose": PASSWORD,
        f"tool --api-key={token}": token,
        f"<password>{PASSWORD}</password>": PASSWORD,
        f"https://lab.test/x?access_token={token}&a=b": token,
        f"TWILIO_AUTH_TOKEN={draw('twilio', HEX, 32)}": draw("twilio", HEX, 32),
        f"CLOUDFLARE_API_TOKEN={draw('cf', URL64, 39)}x": draw("cf", URL64, 39) + "x",
    }
    return [Sample("secret-assignment", text, secret) for text, secret in texts.items()]


TOKEN_SAMPLES = [
    Sample(rule, token, token)
    for rule, start, alphabet, length, end in TOKENS
    for token in [start + draw(start, alphabet, length) + end]
]
CONTEXT_SAMPLES = [*_contexts(), *_connections(), *_private_keys()]
ASSIGNMENT_SAMPLES = _assignments()
SAMPLES = [*TOKEN_SAMPLES, *CONTEXT_SAMPLES, *ASSIGNMENT_SAMPLES]
FIELDS = {
    "password": PASSWORD,
    "db_passwd": PASSWORD,
    "PGPASSWORD": PASSWORD,
    "secret": draw("secret", ALNUM, 20),
    "clientSecret": draw("clientSecret", ALNUM, 30),
    "api_key": draw("api_key", ALNUM, 32),
    "apikey": draw("apikey", HEX, 32),
    "X-API-Key": draw("X-API-Key", ALNUM, 32),
    "access_key": draw("access_key", ALNUM, 32),
    "private_key": draw("private_key", ALNUM, 64),
    "token": draw("token", ALNUM, 32),
    "refreshToken": draw("refreshToken", ALNUM, 32),
    "authorization": draw("authorization", ALNUM, 32),
    "Cookie": "session=" + draw("Cookie", ALNUM, 32),
    "AWS_SECRET_ACCESS_KEY": LONG,
}
"""Names of members, and a value of each that only its name gives away."""
