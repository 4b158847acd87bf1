"""Responses that are kept for their caller: the state behind `previous_response_id`."""
