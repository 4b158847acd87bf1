"""The vendors' own clients as judges of the fake upstream: its answers parse into their types with nothing left over.

Runs in the interpreter that has the vendor SDKs; the upstream runs in the project's own, as a process, and is scripted
over its control paths. `EP_PYTHON` names that interpreter.
"""

import contextlib
import json
import os
import subprocess
import urllib.request
from pathlib import Path

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("EP_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
SAY = [{"role": "user", "content": "say hi"}]
RICH = {
    "reply": [
        {"type": "thinking", "text": "let me see", "signature": "c2ln"},
        {"type": "text", "text": "hello grün world"},
        {"type": "call", "name": "f", "arguments": {"x": 1}, "id": "call_1"},
        {"type": "call", "name": "g", "arguments": {"y": [2, "z"]}, "id": "call_2"},
    ],
    "usage": {"input": 100, "output": 50, "cached": 20, "reasoning": 8},
}


class Remote:
    def __init__(self, url):
        self.url = url

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read())

    def script(self, *scripts, **match):
        self.post("/__script", {"scripts": list(scripts), **match})

    def meter(self, closed=0):
        with urllib.request.urlopen(f"{self.url}/__meter?closed={closed}", timeout=10) as response:
            return json.loads(response.read())


@pytest.fixture(scope="module")
def process_url():
    command = [PYTHON, "-m", "execution_platform.testing", "--port", "0", "--api-key", "k"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture
def upstream(process_url):
    remote = Remote(process_url)
    remote.post("/__reset", {})
    return remote


@pytest.fixture
def oai(upstream):
    with openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
def ant(upstream):
    with anthropic.Anthropic(base_url=upstream.url, api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture(params=["v1", "v1beta"])
def gem(upstream, request):
    options = types.HttpOptions(base_url=upstream.url, api_version=request.param)
    with contextlib.closing(genai.Client(api_key="k", http_options=options)) as client:
        yield client


def leftovers(value, path="$"):
    """Every member of a parsed pydantic value that its type does not know."""
    if hasattr(value, "model_extra"):
        for name in value.model_extra or {}:
            yield f"{path}.{name}"
        for name in type(value).model_fields:
            yield from leftovers(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leftovers(item, f"{path}[{index}]")


def parsed(value):
    assert list(leftovers(value)) == []
    return value


# --- OpenAI ---


def test_openai_parses_text_calls_and_usage(upstream, oai):
    upstream.script(RICH)
    completion = parsed(oai.chat.completions.create(model="m", messages=SAY))
    message = completion.choices[0].message
    assert message.content == "hello grün world"
    assert [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls] == [
        ("call_1", "f", '{"x":1}'),
        ("call_2", "g", '{"y":[2,"z"]}'),
    ]
    assert completion.choices[0].finish_reason == "tool_calls"
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (100, 50)
    assert completion.usage.prompt_tokens_details.cached_tokens == 20
    assert completion.usage.completion_tokens_details.reasoning_tokens == 8


@pytest.mark.parametrize("interleave", [False, True])
def test_openai_assembles_the_stream_into_the_same_message(upstream, oai, interleave):
    upstream.script(RICH | {"interleave_calls": interleave})
    options = {"include_usage": True, "include_obfuscation": True}
    with oai.chat.completions.stream(model="m", messages=SAY, stream_options=options) as stream:
        for event in stream:
            if event.type == "chunk":
                parsed(event.chunk)
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "hello grün world"
    assert [c.function.arguments for c in final.choices[0].message.tool_calls] == ['{"x":1}', '{"y":[2,"z"]}']
    assert final.usage.completion_tokens == 50


def test_openai_parses_refusals_logprobs_and_annotations(upstream, oai):
    page = {"cited_text": "so", "url": "https://e.org", "title": "E", "start": 0, "end": 2}
    upstream.script(
        {"type": "refusal", "text": "no"}, [{"type": "text", "text": "so be it", "logprobs": True, "citations": [page]}]
    )
    assert parsed(oai.chat.completions.create(model="m", messages=SAY)).choices[0].message.refusal == "no"
    choice = parsed(oai.chat.completions.create(model="m", messages=SAY)).choices[0]
    assert [entry.token for entry in choice.logprobs.content] == ["so", " be", " it"]
    assert choice.message.annotations[0].url_citation.url == "https://e.org"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (408, openai.APIStatusError),
        (413, openai.APIStatusError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
def test_openai_maps_errors_to_its_classes(upstream, oai, status, error):
    upstream.script({"type": "status", "status": status, "message": "told so"})
    with pytest.raises(error, match="told so") as caught:
        oai.chat.completions.create(model="m", messages=SAY)
    assert caught.value.status_code == status
    assert caught.value.request_id.startswith("req_fake")


def test_openai_reads_the_code_of_a_quota_error_and_an_error_in_the_stream(upstream, oai):
    upstream.script(
        {"type": "status", "status": 429, "kind": "quota"},
        {"reply": "a b c", "faults": [{"type": "stream_error", "after": 2, "message": "in the stream"}]},
    )
    with pytest.raises(openai.RateLimitError) as caught:
        oai.chat.completions.create(model="m", messages=SAY)
    assert caught.value.code == "insufficient_quota"
    with pytest.raises(openai.APIError, match="in the stream"):
        list(oai.chat.completions.create(model="m", messages=SAY, stream=True))


def test_openai_retries_after_a_rate_limit(upstream, oai):
    upstream.script({"type": "status", "status": 429, "retry_after_ms": 1}, "second try")
    completion = oai.with_options(max_retries=1).chat.completions.create(model="m", messages=SAY)
    assert completion.choices[0].message.content == "second try"
    assert [record["status"] for record in upstream.meter(1)["exchanges"]] == [429, 200]


def test_openai_notices_a_cut_connection(upstream, oai):
    upstream.script({"reply": "a b c", "faults": [{"type": "cut", "after": 2}]})
    with pytest.raises(openai.APIConnectionError):
        list(oai.chat.completions.create(model="m", messages=SAY, stream=True))
    assert upstream.meter(0)["exchanges"][0]["end"] == "server"


def test_openai_embeddings_and_models(oai):
    packed = parsed(oai.embeddings.create(model="e", input=["a", "b"], dimensions=4))
    floats = oai.embeddings.create(model="e", input=["a", "b"], dimensions=4, encoding_format="float")
    assert packed.data[0].embedding == pytest.approx(floats.data[0].embedding)
    assert len(packed.data) == 2
    assert [model.id for model in parsed(oai.models.list()).data]
    assert parsed(oai.models.retrieve("gpt-4o-mini")).id == "gpt-4o-mini"


def test_the_azure_client_is_served(upstream):
    upstream.script("from azure")
    with openai.AzureOpenAI(
        azure_endpoint=upstream.url, api_key="k", api_version="2025-04-01-preview", max_retries=0
    ) as client:
        assert client.chat.completions.create(model="dep", messages=SAY).choices[0].message.content == "from azure"
        chunks = list(client.chat.completions.create(model="dep", messages=SAY, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "from azure"
    assert upstream.meter(0)["exchanges"][0]["model"] == "dep"


# --- Anthropic ---


def test_anthropic_parses_thinking_text_calls_and_usage(upstream, ant):
    upstream.script(RICH)
    message = parsed(ant.messages.create(model="m", max_tokens=9, messages=SAY))
    thinking, text, first, second = message.content
    assert (thinking.type, thinking.thinking, thinking.signature) == ("thinking", "let me see", "c2ln")
    assert text.text == "hello grün world"
    assert (first.id, first.name, first.input, second.input) == ("call_1", "f", {"x": 1}, {"y": [2, "z"]})
    assert message.stop_reason == "tool_use"
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (80, 20)
    assert message.usage.output_tokens_details.thinking_tokens == 8
    assert upstream.meter(0)["exchanges"][0]["headers"]["anthropic-version"] == "2026-10-21"


def test_anthropic_assembles_the_stream_into_the_same_message(upstream, ant):
    place = {"cited_text": "src", "start": 1, "end": 4}
    cited = {"type": "text", "text": "cited", "citations": [place]}
    upstream.script(RICH | {"reply": [*RICH["reply"], cited]})
    whole = ant.messages.create(model="m", max_tokens=9, messages=SAY)
    with ant.messages.stream(model="m", max_tokens=9, messages=SAY) as stream:
        for event in stream:
            parsed(event)
        final = stream.get_final_message()
    assert [block.to_dict() for block in final.content[:4]] == [
        {name: value for name, value in block.to_dict().items() if value is not None or name != "citations"}
        for block in whole.content[:4]
    ]
    assert final.content[4].citations[0].end_char_index == 4
    assert (final.stop_reason, final.usage.output_tokens) == ("tool_use", 50)


def test_anthropic_parses_a_refusal_and_redacted_thinking(upstream, ant):
    upstream.script(
        {"type": "refusal", "text": "no"}, [{"type": "thinking", "text": "", "signature": "b3A=", "redacted": True}]
    )
    refused = parsed(ant.messages.create(model="m", max_tokens=9, messages=SAY))
    assert (refused.stop_reason, refused.stop_details.explanation) == ("refusal", "no")
    assert parsed(ant.messages.create(model="m", max_tokens=9, messages=SAY)).content[0].data == "b3A="


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (402, anthropic.APIStatusError, "billing_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (408, anthropic.APIStatusError, "timeout_error"),
        (413, anthropic.APIStatusError, "invalid_request_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (503, anthropic.InternalServerError, "overloaded_error"),
        (529, anthropic.InternalServerError, "overloaded_error"),
    ],
)
def test_anthropic_maps_errors_to_its_classes(upstream, ant, status, error, kind):
    upstream.script({"type": "status", "status": status, "message": "told so"})
    with pytest.raises(error, match="told so") as caught:
        ant.messages.create(model="m", max_tokens=9, messages=SAY)
    assert (caught.value.status_code, caught.value.type) == (status, kind)
    assert caught.value.request_id.startswith("req_fake")


def test_anthropic_reads_quota_details_and_an_error_in_the_stream(upstream, ant):
    upstream.script(
        {"type": "status", "status": 429, "kind": "quota"},
        {"reply": "a b c", "faults": [{"type": "stream_error", "after": 4, "message": "in the stream"}]},
    )
    with pytest.raises(anthropic.RateLimitError) as caught:
        ant.messages.create(model="m", max_tokens=9, messages=SAY)
    assert caught.value.error_code == "enforced_spend_limit_reached"
    with (
        pytest.raises(anthropic.APIStatusError, match="in the stream"),
        ant.messages.stream(model="m", max_tokens=9, messages=SAY) as stream,
    ):
        stream.get_final_message()


def test_anthropic_counts_tokens_and_lists_models(upstream, ant):
    assert parsed(ant.messages.count_tokens(model="m", messages=SAY)).input_tokens == 2
    assert parsed(ant.models.list()).data[0].type == "model"
    assert parsed(ant.models.retrieve("claude-sonnet-4-5")).id == "claude-sonnet-4-5"


# --- Gemini ---


def test_gemini_parses_thinking_text_calls_and_usage(upstream, gem):
    upstream.script(RICH)
    response = gem.models.generate_content(model="m", contents="say hi")
    thought, text, first, second = response.candidates[0].content.parts
    assert (thought.text, thought.thought) == ("let me see", True)
    assert (text.text, text.thought_signature) == ("hello grün world", b"sig")
    assert (first.function_call.id, first.function_call.args) == ("call_1", {"x": 1})
    assert second.function_call.args == {"y": [2, "z"]}
    usage = response.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count) == (100, 42, 8)
    assert usage.cached_content_token_count == 20
    assert response.candidates[0].finish_reason == types.FinishReason.STOP


def test_gemini_answers_hold_nothing_that_its_types_do_not_know(upstream):
    page = {"cited_text": "so", "url": "https://e.org", "title": "E", "start": 0, "end": 2}
    cited = {"type": "text", "text": "so be it", "logprobs": True, "citations": [page]}
    upstream.script(RICH | {"reply": [*RICH["reply"], cited]})
    body = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}
    whole = upstream.post("/v1beta/models/m:generateContent?key=k", body)
    chunks = upstream.post("/v1beta/models/m:streamGenerateContent?key=k", body)
    for answer in (whole, *chunks):
        assert types.GenerateContentResponse.model_validate(answer).candidates
    with pytest.raises(ValueError, match="Extra inputs"):
        types.GenerateContentResponse.model_validate(whole | {"unknownMember": 1})


def test_gemini_streams_the_same_parts(upstream, gem):
    upstream.script(RICH)
    chunks = list(gem.models.generate_content_stream(model="m", contents="say hi"))
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
    assert "".join(p.text for p in parts if p.text and not p.thought) == "hello grün world"
    assert "".join(p.text for p in parts if p.text and p.thought) == "let me see"
    assert [p.function_call.name for p in parts if p.function_call] == ["f", "g"]
    assert chunks[-1].usage_metadata.total_token_count == 150
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


def test_gemini_parses_blocks_grounding_and_logprobs(upstream, gem):
    page = {"cited_text": "so", "url": "https://e.org", "title": "E", "start": 0, "end": 2}
    upstream.script({"type": "refusal"}, [{"type": "text", "text": "so be it", "logprobs": True, "citations": [page]}])
    blocked = gem.models.generate_content(model="m", contents="x")
    assert blocked.prompt_feedback.block_reason == types.BlockedReason.SAFETY
    candidate = gem.models.generate_content(model="m", contents="x").candidates[0]
    assert candidate.grounding_metadata.grounding_chunks[0].web.uri == "https://e.org"
    assert candidate.logprobs_result.chosen_candidates[0].token == "so"


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
    ],
)
def test_gemini_maps_errors_to_its_classes(upstream, gem, status, name):
    upstream.script({"type": "status", "status": status, "message": "told so"})
    error = genai_errors.ClientError if status < 500 else genai_errors.ServerError
    with pytest.raises(error) as caught:
        gem.models.generate_content(model="m", contents="x")
    assert (caught.value.code, caught.value.status, caught.value.message) == (status, name, "told so")


def test_gemini_reads_an_error_in_the_stream(upstream, gem):
    upstream.script({"reply": "a b c", "faults": [{"type": "stream_error", "status": 503, "after": 2}]})
    with pytest.raises(genai_errors.APIError) as caught:
        list(gem.models.generate_content_stream(model="m", contents="x"))
    assert caught.value.code == 503


def test_gemini_embeds_counts_and_lists(gem):
    response = gem.models.embed_content(model="e", contents=["a", "b"], config={"output_dimensionality": 4})
    assert [len(embedding.values) for embedding in response.embeddings] == [4, 4]
    assert gem.models.count_tokens(model="m", contents="a b c").total_tokens == 3
    assert next(iter(gem.models.list())).name.startswith("models/")


# --- all ---


def test_a_wrong_key_is_refused_in_every_dialect(upstream):
    with (
        openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="no", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()
    with (
        anthropic.Anthropic(base_url=upstream.url, api_key="no", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError),
    ):
        client.models.list()
    options = types.HttpOptions(base_url=upstream.url)
    with (
        contextlib.closing(genai.Client(api_key="no", http_options=options)) as client,
        pytest.raises(genai_errors.ClientError, match="API key not valid"),
    ):
        client.models.generate_content(model="m", contents="x")
