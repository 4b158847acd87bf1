"""Requests that name themselves (`Idempotency-Key`) are carried out once, and answered as often as they come."""
