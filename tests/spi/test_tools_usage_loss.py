"""Tool schemas, usage totals and the loss policy."""

import pytest

from execution_platform.exceptions import UnsupportedFeature
from execution_platform.spi import ModelProfile, ToolDefinition, ToolParameter, Usage
from execution_platform.spi.loss import Loss, enforce, loss_header
from execution_platform.spi.profile import CAPABILITIES

SCHEMA = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}}


def test_a_schema_may_be_given_in_three_ways():
    assert ToolDefinition("f").input_schema is None
    assert ToolDefinition("f", parameters=SCHEMA).input_schema is SCHEMA
    assert ToolDefinition("f", json_schema=SCHEMA, parameters=[]).input_schema is SCHEMA
    listed = ToolDefinition(
        "f", parameters=[ToolParameter("a", "integer", "how many"), ToolParameter("b", enum=("x", "y"), required=False)]
    )
    assert listed.input_schema == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "how many"},
            "b": {"type": "string", "enum": ["x", "y"]},
        },
        "required": ["a"],
    }
    assert ToolDefinition("f", parameters=[]).input_schema == {"type": "object", "properties": {}}


def test_the_order_of_properties_stays():
    assert list(ToolDefinition("f", parameters=SCHEMA).input_schema["properties"]) == ["z", "a"]


def test_usage_totals_are_inclusive_and_absent_is_not_zero():
    usage = Usage(100, 20, cache_read_tokens=30, cache_write_tokens=10)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 20, 120)
    assert usage.uncached_input_tokens == 60
    assert Usage().total_tokens == 0
    assert Usage().input_tokens is None
    assert Usage() != Usage(0, 0)
    assert Usage(5, cache_read_tokens=9).uncached_input_tokens == 0


def test_the_wire_object_of_usage_does_not_count_for_equality():
    assert Usage(1, raw={"a": 1}) == Usage(1, raw={"b": 2})


LOSSES = [Loss("a", "knob"), Loss("b", "token", "opaque"), Loss("c[0]", "image", "content")]


@pytest.mark.parametrize(("policy", "refused"), [("strict", 3), ("default", 1), ("lenient", 0)])
def test_a_policy_refuses_what_it_says(policy, refused):
    if not refused:
        enforce(LOSSES, policy, target="p/m")
        return
    with pytest.raises(UnsupportedFeature) as raised:
        enforce(LOSSES, policy, target="p/m")
    error = raised.value
    assert len(error.losses) == refused
    assert error.target == "p/m"
    assert error.param == error.losses[0].path
    assert "c[0]: image" in error.message
    assert error.status == 400


def test_nothing_lost_is_nothing_refused():
    assert enforce([], "strict", target="p/m") is None


def test_the_header_names_each_loss_once_in_ascii():
    assert loss_header([*LOSSES, LOSSES[0]]) == "knob:a, opaque:b, content:c[0]"
    assert loss_header([Loss("é\n", "x")]).isascii()
    assert len(loss_header([Loss(f"path{n}", "x") for n in range(1000)])) <= 2048
    assert loss_header([]) == ""


def test_a_loss_header_is_one_line():
    assert not set(loss_header([Loss("a\r\nx-evil: 1", "x"), Loss("b\x00", "x")])) & set("\r\n\x00")


def test_a_profile_offers_only_published_capabilities():
    profile = ModelProfile(vision=True, context_window=9)
    assert profile.offers("vision") is True
    assert profile.offers("context_window") == 9
    assert profile.offers("max_output_tokens") is None
    assert all(hasattr(profile, name) for name in CAPABILITIES)
