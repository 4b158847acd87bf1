"""Older import paths. Every name lives elsewhere and is only repeated here."""
