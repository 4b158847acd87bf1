"""Providers: an endpoint, a way to authenticate, and a dialect. A compatible vendor is a row in `registry`."""
