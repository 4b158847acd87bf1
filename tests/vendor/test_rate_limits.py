"""What the vendors' own SDKs make of the gateway's rate limits."""

from datetime import datetime

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types

from conftest import LIMITED

MODEL = "openai/gpt-4o"
HELLO = [{"role": "user", "content": "hello"}]


def test_openai_reads_what_is_left_and_when_to_come_back(gateway: str, upstream: object) -> None:
    client = openai.OpenAI(base_url=f"{gateway}/v1", api_key=f"{LIMITED}-openai_chat", max_retries=0)
    got = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    assert got.headers["x-ratelimit-limit-requests"] == "1"
    assert got.headers["x-ratelimit-remaining-requests"] == "0"
    assert got.headers["x-ratelimit-limit-tokens"] == "100000"
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model=MODEL, messages=HELLO)
    error = refused.value
    assert (error.code, error.status_code) == ("rate_limit_exceeded", 429)
    wait = client._parse_retry_after_header(error.response.headers)
    assert wait is not None
    assert 50 < wait <= 61


def test_anthropic_reads_what_is_left_and_when_to_come_back(gateway: str, upstream: object) -> None:
    client = anthropic.Anthropic(base_url=gateway, api_key=f"{LIMITED}-anthropic", max_retries=0)
    got = client.messages.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=9)
    assert got.headers["anthropic-ratelimit-requests-limit"] == "1"
    assert got.headers["anthropic-ratelimit-requests-remaining"] == "0"
    reset = datetime.fromisoformat(got.headers["anthropic-ratelimit-tokens-reset"])
    assert reset.tzinfo is not None
    with pytest.raises(anthropic.RateLimitError) as refused:
        client.messages.create(model=MODEL, messages=HELLO, max_tokens=9)
    assert refused.value.status_code == 429
    assert refused.value.body["error"]["type"] == "rate_limit_error"
    wait = client._parse_retry_after_header(refused.value.response.headers)
    assert wait is not None
    assert 50 < wait <= 61


def test_genai_reads_when_to_come_back(gateway: str, upstream: object) -> None:
    options = types.HttpOptions(base_url=gateway)
    client = genai.Client(api_key=f"{LIMITED}-gemini", http_options=options)
    assert client.models.generate_content(model=MODEL, contents="hello").text
    with pytest.raises(genai_errors.ClientError) as refused:
        client.models.generate_content(model=MODEL, contents="hello")
    assert (refused.value.code, refused.value.status) == (429, "RESOURCE_EXHAUSTED")
    details = refused.value.details["error"]["details"]
    delays = [each["retryDelay"] for each in details if each["@type"] == "type.googleapis.com/google.rpc.RetryInfo"]
    assert len(delays) == 1
    assert 50 < float(delays[0].removesuffix("s")) <= 61
