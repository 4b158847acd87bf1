"""E6, E4: only what the pinned issuer has signed is believed."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from execution_platform.exceptions import AuthenticationError
from execution_platform.identity.tokens import verified_claims
from identity.provider import CLIENT, KEY, KID, TestProvider, public_jwk

ISSUER = "https://login.example"
PROVIDER = TestProvider(url=ISSUER)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DER = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def read(token: str) -> Any:
    return verified_claims(token, [public_jwk()], issuer=ISSUER, audience=CLIENT, algorithms=["RS256", "ES256"])


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {"iss": ISSUER, "aud": CLIENT, "sub": "u1", "iat": now, "exp": now + 300, "nonce": "n", **changed}
    return {name: value for name, value in whole.items() if value is not None}


def signed(key: Any = KEY, algorithm: str = "RS256", header: dict[str, Any] | None = None, **changed: Any) -> str:
    return jwt.encode(claims(**changed), key, algorithm=algorithm, headers={"kid": KID, **(header or {})})


def by_hand(header: dict[str, Any], signature: bytes = b"", **changed: Any) -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims(**changed)).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def hmac_signed(secret: bytes) -> str:
    import hashlib
    import hmac

    unsigned = by_hand({"alg": "HS256", "typ": "JWT", "kid": KID}).rpartition(".")[0]
    seal = hmac.digest(secret, unsigned.encode(), hashlib.sha256)
    return f"{unsigned}.{base64.urlsafe_b64encode(seal).rstrip(b'=').decode()}"


def flipped() -> str:
    head, body, seal = signed().split(".")
    return f"{head}.{body}.{'A' if seal[0] != 'A' else 'B'}{seal[1:]}"


FORGED: dict[str, Callable[[], str]] = {
    "no algorithm": lambda: by_hand({"alg": "none", "kid": KID}),
    "no algorithm in capitals": lambda: by_hand({"alg": "NONE", "kid": KID}),
    "the public PEM as an HMAC secret": lambda: hmac_signed(PEM),
    "the public DER as an HMAC secret": lambda: hmac_signed(DER),
    "an empty HMAC secret": lambda: hmac_signed(b""),
    "an unknown critical member": lambda: signed(header={"crit": ["x-private"], "x-private": 1}),
    "keys from its own address": lambda: signed(OTHER, header={"jku": "https://evil.example/jwks"}),
    "its own key in it": lambda: signed(
        OTHER, header={"jwk": jwt.algorithms.RSAAlgorithm.to_jwk(OTHER.public_key(), as_dict=True)}
    ),
    "a key id that is a path": lambda: signed(header={"kid": "../../dev/null"}),
    "a key id that is a query": lambda: signed(header={"kid": "k1' OR 1=1 --"}),
    "another key": lambda: signed(OTHER),
    "another algorithm of the same key": lambda: signed(algorithm="RS512"),
    "an elliptic key under the id of another": lambda: signed(ec.generate_private_key(ec.SECP256R1()), "ES256"),
    "no end": lambda: signed(exp=None),
    "an end that is past": lambda: signed(exp=int(time.time()) - 120),
    "a beginning to come": lambda: signed(nbf=int(time.time()) + 600),
    "another issuer": lambda: signed(iss="https://login.example.evil"),
    "no issuer": lambda: signed(iss=None),
    "another audience": lambda: signed(aud="other"),
    "no audience": lambda: signed(aud=None),
    "another authorised party": lambda: signed(aud=[CLIENT, "other"], azp="other"),
    "no subject": lambda: signed(sub=None),
    "no nonce": lambda: signed(nonce=None),
    "a flipped signature": flipped,
    "no signature": lambda: signed().rpartition(".")[0] + ".",
    "nonsense": lambda: "a.b.c",
    "nothing": lambda: "",
    "too much": lambda: signed(pad="x" * 20_000),
}


def test_what_the_provider_signed_is_believed() -> None:
    assert read(PROVIDER.token("n"))["email"] == "ada@example.com"
    assert read(signed(exp=int(time.time()) - 30))["sub"] == "u1", "a minute of leeway"


@pytest.mark.parametrize("forged", FORGED.values(), ids=list(FORGED))
def test_a_forged_token_is_refused(forged: Callable[[], str]) -> None:
    """E6."""
    with pytest.raises(AuthenticationError) as refused:
        read(forged())
    assert refused.value.status == 401
    assert str(refused.value) == "the login token is not valid"


def test_tokens_that_begin_alike_are_told_apart() -> None:
    """E4: nothing of a token stands for the whole of it."""
    right = signed(pad="x" * 900)
    wrong = right[:-10] + ("A" * 10 if right[-10:] != "A" * 10 else "B" * 10)
    assert right[:500] == wrong[:500]
    assert read(right)["sub"] == "u1"
    with pytest.raises(AuthenticationError):
        read(wrong)
