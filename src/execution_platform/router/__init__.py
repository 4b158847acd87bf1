"""Routing: from the names in a request to the targets that may serve it; and personas in process."""

from execution_platform.router.adapter import Adapter, get_adapter
from execution_platform.router.persona import PersonaRouter, RoutedClient

__all__ = ["Adapter", "PersonaRouter", "RoutedClient", "get_adapter"]
