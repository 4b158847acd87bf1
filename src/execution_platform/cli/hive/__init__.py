"""Doors for programs that call one vendor's agent: a `claude` command and the modules `claude_code_sdk` and `claude_code_api_layer`.

`ep hive env` prints the two variables that put them in the way of the vendor's own. What they are asked is a run of the platform: by
the gateway that GATEWAY_URL or EP_GATEWAY_URL names, else in the process of the command.
"""
