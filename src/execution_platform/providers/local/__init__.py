"""The small models that run on this machine: child processes that serve them, and what keeps those running."""
