import json
from collections.abc import Iterator
from importlib.resources import files

import jsonschema_rs
import pytest

from execution_platform.config.schema import config_schema
from execution_platform.config.yaml import load_yaml

SAMPLE = """
version: 1
providers:
  openai:    {kind: openai,    base_url: https://api.openai.com/v1, api_key: "${OPENAI_API_KEY}", models: [gpt-4o, gpt-4o-mini]}
  anthropic: {kind: anthropic, api_key: "aws-sm://prod/anthropic#key", retry: {max_attempts: 5}, circuit_breaker: {failure_threshold: 5, timeout_seconds: 60}}
  local:     {kind: llama_cpp, base_url: http://127.0.0.1:8080/v1, timeouts: {connect: 3, first_token: 20, idle: 60, total: 600}}
models:
  fast: {targets: [{model: openai/gpt-4o-mini, weight: 3}, {model: anthropic/claude-haiku-4-5}], strategy: weighted}
personas:
  base:      {abstract: true, requires: [system_prompts, streaming]}
  architect: {extends: base, prefer: [anthropic/claude-sonnet-4-5, openai/gpt-4o, gemini/gemini-2.5-pro], system: "You are a software architect."}
  backend_dev:
    extends: base
    provider: anthropic
    fallback: [openai, gemini]
    requires: {tool_calling: native, json_mode: true}
    tools: [fs_read, fs_write, fs_edit, code_search, exec_cmd]
    permissions: {exec_cmd: read_only}
    budget: {tokens_per_min: 10000, cost_per_min: 0.50, daily_usd: 50, alert_threshold: 0.8}
"""


def objects(node: object, path: str = "") -> Iterator[tuple[str, dict[str, object]]]:
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield path, node
        for key, value in node.items():
            yield from objects(value, f"{path}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from objects(value, f"{path}/{index}")


def test_the_published_schema_is_a_valid_schema_and_json():
    schema = json.loads(json.dumps(config_schema()))
    jsonschema_rs.meta.validate(schema)
    assert schema["$schema"].endswith("2020-12/schema")


def test_every_property_of_the_schema_is_described_and_unknown_ones_are_refused():
    seen = 0
    schema = config_schema()
    for path, node in objects(schema):
        if path.endswith("/properties"):
            continue
        assert node.get("additionalProperties") is False, path
        for name, value in node["properties"].items():
            seen += 1
            definition = schema["$defs"].get(str(value.get("$ref", "")).removeprefix("#/$defs/"), {})
            assert value.get("description") or definition.get("description"), f"{path}.{name}"
    assert seen > 100


def test_the_contracts_sample_fits_the_schema():
    jsonschema_rs.validator_for(config_schema()).validate(load_yaml(SAMPLE).data)


def test_the_built_in_personas_fit_the_schema():
    text = files("execution_platform.config").joinpath("data").joinpath("personas.yaml").read_text(encoding="utf-8")
    jsonschema_rs.validator_for(config_schema()).validate(load_yaml(text).data)


@pytest.mark.parametrize(
    "text",
    ["provdiers: {}", "version: 2", "personas: {p: {tools: 5}}", "models: {m: {targets: []}}", "keys: [{}]"],
)
def test_the_schema_refuses_what_the_loader_refuses(text):
    assert not jsonschema_rs.validator_for(config_schema()).is_valid(load_yaml(text).data)
