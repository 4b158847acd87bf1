"""What each corpus case means: requests, whole answers, and streams that differ from the whole answer of their case."""

REQUESTS = {
    "citations_history": [
        "user: 'x'",
        "assistant:",
        "  text 'a' <char 0>",
        "  text 'b' <page 1>",
        "  text 'c' <content_block 2> <url https://x.test> <search_result https://y.test>",
        "user: 'y'",
    ],
    "compaction_history": [
        "assistant:",
        "  compaction 'Earlier: tests.' [encrypted ENC] {'tool_changes': []}",
        "  text 'on'",
        "user: 'y'",
        "assistant:",
        "  compaction '' [signature SIG] {'content': None}",
        "user: 'z'",
    ],
    "consecutive_roles": ["user: 'a'", "user: 'b'", "assistant: 'c'", "assistant:", "  text 'd'"],
    "documents": [
        "user:",
        "  document application/pdf JVBERi0= title=T context=C citations=True",
        "  document https://x.test/a.pdf",
        "  document text 'plain' citations=False",
        "  document parts list",
        "    text 'one'",
        "    text 'two'",
        "  document parts string {'title': None}",
        "    text 'just text'",
        "  document file file_1 {'citations': {}}",
    ],
    "empty_content_list": ["user: {'content': []}", "assistant: 'x'", "user: 'y'"],
    "image_unknown_source": ["user:", "  opaque anthropic image", "  text '?'"],
    "images": [
        "user:",
        "  image image/jpeg /9j/4AAQ",
        "  image https://x.test/a.png [cache None]",
        "  image file file_011 {'transformations': {'oversized_image': 'downsize'}}",
        "  text '?'",
    ],
    "mcp_servers": [
        "user: '?'",
        "tool mcp docs  {'type': 'mcp_toolset', 'mcp_server_name': 'docs', 'configs': {'x': {'enabled': False}}}",
        "tool mcp docs  {'type': 'url', 'url': 'https://mcp.test/sse', 'name': 'docs', 'authorization_token': None}",
    ],
    "mcp_servers_alone": [
        "user: '?'",
        (
            "tool mcp docs  {'type': 'url', 'url': 'https://mcp.test/sse', 'name': 'docs', "
            "'tool_configuration': {'enabled': True}}"
        ),
        "extra={'tools': []}",
    ],
    "mcp_turns": [
        "user: '?'",
        "assistant:",
        '  mcp docs.find({"q":"x"}) mcptoolu_1',
        "  result mcp <mcptoolu_1> error=False",
        "    text 'hit'",
        "  text 'found'",
    ],
    "output_format_unknown": ["user: 'x'", "extra={'output_config': {'format': {'type': 'grammar', 'rule': 'x'}}}"],
    "plain_text": [
        "user: 'Hello, Claude'",
        "temperature=0.5",
        "top_p=0.9",
        "top_k=5",
        "stop=('END', '\\n\\nHuman:')",
        "safety={'user': 'u-1'}",
    ],
    "prefill": ["user: 'What is the Greek name for Sun? (A) Sol (B) Helios'", "assistant: 'The best answer is ('"],
    "programmatic_caller": [
        "user: 'x'",
        "assistant:",
        (
            '  function get_weather({"location":"Paris","unit":"c"}) toolu_01A09q90qw90lq917835lq9 '
            "{'toolset_name': 'browser'}"
        ),
        "user:",
        "  result function <toolu_01A09q90qw90lq917835lq9> {'toolset_name': 'browser'}",
        "    text 'y'",
    ],
    "search_results": [
        "user:",
        "  document parts {'search_result': 'https://x.test/a'} title=A citations=True [cache None]",
        "    text 'found it'",
        "  text 'Which?'",
    ],
    "server_tool_error": [
        "user: 'x'",
        "assistant:",
        '  server web_search({"query":"claude"}) srvtoolu_1',
        "  result server web_search<srvtoolu_1> error=True raw=dict",
        '  server bash_code_execution({"command":"ls"}) srvtoolu_2',
        "  result server bash_code_execution<srvtoolu_2> raw=dict",
    ],
    "server_tools": [
        "user: 'x'",
        "assistant:",
        '  server web_search({"query":"claude"}) srvtoolu_1',
        "  result server web_search<srvtoolu_1> raw=list",
        "  text 'It is X.' <url https://x.test>",
        "user: 'y'",
    ],
    "structured_output": [
        "user: 'x'",
        (
            "output={'kind': 'json_schema', 'schema': {'type': 'object', 'properties': {'z': {'type': "
            "'string'}, 'a': {'type': 'integer'}}, 'required': ['z', 'a'], 'additionalProperties': "
            "False}}"
        ),
    ],
    "system_blocks_cached": ["system top:", "  text 'You read books.'", "  text '<book>' [cache 1h]", "user: 'Hi'"],
    "system_mid_conversation": [
        "user: 'Start'",
        "system: 'From now on answer in French.'",
        'assistant: "D\'accord."',
        "user: 'Encore'",
        "system: {'clear_at': 'next_user_message', 'output_config': {'effort': 'high'}}",
        "  text 'Effort up.'",
    ],
    "system_only": ["system top: 'Say hi.'"],
    "system_string": ["system top: 'Be brief.'", "user: 'Hi'"],
    "system_without_content": ["user: 'Start'", "system: {'output_config': {'effort': 'low'}}"],
    "thinking_disabled": ["user: '?'", "reasoning={'mode': 'disabled'}"],
    "thinking_history": [
        "user: '?'",
        "assistant:",
        "  thinking 'Let me see…' [signature EqQBCgIYAhIM+/==]",
        "  hidden '' [redacted EmwKAhgBEgy3va3pzix/LafPsn4a]",
        '  function get_weather({"location":"Paris","unit":"c"}) toolu_01A09q90qw90lq917835lq9',
        "  text 'so'",
        "user:",
        "  result function <toolu_01A09q90qw90lq917835lq9>",
        "    text 'x'",
        "tool function get_weather",
        "reasoning={'budget_tokens': 10000, 'include': True, 'mode': 'enabled'}",
    ],
    "thinking_omitted": [
        "user: '?'",
        "assistant:",
        "  thinking '' [signature sig]",
        "  text 'a'",
        "user: 'b'",
        "reasoning={'effort': 'xhigh', 'summary': 'none', 'mode': 'adaptive'}",
    ],
    "thinking_unknown_members": [
        "user: '?'",
        "reasoning={'effort': 'max', 'budget_tokens': 2048, 'summary': 'updates', 'include': True, 'mode': 'enabled'}",
        (
            "extra={'thinking': {'block_binding': {'prefix_mismatch_behavior': 'drop_block'}}, "
            "'output_config': {'task_budget': {'type': 'tokens', 'total': 9000}}}"
        ),
    ],
    "thinking_unsigned": ["user: '?'", "assistant:", "  thinking 'hm' {'signature': ''}", "  text 'a'", "user: 'b'"],
    "thinking_without_signature_member": [
        "user: '?'",
        "assistant:",
        "  opaque anthropic thinking",
        "  text 'a'",
        "user: 'b'",
    ],
    "tool_choice_named": [
        "user: '?'",
        "tool function get_weather",
        "tool_choice={'mode': 'named', 'names': ('get_weather',)}",
    ],
    "tool_choice_none": ["user: '?'", "tool function get_weather", "tool_choice={'mode': 'none'}"],
    "tool_choice_unknown": [
        "user: '?'",
        "tool function get_weather",
        "tool_choice={'extra': {'type': 'some_of', 'names': ['a']}}",
    ],
    "tool_declarations": [
        "user: '?'",
        "tool function noop",
        "tool function b True",
        "tool function c  {'type': 'custom'}",
    ],
    "tool_loop": [
        "user: 'Weather?'",
        "assistant:",
        "  text 'I will look.'",
        '  function get_weather({"location":"Paris","unit":"c"}) toolu_01A09q90qw90lq917835lq9',
        "user:",
        "  result function <toolu_01A09q90qw90lq917835lq9>",
        "    text '15 degrees'",
        "tool function get_weather",
        "tool_choice={'mode': 'auto'}",
    ],
    "tool_result_forms": [
        "user: '?'",
        "assistant:",
        '  function get_weather({"location":"Paris","unit":"c"}) toolu_0',
        '  function get_weather({"location":"Paris","unit":"c"}) toolu_1',
        '  function get_weather({"location":"Paris","unit":"c"}) toolu_2',
        '  function get_weather({"location":"Paris","unit":"c"}) toolu_3',
        "user:",
        "  result function <toolu_0>",
        "    text 'a'",
        "  result function <toolu_1>",
        "    text 'a'",
        "  result function <toolu_2>",
        "    text ''",
        "  result function <toolu_3>",
    ],
    "tool_result_media": [
        "user: '?'",
        "assistant:",
        '  function get_weather({"location":"Paris","unit":"c"}) toolu_01A09q90qw90lq917835lq9',
        "user:",
        "  result function <toolu_01A09q90qw90lq917835lq9> error=False",
        "    image image/png iVBORw0KGgo=",
        "    document application/pdf JVBERi0= title=map",
        "    document parts {'search_result': 'https://x.test/a'} title=A citations=True",
        "      text 'found'",
    ],
    "tool_results_parallel": [
        "user: '?'",
        "assistant:",
        '  function get_weather({"location":"Paris","unit":"c"}) toolu_01A09q90qw90lq917835lq9',
        '  function get_weather({"location":"Rome"}) toolu_02',
        "  function get_weather({}) toolu_03",
        "user:",
        "  result function <toolu_02>",
        "    text 'rain'",
        "  result function <toolu_01A09q90qw90lq917835lq9> error=True",
        "    text 'down'",
        "  result function <toolu_03>",
        "  text 'go on'",
        "tool function get_weather",
        "tool_choice={'mode': 'required', 'parallel': True}",
    ],
    "tools_empty": ["user: '?'"],
    "tools_server": [
        "user: '?'",
        (
            "tool server web_search  {'type': 'web_search_20260318', 'name': 'web_search', 'max_uses': 3, "
            "'user_location': {'type': 'approximate', 'city': 'Paris'}}"
        ),
        "tool server bash  {'type': 'bash_20250124', 'name': 'bash', 'cache_control': {'type': 'ephemeral'}}",
        "tool function get_weather",
    ],
    "top_level_settings": [
        "user: 'x'",
        "cache={'mark': {'ttl': '5m'}}",
        "service_tier=standard_only",
        "speed=fast",
        "region=eu",
        (
            "continuation={'context_management': {'edits': [{'type': 'clear_tool_uses_20250919'}]}, "
            "'container': {'id': 'c1', 'skills': []}}"
        ),
        "extra={'diagnostics': {'previous_message_id': 'msg_1'}, 'user_profile_id': 'p'}",
    ],
    "unknown_blocks": [
        "user:",
        "  opaque anthropic container_upload",
        "  text 'x'",
        "  opaque anthropic hologram",
        "assistant:",
        "  opaque anthropic fallback",
        "  text 'y'",
        "user:",
        "  result function <t>",
        "    opaque anthropic tool_reference",
        "    opaque anthropic browser_state",
    ],
    "unknown_members": [
        "system top:",
        "  text 's' {'weight': 2}",
        "user: {'pinned': True}",
        "  text 'x' {'citations': None, 'mood': 'calm', 'cache_control': None}",
        "tool_choice={'mode': 'auto', 'extra': {'why': 'x'}}",
        ("extra={'future': {'a': 1}, 'container': None, 'tools': None, 'metadata': {'user_id': None, 'team': 'x'}}"),
        "spelling={'stream': False}",
    ],
    "unparsed_arguments": [
        "user: 'x'",
        "assistant:",
        "  function get_weather({oops) toolu_01A09q90qw90lq917835lq9",
        "user:",
        "  result function <toolu_01A09q90qw90lq917835lq9>",
        "    text 'y'",
    ],
}

RESPONSES = {
    "answer_extras": [
        "text 'a'",
        "finish stop (end_turn)",
        "output extra ['container', 'context_management']",
        "extra {'diagnostics': {'cache_miss_reason': None}}",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "citations_stream": [
        "text 'The grass is green.' <char 0> <page 1>",
        "finish stop (end_turn)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "compaction_answer": [
        "compaction 'So far: x.' [encrypted ENC]",
        "text 'on'",
        "finish stop (end_turn)",
        "usage {'input_tokens': 180145, 'output_tokens': 4734, 'cache_read_tokens': 100}",
    ],
    "context_window_exceeded": [
        "text 'a'",
        "finish context_window (model_context_window_exceeded)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "mcp_turns": [
        'mcp docs.find({"q":"x"}) mcptoolu_1',
        "result mcp <mcptoolu_1> error=False",
        "  text 'hit'",
        "text 'found'",
        "finish stop (end_turn)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "plain_text": [
        "text 'Hello! How can I help?'",
        "finish stop (end_turn)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "refusal": [
        "finish refusal (refusal) {'type': 'refusal', 'category': 'cyber', 'explanation': 'no'}",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "server_tool_error": [
        'server web_search({"query":"claude"}) srvtoolu_1',
        "result server web_search<srvtoolu_1> error=True raw=dict",
        "finish pause (pause_turn)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "server_tools": [
        'server web_search({"query":"claude"}) srvtoolu_1',
        "result server web_search<srvtoolu_1> raw=list",
        "text 'It is X.' <url https://x.test>",
        "finish stop (end_turn)",
        (
            "usage {'input_tokens': 14573, 'output_tokens': 6039, 'cache_read_tokens': 7123, "
            "'cache_write_tokens': 7345, 'units': {'web_search': 1, 'web_fetch': 0}}"
        ),
    ],
    "stop_reason_unknown": ["text 'a'", "finish unknown (tired)", "usage {'input_tokens': 25, 'output_tokens': 15}"],
    "stop_sequence": [
        "text 'a'",
        "finish stop_sequence (stop_sequence) END",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "structured_output": [
        'text \'{"z":"x","a":1}\'',
        "finish stop (end_turn)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "thinking_stream": [
        "thinking 'Step one. Step two.' [signature EqQBCg==]",
        "hidden '' [redacted EmwK]",
        "text '27'",
        "finish stop (end_turn)",
        "usage {'input_tokens': 30, 'output_tokens': 200, 'reasoning_tokens': 180}",
    ],
    "tool_call": [
        "text 'Okay.'",
        'function get_weather({"location":"Paris","unit":"c"}) toolu_01A09q90qw90lq917835lq9',
        "finish tool_calls (tool_use)",
        "usage {'input_tokens': 472, 'output_tokens': 89}",
    ],
    "tool_call_ids_missing": [
        'function get_weather({"location":"Paris","unit":"c"}) toolu_9e3a3851bd4301b06f721cad synthetic',
        'function get_weather({"location":"Paris","unit":"c"}) toolu_01A09q90qw90lq917835lq9',
        'function get_weather({"location":"Paris","unit":"c"}) toolu_a1865280e13e25bde623a12e synthetic',
        "finish tool_calls (tool_use)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "tool_call_input_at_start": [
        'function get_weather({"location":"Paris","unit":"c"}) toolu_01A09q90qw90lq917835lq9',
        "finish tool_calls (tool_use)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "tool_call_without_arguments": [
        "function get_weather({}) toolu_01A09q90qw90lq917835lq9",
        "finish tool_calls (tool_use)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "tool_calls_parallel_then_text": [
        'function get_weather({"location":"Paris","unit":"c"}) toolu_01A09q90qw90lq917835lq9',
        'function get_weather({"location":"Rome"}) toolu_02',
        "text 'Both asked.'",
        "finish tool_calls (tool_use)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "unicode_offsets": [
        "text '😀 naïve \\u2028 end'",
        "finish stop (end_turn)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "usage_absent": ["text 'a'", "finish stop (end_turn)", "usage None"],
    "usage_cached": [
        "text 'a'",
        "finish stop (end_turn)",
        (
            "usage {'input_tokens': 100506, 'output_tokens': 503, 'cache_read_tokens': 100000, "
            "'cache_write_tokens': 456, 'cache_write_by_ttl': {'5m': 300, '1h': 156}, 'tier': 'priority', "
            "'speed': 'fast', 'region': 'us'}"
        ),
    ],
    "usage_only_cached": [
        "text 'a'",
        "finish stop (end_turn)",
        "usage {'input_tokens': 900, 'output_tokens': 3, 'cache_read_tokens': 900}",
    ],
}

STREAMS = {
    "blocks_left_open": ["text 'a'", "finish stop (end_turn)", "usage {'input_tokens': 25, 'output_tokens': 15}"],
    "crlf_comments_bom": ["text 'café '", "finish stop (end_turn)", "usage {'input_tokens': 25, 'output_tokens': 15}"],
    "cut_after_text": ["ProtocolError protocol: the stream was cut: it ended without a stop reason"],
    "cut_in_character": ["ProtocolError protocol: the stream was cut: it ended without a stop reason"],
    "error_body_with_200": ["RateLimitError rate_limit: Slow down"],
    "error_in_stream": ["ProviderError overloaded: Overloaded"],
    "html_with_200": [
        "ProtocolError protocol: the provider's answer is not JSON: the body is not JSON: invalid character (byte 0)"
    ],
    "no_terminator": ["text 'a'", "finish stop (end_turn)", "usage {'input_tokens': 25, 'output_tokens': 15}"],
    "pings_and_unknown_events": [
        "text 'a'",
        "finish stop (end_turn)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "tool_call": [
        "text 'Okay.'",
        'function get_weather({"location": "Paris", "unit": "c"}) toolu_01A09q90qw90lq917835lq9',
        "finish tool_calls (tool_use)",
        "usage {'input_tokens': 472, 'output_tokens': 89}",
    ],
    "tool_call_bad_json": [
        'function get_weather({"location": Par) toolu_01A09q90qw90lq917835lq9',
        "finish length (max_tokens)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "tool_call_ids_missing": [
        'function get_weather({"location": "Paris", "unit": "c"}) toolu_9e3a3851bd4301b06f721cad synthetic',
        'function get_weather({"location": "Paris", "unit": "c"}) toolu_01A09q90qw90lq917835lq9',
        'function get_weather({"location": "Paris", "unit": "c"}) toolu_a1865280e13e25bde623a12e synthetic',
        "finish tool_calls (tool_use)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "tool_calls_parallel_then_text": [
        'function get_weather({"location": "Paris", "unit": "c"}) toolu_01A09q90qw90lq917835lq9',
        'function get_weather({"location":"Rome"}) toolu_02',
        "text 'Both asked.'",
        "finish tool_calls (tool_use)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
    "two_message_deltas": ["text 'a'", "finish stop (end_turn)", "usage {'input_tokens': 25, 'output_tokens': 9}"],
    "usage_corrected_at_end": [
        "text 'a'",
        "finish stop (end_turn)",
        "usage {'input_tokens': 1000, 'output_tokens': 5, 'cache_read_tokens': 900}",
    ],
    "usage_unknown_at_start": ["text 'a'", "finish stop (end_turn)", "usage {'input_tokens': 77, 'output_tokens': 5}"],
    "usage_zero_at_end": ["text 'a'", "finish stop (end_turn)", "usage {'input_tokens': 77, 'output_tokens': 5}"],
    "whole_message_for_a_stream": [
        "text 'a'",
        'function get_weather({"location":"Paris","unit":"c"}) toolu_01A09q90qw90lq917835lq9',
        "finish tool_calls (tool_use)",
        "usage {'input_tokens': 25, 'output_tokens': 15}",
    ],
}
