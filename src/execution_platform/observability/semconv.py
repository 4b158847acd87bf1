"""Names from the OpenTelemetry GenAI conventions, in Prometheus spelling. They still move: only here."""

PROVIDER = "gen_ai_provider_name"
MODEL = "gen_ai_request_model"
DURATION = "gen_ai_server_request_duration_seconds"
FIRST_CHUNK = "gen_ai_server_time_to_first_token_seconds"
TOKENS = "gen_ai_client_token_usage"
