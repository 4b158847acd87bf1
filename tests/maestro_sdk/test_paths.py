"""The older import paths name the very same things."""

from importlib import import_module

import pytest

import execution_platform.exceptions
import execution_platform.router
import execution_platform.spi

HOMES = {
    "types": execution_platform.spi,
    "interfaces": execution_platform.spi,
    "capabilities": execution_platform.spi,
    "requirements": execution_platform.exceptions,
}


@pytest.mark.parametrize("name", sorted(HOMES))
def test_every_name_is_the_one_of_its_home(name):
    module = import_module(f"execution_platform.maestro_sdk.{name}")
    assert module.__all__
    for each in module.__all__:
        assert getattr(module, each) is getattr(HOMES[name], each)


def test_the_router_is_the_router():
    module = import_module("execution_platform.maestro_sdk.router")
    assert module.PersonaRouter is execution_platform.router.PersonaRouter
    assert module.RouterError is execution_platform.exceptions.RouterError
