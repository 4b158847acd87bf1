"""The older import paths name the very same things."""

import subprocess
import sys
from importlib import import_module

import pytest

import execution_platform.exceptions
import execution_platform.router
import execution_platform.router.capabilities
import execution_platform.router.costs
import execution_platform.spi
import execution_platform.tool_bridge
import execution_platform.tool_bridge.registry

HOMES = {
    "types": [execution_platform.spi],
    "interfaces": [execution_platform.spi],
    "router": [execution_platform.router, execution_platform.exceptions],
    "requirements": [execution_platform.router.capabilities, execution_platform.exceptions],
    "costs": [execution_platform.router.costs],
    "tool_bridge": [execution_platform.tool_bridge, execution_platform.tool_bridge.registry],
}


@pytest.mark.parametrize("name", sorted(HOMES))
def test_every_name_is_the_one_of_its_home(name):
    module = import_module(f"execution_platform.maestro_sdk.{name}")
    assert module.__all__
    for each in module.__all__:
        found = [getattr(home, each) for home in HOMES[name] if hasattr(home, each)]
        assert found
        assert getattr(module, each) is found[0]


def test_capabilities_are_those_of_the_providers():
    module = import_module("execution_platform.maestro_sdk.capabilities")
    assert module.CAPABILITIES is execution_platform.router.capabilities.PROVIDER_CAPABILITIES
    assert module.CAPABILITIES["openai"]["streaming"] is True


def test_importing_all_of_it_prints_nothing_and_opens_nothing():
    names = ", ".join(f"execution_platform.maestro_sdk.{name}" for name in (*HOMES, "capabilities"))
    code = (
        "import sys\n"
        "def watch(event, args):\n"
        "    if event.startswith('socket.') and event != 'socket.gethostname': raise SystemExit(event)\n"
        "sys.addaudithook(watch)\n"
        f"import {names}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
