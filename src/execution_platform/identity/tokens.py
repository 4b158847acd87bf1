"""ID tokens: what a provider says of a person, believed only when it is signed by the pinned issuer (E6).

The keys come from the provider's configured address and never from the token; the algorithms are asymmetric and pinned in the
configuration, so neither `none` nor a public key as an HMAC secret can pass.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from execution_platform.exceptions import AuthenticationError, ConfigError

_LEEWAY_SECONDS = 60
_LONGEST = 16 * 1024
_REQUIRED = ["exp", "iat", "iss", "aud", "sub", "nonce"]
_REFUSED = "the login token is not valid"


def verified_claims(
    token: str, keys: Sequence[Mapping[str, Any]], *, issuer: str, audience: str, algorithms: Sequence[str]
) -> Mapping[str, Any]:
    """The claims of `token`, which one of `keys` (a JWK set) has signed. Raises `AuthenticationError`, in one text for every cause."""
    try:
        import jwt
    except ImportError:
        raise ConfigError("login needs the package pyjwt; install execution-platform[oidc].") from None

    if len(token) > _LONGEST:
        raise AuthenticationError(_REFUSED)
    try:
        header = jwt.get_unverified_header(token)
        algorithm = str(header.get("alg"))
        if algorithm not in algorithms or "crit" in header:
            raise AuthenticationError(_REFUSED)
        key = _key(jwt, keys, header.get("kid"), algorithm)
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audience,
            issuer=issuer,
            leeway=_LEEWAY_SECONDS,
            options={"require": _REQUIRED, "strict_aud": False},
        )
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise AuthenticationError(_REFUSED) from error
    if claims.get("azp", audience) != audience:
        raise AuthenticationError(_REFUSED)
    return cast("Mapping[str, Any]", claims)


def _key(jwt: Any, keys: Sequence[Mapping[str, Any]], kid: object, algorithm: str) -> Any:
    """The one public key of this id that is made for this algorithm. Raises `AuthenticationError`."""
    fitting = [key for key in keys if key.get("kid") == kid and key.get("kty") in {"RSA", "EC", "OKP"}]
    fitting = [key for key in fitting if key.get("use", "sig") == "sig" and key.get("alg", algorithm) == algorithm]
    if len(fitting) != 1:
        raise AuthenticationError(_REFUSED)
    return jwt.PyJWK(dict(fitting[0]), algorithm).key
