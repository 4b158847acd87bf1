import pytest

from execution_platform.config.secret import Secret
from execution_platform.exceptions import ConfigError
from execution_platform.transport.auth import Auth, Bearer, Credential, HeaderKey, NoAuth, Origin

KEY = Secret("sk-canary")


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        (Bearer(), {"authorization": "Bearer sk-canary"}),
        (HeaderKey("x-api-key"), {"x-api-key": "sk-canary"}),
        (NoAuth(), {}),
    ],
)
def test_each_way_puts_the_key_where_the_vendor_reads_it(auth: Auth, headers: dict[str, str]) -> None:
    credential = Credential(auth, Origin.of("https://api.vendor.test/v1"))
    assert credential.headers("https://api.vendor.test/v1/chat", KEY) == headers
    assert credential.headers("https://API.vendor.test:443/other?q=1", KEY) == headers


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/v1",
        "http://api.vendor.test/v1",
        "https://api.vendor.test:8443/v1",
        "https://api.vendor.test.evil.test/",
        "https://api.vendor.test@evil.test/",
        "https://evil.test#api.vendor.test",
    ],
)
def test_a_key_is_not_given_to_another_origin(url: str) -> None:
    """P1: the key knows where it belongs."""
    credential = Credential(Bearer(), Origin.of("https://api.vendor.test"))
    with pytest.raises(ConfigError) as caught:
        credential.headers(url, KEY)
    assert "sk-canary" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "sk\n", "sk\r\nx: y", "sk\0", " sk", "schlüssel"])
def test_a_key_that_cannot_be_a_header_is_refused_without_showing_it(text: str) -> None:
    for auth in (Bearer(), HeaderKey("api-key")):
        with pytest.raises(ConfigError) as caught:
            auth.headers(Secret(text))
        assert not text.strip() or text.strip() not in str(caught.value)
    with pytest.raises(ConfigError, match="none is configured"):
        Bearer().headers(None)


@pytest.mark.parametrize(
    "url", ["ftp://hst", "hst", "https://:5", "https://u:p@hst", "http://hst:port", "https://hst:99999999"]
)
def test_a_base_url_that_names_no_origin_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Origin.of(url)
    assert url not in str(caught.value)


@pytest.mark.parametrize("name", ["X-Api-Key", "a b", "", "a:b", "a\n"])
def test_a_header_name_is_a_lower_case_token(name: str) -> None:
    with pytest.raises(ConfigError, match="header name"):
        HeaderKey(name)
