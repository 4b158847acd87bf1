"""One gateway and one SDK in front of every LLM provider, chosen by persona."""

__version__ = "0.1.0"
