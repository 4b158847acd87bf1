"""Workflows: several phases, each the agent run of a persona, that hand on what they wrote."""
