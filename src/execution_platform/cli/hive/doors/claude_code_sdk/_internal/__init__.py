"""The place where callers look for the transport."""
