"""Telling people and their systems: alerts as messages that are stored, signed, delivered, and given up in the open."""
