#!/usr/bin/env bash
# Rewrites every lock file from pyproject.toml and the .in files beside this script. Needs uv.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q "$@"; }
compile pyproject.toml --extra embedded -o requirements/runtime.lock
compile pyproject.toml --extra embedded --extra postgres --extra redis --extra oidc --extra mcp --extra code --group dev -o requirements/dev.lock
compile pyproject.toml requirements/vendor.in -o requirements/vendor.lock
compile requirements/model.in --no-deps -o requirements/model.lock
compile tests/mcp_servers/requirements.in -o tests/mcp_servers/requirements.txt
