"""Messages and requests in their short and their long forms."""

from execution_platform.spi import ChatRequest, Message, TextPart, ThinkingPart, ToolCallPart, ToolResultPart


def test_text_and_parts_are_the_same_to_a_reader():
    assert Message("user", "x").parts == (TextPart("x"),)
    assert Message("user", [TextPart("x"), TextPart("y")]).text == "xy"
    assert Message("user", "x").text == "x"
    assert Message("user", "").parts == ()
    assert Message("user").parts == ()


def test_parts_are_kept_as_a_tuple():
    parts = [TextPart("x")]
    message = Message("user", parts)
    parts.append(TextPart("y"))
    assert message.content == (TextPart("x"),)
    assert hash(message.role)


def test_the_text_of_a_tool_message_is_a_result():
    assert Message("tool", "42", tool_call_id="c1", name="f").parts == (
        ToolResultPart("c1", (TextPart("42"),), name="f"),
    )
    assert Message("tool", "", tool_call_id="c1").parts == (ToolResultPart("c1"),)
    assert Message("tool", "42").parts == (TextPart("42"),)


def test_text_leaves_out_thinking_and_calls():
    message = Message(
        "assistant",
        [ThinkingPart("hm"), TextPart("x"), ToolCallPart("c1", "f"), TextPart("y"), ToolCallPart("c2", "g")],
    )
    assert message.text == "xy"
    assert [call.call_id for call in message.tool_calls] == ["c1", "c2"]
    assert Message("assistant", "x").tool_calls == ()


def test_system_text_of_a_request_becomes_a_leading_message():
    request = ChatRequest([Message("user", "x")], system="be brief")
    assert request.messages == (Message("system", "be brief", placement="top"), Message("user", "x"))
    assert request.system is None


def test_a_request_takes_lists_and_a_single_stop():
    request = ChatRequest([Message("user", "x")], stop="END", tools=[])
    assert request.stop == ("END",)
    assert request.tools == ()
    assert ChatRequest([], stop=["a", "b"]).stop == ("a", "b")
    assert ChatRequest([]).tools is None
