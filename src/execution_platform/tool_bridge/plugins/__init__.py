"""The platform's own tools."""
