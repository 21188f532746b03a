"""OpenID Connect: who somebody is, by another's word. Authorization code with PKCE, state and nonce; no cookie of ours.

    begin -> address of the provider's page, and a `Start` that the browser keeps in a cookie
    finish(start, code, state) -> `Person`: the provider's word, checked

Checked are the ID token's signature (by the provider's keys, asymmetric only), issuer, audience, times and nonce; see
OpenID Connect Core 1.0, section 3.1.3.7, and RFC 9700. Roles come from a claim; one that is not known gives no role.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import jwt
import structlog

from qc.errors import InvalidInput, Unavailable
from server.access import Role
from server.errors import NotAllowed, NotLoggedIn
from server.settings import Settings

log = structlog.get_logger(__name__)

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a key that only the provider has; never `none`, and none by a shared secret."""
CLOCKS_S = 60
"""The provider's clock and ours may differ by so much, in seconds."""
PATIENCE_S = 10.0
"""So long the provider may take for an answer, in seconds."""
KNOWN_S = 3600.0
"""So long its addresses and keys are believed, in seconds."""
ASK_AGAIN_S = 10.0
"""An unknown key is looked up no more often than this, in seconds."""
STRONGEST_FIRST = (Role.ADMIN, Role.ENGINEER, Role.LEADER, Role.LABELLER, Role.OPERATOR)
"""Whoever has several roles gets the first of these; `machine` is for keys alone."""


@dataclass(frozen=True, slots=True)
class Start:
    """What must come back with the answer, kept by the browser that asked: one log-in of one browser."""

    state: str
    nonce: str
    verifier: str
    """The secret of PKCE (RFC 7636), 43 characters."""

    def packed(self) -> str:
        """As a cookie's value."""
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()

    @staticmethod
    def unpacked(value: str) -> Start:
        """From a cookie's value; raises NotLoggedIn for anything else."""
        try:
            told = json.loads(base64.urlsafe_b64decode(value))
            if not all(isinstance(told[name], str) for name in ("state", "nonce", "verifier")):
                raise ValueError("not texts")
            return Start(told["state"], told["nonce"], told["verifier"])
        except (ValueError, KeyError, TypeError) as error:
            raise NotLoggedIn("this log-in was not begun in this browser, or took too long; begin again") from error


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, by the provider's word."""

    issuer: str
    subject: str
    name: str
    role: Role | None
    """None: no role that is known here."""
    roles: tuple[str, ...]
    """As the provider says them."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the provider says of itself."""

    at: float
    authorization: str
    token: str
    keys_at: str
    keys: jwt.PyJWKSet


class Provider:
    """The identity provider of an installation; safe to use from several threads. A `server.context.Part`."""

    def __init__(self, settings: Settings) -> None:
        """Raises InvalidInput where its address would send secrets over an open wire."""
        self._settings = settings
        self._issuer = settings.oidc_issuer
        _need_safe(self._issuer, "QC_OIDC_ISSUER")
        self._client = httpx.Client(timeout=PATIENCE_S, follow_redirects=False)
        self._known: _Known | None = None
        self._lock = threading.Lock()

    @property
    def back(self) -> str:
        """Where the provider sends the browser; to be registered there."""
        return f"{self._settings.url}/api/v1/session/oidc/callback"

    def begin(self) -> tuple[str, Start]:
        """The provider's page to send a browser to, and what it must keep meanwhile. Raises Unavailable."""
        start = Start(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(start.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self.back,
            "scope": self._settings.oidc_scopes,
            "state": start.state,
            "nonce": start.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        page = self._about().authorization
        return f"{page}{'&' if urlsplit(page).query else '?'}{urlencode(asked)}", start

    def finish(self, start: Start, *, code: str, state: str) -> Person:
        """Who came back.

        Raises:
            NotLoggedIn: what came back does not belong to what was begun, or the provider does not stand by it.
            Unavailable: the provider does not answer.
        """
        if not secrets.compare_digest(start.state.encode(), state.encode()):
            raise NotLoggedIn("this answer belongs to another log-in; begin again")
        known = self._about()
        secret = self._settings.oidc_client_secret
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.back,
            "client_id": self._settings.oidc_client_id,
            "code_verifier": start.verifier,
        }
        answer = self._ask("POST", known.token, data=form | ({"client_secret": secret} if secret else {}))
        if answer.status_code >= 500:
            raise Unavailable(f"the identity provider answers {answer.status_code}; try again in a moment")
        token = _json(answer).get("id_token")
        if answer.status_code != 200 or not isinstance(token, str):
            raise NotLoggedIn("the identity provider does not stand by this log-in; begin again")
        return self._person(self._claims(token, start.nonce))

    def state(self) -> dict[str, Any]:
        """For /health."""
        return {"state": "ok", "issuer": self._issuer}

    def stop(self) -> None:
        """End."""
        self._client.close()

    def _claims(self, token: str, nonce: str) -> Mapping[str, Any]:
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                self._key(token),
                algorithms=list(ALGORITHMS),
                audience=self._settings.oidc_client_id,
                issuer=self._issuer,
                leeway=CLOCKS_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            log.warning("an ID token was refused", problem=str(error))
            raise NotLoggedIn("the identity provider's answer could not be verified; the log says why") from error
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (several or "azp" in claims) and claims.get("azp") != self._settings.oidc_client_id:
            raise NotLoggedIn("the identity provider's answer was made for another program")
        if not isinstance(claims.get("nonce"), str) or not secrets.compare_digest(
            claims["nonce"].encode(), nonce.encode()
        ):
            raise NotLoggedIn("the identity provider's answer belongs to another log-in; begin again")
        return claims

    def _person(self, claims: Mapping[str, Any]) -> Person:
        name = claims.get(self._settings.oidc_name_claim) or claims["sub"]
        roles = roles_in(claims, self._settings.oidc_role_claim)
        role = role_of(roles, self._settings.oidc_roles)
        return Person(self._issuer, str(claims["sub"]), str(name), role, roles)

    def _key(self, token: str) -> jwt.PyJWK:
        """The provider's key that the token names; keys are asked for again when it is a new one."""
        named = jwt.get_unverified_header(token).get("kid")
        for age_s in (KNOWN_S, ASK_AGAIN_S):
            keys = [key for key in self._about(age_s).keys.keys if key.public_key_use in (None, "sig")]
            for key in keys:
                if key.key_id == named or (named is None and len(keys) == 1):
                    return key
        raise jwt.InvalidKeyError(f"the provider has no key {named!r}")

    def _about(self, older_than_s: float = KNOWN_S) -> _Known:
        """What the provider says of itself; asked for anew where it is older."""
        with self._lock:
            if self._known is None or time.monotonic() - self._known.at > older_than_s:
                about = self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
                if about.get("issuer") != self._issuer:
                    raise Unavailable(
                        f"the identity provider calls itself {about.get('issuer')!r}; correct QC_OIDC_ISSUER"
                    )
                names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
                page, token, keys_at = (str(about.get(name, "")) for name in names)
                for address in (page, token, keys_at):
                    _need_safe(address, "the identity provider's address")
                try:
                    keys = jwt.PyJWKSet.from_dict(dict(self._get(keys_at)))
                except (jwt.PyJWTError, KeyError, TypeError) as error:
                    raise Unavailable(f"the identity provider's keys make no sense ({error})") from error
                self._known = _Known(time.monotonic(), page, token, keys_at, keys)
            return self._known

    def _get(self, address: str) -> Mapping[str, Any]:
        answer = self._ask("GET", address)
        if answer.status_code != 200:
            raise Unavailable(f"the identity provider answers {answer.status_code} at {address}; is it right?")
        return _json(answer)

    def _ask(self, method: str, address: str, **more: Any) -> httpx.Response:
        try:
            return self._client.request(method, address, headers={"Accept": "application/json"}, **more)
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"the identity provider does not answer ({why}); try again in a moment") from error


def roles_in(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """The texts in a claim, one or a list of them; `a.b` is `b` within `a`, unless a claim is called so."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for step in path.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
    given = found if isinstance(found, list) else [found]
    return tuple(role for role in given if isinstance(role, str))


def role_of(roles: tuple[str, ...], known: Mapping[str, str]) -> Role | None:
    """The strongest role that `roles` stand for, by `known`, or where that is empty by our own names; None: none."""
    ours = {role.value: role for role in STRONGEST_FIRST}
    meant = {ours.get(known.get(role, "") if known else role) for role in roles}
    return next((role for role in STRONGEST_FIRST if role in meant), None)


def provider_of(settings: Settings) -> Provider | None:
    """The installation's identity provider; None where it names none.

    Raises:
        InvalidInput: the settings make no sense; the message names the variable.
    """
    if not settings.oidc_issuer:
        return None
    if not settings.oidc_client_id:
        raise InvalidInput(
            "QC_OIDC_ISSUER needs QC_OIDC_CLIENT_ID, the name under which the provider knows this server"
        )
    people = [role.value for role in STRONGEST_FIRST]
    if wrong := [role for role in settings.oidc_roles.values() if role not in people]:
        raise InvalidInput(f"QC_OIDC_ROLES: {wrong[0]!r} is no role of people; choose one of {', '.join(people)}")
    return Provider(settings)


def _need_safe(address: str, what: str) -> None:
    parts = urlsplit(address)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and here)):
        raise InvalidInput(f"{what} must begin with https://, as passwords rest on it; it is {address!r}")


def _json(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise Unavailable("the identity provider's answer is no JSON object; is QC_OIDC_ISSUER right?")
    return told


def need_role(person: Person, claim: str) -> Role:
    """The person's role; raises NotAllowed where the provider gives none that is known here."""
    if person.role is None:
        told = ", ".join(person.roles) or "nothing"
        raise NotAllowed(f"{person.name} has no role here: the claim {claim} says {told}; see QC_OIDC_ROLES")
    return person.role
