"""Logging in by a real identity provider in a process of its own, and by somebody who only pretends to be one."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
import sys
import time
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlmodel import select

from qc.errors import InvalidInput
from server.access import Role
from server.audit import AuditEntry
from server.audit_check import verify
from server.errors import NotLoggedIn
from server.oidc import Provider, Start, provider_of, role_of, roles_in
from server.oidc_records import OutsideAccount
from server.records import User
from server.settings import Settings

BACK = "/api/v1/session/oidc/callback"


class Company:
    """The company's identity provider."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(self.port), "--require-nonce", "True"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            try:
                assert httpx.get(f"{self.url}/.well-known/openid-configuration").status_code == 200
                return
            except httpx.TransportError:
                assert time.monotonic() < end
                time.sleep(0.05)

    def employs(self, subject: str, **claims) -> None:
        told = httpx.put(f"{self.url}/users/{subject}", json={"preferred_username": subject, **claims})
        assert told.status_code == 204

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def company():
    one = Company()
    yield one
    one.end()


def known(company, **settings):
    """What an installation's settings say of the provider."""
    roles = {"plant-qa": "engineer", "plant-line": "operator", "it": "admin"}
    told = {"oidc_issuer": company.url, "oidc_client_id": "qc-line", "oidc_client_secret": "hush", "oidc_roles": roles}
    return {"public_url": "http://testserver", **told, **settings}


@pytest.fixture
def line(tmp_path, run_line, company):
    with run_line(tmp_path / "home", **known(company)) as one:
        yield one


def answer_for(line, subject, **form):
    """Begins a log-in in the browser; the address to which the provider sends it back."""
    away = line.client.get("/api/v1/session/oidc", follow_redirects=False)
    assert away.status_code == 302
    return httpx.post(away.headers["location"], data={"sub": subject, **form}).headers["location"]


def lands(line, address):
    """Where somebody lands who comes back from the provider."""
    return line.client.get(address, follow_redirects=False).headers["location"]


def log_in(line, subject):
    return lands(line, answer_for(line, subject))


def who(line):
    return line.client.get("/api/v1/session").json()


def trail(line):
    with line.context.database.read() as session:
        verify(session)
        rows = session.exec(select(AuditEntry).where(AuditEntry.kind.startswith("login")).order_by(AuditEntry.n))
        return [(row.kind, row.subject, json.loads(row.body)["roles"]) for row in rows]


def test_a_person_of_the_company_logs_in_with_the_role_that_it_gives(line, company):
    company.employs("alice", roles=["plant-line", "plant-qa", "canteen"])
    ways = {"password": True, "oidc": True, "notice": ""}
    assert line.client.get("/api/v1/session/ways").json() == ways
    assert log_in(line, "alice") == "/"
    assert who(line) == {"name": "alice", "role": "engineer"}
    assert "qc_oidc" not in line.client.cookies, "what the log-in needed is gone"
    company.employs("alice", roles=["plant-line"])
    assert log_in(line, "alice") == "/"
    assert who(line)["role"] == "operator", "the provider's word of today counts"
    company.employs("alice", roles=["canteen"])
    assert log_in(line, "alice") == "/?login=not_allowed"
    assert "error" in who(line), "what was open is closed"
    told = ["plant-line", "plant-qa", "canteen"]
    assert trail(line) == [
        ("login.outside", "alice", told),
        ("login.outside", "alice", ["plant-line"]),
        ("login.refused", "alice", ["canteen"]),
    ]
    with line.context.database.read() as session:
        assert session.get(OutsideAccount, (company.url, "alice")).user == "alice"
    refused = line.client.post("/api/v1/session", json={"name": "alice", "password": ""})
    assert refused.status_code == 401, "such an account has no password"


def test_nobody_takes_over_a_local_account_and_it_still_logs_in(line, company):
    name, password = (line.context.settings.home / "first-login.txt").read_text().split()
    company.employs("mallory", preferred_username=name, roles=["it"])
    assert log_in(line, "mallory") == "/?login=conflict"
    assert "error" in who(line)
    assert line.client.post("/api/v1/session", json={"name": name, "password": password}).status_code == 200
    assert who(line) == {"name": name, "role": "admin"}


def test_somebody_without_a_role_gets_none(line, company):
    company.employs("guest")
    assert log_in(line, "guest") == "/?login=not_allowed"
    with line.context.database.read() as session:
        assert session.get(User, "guest") is None
    assert trail(line) == [("login.refused", "guest", [])]


def test_an_answer_counts_once_in_the_browser_that_asked(line, company, run_line, tmp_path):
    company.employs("carol", roles=["plant-line"])
    stolen = answer_for(line, "carol")
    line.client.cookies.clear()
    assert lands(line, stolen) == "/?login=not_logged_in", "another browser did not begin it"
    mine = answer_for(line, "carol")
    assert lands(line, stolen) == "/?login=not_logged_in", "another log-in's answer"
    fresh = answer_for(line, "carol")
    kept = dict(line.client.cookies)
    assert lands(line, fresh) == "/"
    line.client.cookies.clear()
    line.client.cookies.update(kept)
    assert lands(line, fresh) == "/?login=not_logged_in", "the code was used"
    assert parse_qs(urlsplit(mine).query)["state"] != parse_qs(urlsplit(fresh).query)["state"]
    denied = answer_for(line, "carol", action="deny")
    assert lands(line, denied) == "/?login=not_logged_in"
    assert lands(line, f"{BACK}?code=x&state=y") == "/?login=not_logged_in"
    assert lands(line, f"{BACK}?code=x&state=y") == "/?login=too_many", "guessing is slowed down"


def test_a_state_or_nonce_of_another_log_in_is_of_no_use(company):
    company.employs("dora", roles=["plant-line"])
    provider = Provider(Settings(**known(company)))

    def come_back(**changed):
        page, start = provider.begin()
        asked = parse_qs(urlsplit(page).query)
        # this provider does not look at what PKCE asks of it: that it would fit is looked at here
        digest = base64.urlsafe_b64encode(hashlib.sha256(start.verifier.encode()).digest()).decode().rstrip("=")
        assert (asked["code_challenge"], asked["code_challenge_method"]) == ([digest], ["S256"])
        back = httpx.post(page, data={"sub": "dora"}).headers["location"]
        answer = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
        told = {"state": start.state, "nonce": start.nonce, "verifier": start.verifier, **changed}
        return provider.finish(Start(**told), **answer)

    assert come_back().role is Role.OPERATOR
    with pytest.raises(NotLoggedIn, match="another log-in"):
        come_back(nonce="n" * 43)
    with pytest.raises(NotLoggedIn, match="another log-in"):
        come_back(state="s" * 43)
    provider.stop()


def test_a_token_that_the_provider_did_not_sign_so_is_refused(company):
    provider = Provider(Settings(**known(company)))
    kid = httpx.get(f"{company.url}/jwks").json()["keys"][0].get("kid")
    mine = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = int(time.time())
    claims = {"iss": company.url, "aud": "qc-line", "sub": "eve", "exp": now + 60, "iat": now, "nonce": "n"}
    headers = {"kid": kid} if kid else {}
    for token in (
        jwt.encode(claims, mine, "RS256", headers=headers),
        jwt.encode(claims, "hush" * 16, "HS256", headers=headers),
        jwt.encode(claims, None, "none", headers=headers),
        jwt.encode(claims, mine, "RS256", headers={"kid": "unknown"}),
        "no.token",
    ):
        with pytest.raises(NotLoggedIn, match="could not be verified"):
            provider._claims(token, "n")
    provider.stop()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, None),
        ({"exp": -3600}, "verified"),
        ({"iat": 3600}, "verified"),
        ({"iss": "https://elsewhere.example"}, "verified"),
        ({"aud": "another"}, "verified"),
        ({"sub": None}, "verified"),
        ({"aud": ["qc-line", "another"]}, "another program"),
        ({"aud": ["qc-line", "another"], "azp": "qc-line"}, None),
        ({"azp": "another"}, "another program"),
        ({"nonce": None}, "another log-in"),
    ],
    ids=str,
)
def test_every_claim_that_must_fit_is_looked_at(company, monkeypatch, changed, words):
    provider = Provider(Settings(**known(company)))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = jwt.PyJWK({**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "alg": "RS256"})
    monkeypatch.setattr(provider, "_key", lambda token: public)
    now = int(time.time())
    claims = {"iss": company.url, "aud": "qc-line", "sub": "s", "exp": now + 60, "iat": now, "nonce": "n"}
    times = {name: now + seconds for name, seconds in changed.items() if name in ("exp", "iat")}
    told = {name: value for name, value in {**claims, **changed, **times}.items() if value is not None}
    token = jwt.encode(told, key, "RS256")
    if words is None:
        assert provider._claims(token, "n")["sub"] == "s"
    else:
        with pytest.raises(NotLoggedIn, match=words):
            provider._claims(token, "n")
    provider.stop()


def test_roles_are_found_where_the_provider_puts_them():
    claims = {"realm_access": {"roles": ["a", 7]}, "groups": "b", "a.b": ["c"]}
    assert roles_in(claims, "realm_access.roles") == ("a",)
    assert roles_in(claims, "groups") == ("b",)
    assert roles_in(claims, "a.b") == ("c",)
    assert roles_in(claims, "groups.deeper") == ()
    assert role_of(("operator", "admin"), {}) is Role.ADMIN
    assert role_of(("machine",), {}) is None, "machines have keys"
    assert role_of(("admin",), {"bosses": "admin"}) is None, "only what the settings name counts"


def test_settings_that_make_no_sense_leave_the_local_log_in(company, tmp_path, run_line):
    with pytest.raises(InvalidInput, match="https://"):
        Provider(Settings(oidc_issuer="http://idp.example", oidc_client_id="x"))
    with pytest.raises(InvalidInput, match="'machine' is no role of people"):
        provider_of(Settings(**known(company, oidc_roles={"x": "machine"})))
    with run_line(tmp_path / "home", oidc_issuer="http://idp.example", oidc_client_id="x") as line:
        assert line.get("/health").json()["components"]["oidc"]["state"] == "failed"
        assert line.client.get("/api/v1/session/ways").json()["oidc"] is False
        assert line.client.get("/api/v1/session/oidc").status_code == 503


def test_a_provider_that_is_away_lets_nobody_in_and_stops_nothing(tmp_path, run_line):
    own = Company()
    own.employs("frank", roles=["plant-line"])
    with run_line(tmp_path / "home", **known(own)) as line:
        back = answer_for(line, "frank")
        own.end()
        assert lands(line, back) == "/?login=unavailable"
        assert line.send(line.picture()).status_code == 201
