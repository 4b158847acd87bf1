CREATE TABLE IF NOT EXISTS schema_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
CREATE TABLE alerts (
  seq INTEGER NOT NULL,
  id CHAR(32) NOT NULL,
  kind VARCHAR(32) NOT NULL,
  scope VARCHAR(200) NOT NULL,
  period VARCHAR(10) DEFAULT '' NOT NULL,
  period_start DATETIME NOT NULL,
  tenant VARCHAR(200) DEFAULT '' NOT NULL,
  message TEXT NOT NULL,
  timestamp DATETIME NOT NULL,
  resolved_at DATETIME,
  CONSTRAINT pk_alerts PRIMARY KEY (seq),
  CONSTRAINT uq_alerts_kind_scope_period_period_start UNIQUE (kind, scope, period, period_start),
  CONSTRAINT uq_alerts_id UNIQUE (id)
);
CREATE TABLE audit_log (
  seq INTEGER NOT NULL,
  id CHAR(32) NOT NULL,
  timestamp DATETIME NOT NULL,
  tenant VARCHAR(200) DEFAULT '' NOT NULL,
  actor VARCHAR(200) NOT NULL,
  action VARCHAR(64) NOT NULL,
  object_kind VARCHAR(32) NOT NULL,
  object_id VARCHAR(200) DEFAULT '' NOT NULL,
  details JSON,
  request_id VARCHAR(128),
  position BIGINT NOT NULL,
  previous_hash BLOB NOT NULL,
  hash BLOB NOT NULL,
  CONSTRAINT pk_audit_log PRIMARY KEY (seq),
  CONSTRAINT uq_audit_log_id UNIQUE (id),
  CONSTRAINT uq_audit_log_position UNIQUE (position)
);
CREATE INDEX ix_audit_log_tenant_seq ON audit_log (tenant, seq);
CREATE TABLE budget_leases (
  id CHAR(32) NOT NULL,
  scope VARCHAR(200) NOT NULL,
  period VARCHAR(10) NOT NULL,
  period_start DATETIME NOT NULL,
  worker CHAR(32) NOT NULL,
  amount_nanos BIGINT DEFAULT '0' NOT NULL,
  amount_tokens BIGINT DEFAULT '0' NOT NULL,
  spent_nanos BIGINT DEFAULT '0' NOT NULL,
  spent_tokens BIGINT DEFAULT '0' NOT NULL,
  expires_at DATETIME NOT NULL,
  CONSTRAINT pk_budget_leases PRIMARY KEY (id)
);
CREATE INDEX ix_budget_leases_expires_at ON budget_leases (expires_at);
CREATE INDEX ix_budget_leases_window ON budget_leases (scope, period, period_start);
CREATE TABLE budget_windows (
  scope VARCHAR(200) NOT NULL,
  period VARCHAR(10) NOT NULL,
  period_start DATETIME NOT NULL,
  cap_nanos BIGINT,
  cap_tokens BIGINT,
  spent_nanos BIGINT DEFAULT '0' NOT NULL,
  reserved_nanos BIGINT DEFAULT '0' NOT NULL,
  spent_tokens BIGINT DEFAULT '0' NOT NULL,
  reserved_tokens BIGINT DEFAULT '0' NOT NULL,
  extra_nanos BIGINT DEFAULT '0' NOT NULL,
  extra_tokens BIGINT DEFAULT '0' NOT NULL,
  requests BIGINT DEFAULT '0' NOT NULL,
  alerted_at DATETIME,
  CONSTRAINT pk_budget_windows PRIMARY KEY (scope, period, period_start)
);
CREATE TABLE budgets (
  id CHAR(32) NOT NULL,
  scope VARCHAR(200) NOT NULL,
  tenant VARCHAR(200) DEFAULT 'default' NOT NULL,
  period VARCHAR(10) NOT NULL,
  budget_usd NUMERIC(20, 9),
  budget_tokens BIGINT,
  alert_threshold FLOAT DEFAULT '0.80' NOT NULL,
  time_zone VARCHAR(64) DEFAULT 'UTC' NOT NULL,
  on_breach VARCHAR(16) DEFAULT 'stop' NOT NULL,
  downgrade_to VARCHAR(200) DEFAULT '' NOT NULL,
  enabled BOOLEAN DEFAULT '1' NOT NULL,
  revision BIGINT DEFAULT '0' NOT NULL,
  created_at DATETIME NOT NULL,
  updated_at DATETIME NOT NULL,
  CONSTRAINT pk_budgets PRIMARY KEY (id),
  CONSTRAINT uq_budgets_scope_period UNIQUE (scope, period),
  CONSTRAINT ck_budgets_period CHECK (period IN ('minute', 'hourly', 'daily', 'monthly', 'total')),
  CONSTRAINT ck_budgets_on_breach CHECK (on_breach IN ('stop', 'downgrade', 'pause')),
  CONSTRAINT ck_budgets_limits_something CHECK (budget_usd IS NOT NULL OR budget_tokens IS NOT NULL)
);
CREATE TABLE cost_events (
  seq INTEGER NOT NULL,
  id CHAR(32) NOT NULL,
  request_id VARCHAR(128) NOT NULL,
  tenant VARCHAR(200) DEFAULT 'default' NOT NULL,
  team VARCHAR(200) DEFAULT '' NOT NULL,
  key_id VARCHAR(200) DEFAULT '' NOT NULL,
  persona VARCHAR(200) DEFAULT '' NOT NULL,
  run_id VARCHAR(200) DEFAULT '' NOT NULL,
  provider VARCHAR(200) DEFAULT '' NOT NULL,
  model VARCHAR(200) DEFAULT '' NOT NULL,
  operation VARCHAR(32) DEFAULT 'chat' NOT NULL,
  attempt INTEGER DEFAULT '1' NOT NULL,
  final BOOLEAN NOT NULL,
  status VARCHAR(16) NOT NULL,
  confidence VARCHAR(20) NOT NULL,
  arm VARCHAR(200) DEFAULT '' NOT NULL,
  input_tokens BIGINT DEFAULT '0' NOT NULL,
  output_tokens BIGINT DEFAULT '0' NOT NULL,
  cache_read_tokens BIGINT DEFAULT '0' NOT NULL,
  cache_write_tokens BIGINT DEFAULT '0' NOT NULL,
  cache_write_1h_tokens BIGINT DEFAULT '0' NOT NULL,
  reasoning_tokens BIGINT DEFAULT '0' NOT NULL,
  input_audio_tokens BIGINT DEFAULT '0' NOT NULL,
  output_audio_tokens BIGINT DEFAULT '0' NOT NULL,
  units JSON,
  cost_nanos BIGINT DEFAULT '0' NOT NULL,
  cost_usd NUMERIC(20, 9) GENERATED ALWAYS AS (cost_nanos * 0.000000001) STORED,
  price_version VARCHAR(200) DEFAULT '' NOT NULL,
  config_version VARCHAR(200) DEFAULT '' NOT NULL,
  error VARCHAR(64),
  timestamp DATETIME NOT NULL,
  CONSTRAINT pk_cost_events PRIMARY KEY (seq),
  CONSTRAINT uq_cost_events_id UNIQUE (id)
);
CREATE INDEX ix_cost_events_request_id ON cost_events (request_id);
CREATE INDEX ix_cost_events_timestamp ON cost_events (timestamp);
CREATE TABLE cost_rollups (
  grain VARCHAR(1) NOT NULL,
  bucket BIGINT NOT NULL,
  tenant VARCHAR(200) NOT NULL,
  team VARCHAR(200) NOT NULL,
  key_id VARCHAR(200) NOT NULL,
  persona VARCHAR(200) NOT NULL,
  provider VARCHAR(200) NOT NULL,
  model VARCHAR(200) NOT NULL,
  requests BIGINT DEFAULT '0' NOT NULL,
  attempts BIGINT DEFAULT '0' NOT NULL,
  failures BIGINT DEFAULT '0' NOT NULL,
  input_tokens BIGINT DEFAULT '0' NOT NULL,
  output_tokens BIGINT DEFAULT '0' NOT NULL,
  cache_read_tokens BIGINT DEFAULT '0' NOT NULL,
  cache_write_tokens BIGINT DEFAULT '0' NOT NULL,
  reasoning_tokens BIGINT DEFAULT '0' NOT NULL,
  cost_nanos BIGINT DEFAULT '0' NOT NULL,
  estimated_nanos BIGINT DEFAULT '0' NOT NULL,
  unpriced BIGINT DEFAULT '0' NOT NULL,
  CONSTRAINT pk_cost_rollups PRIMARY KEY (grain, bucket, tenant, team, key_id, persona, provider, model)
);
CREATE INDEX ix_cost_rollups_tenant ON cost_rollups (tenant, grain, bucket);
CREATE TABLE gateway_keys (
  id VARCHAR(32) NOT NULL,
  name VARCHAR(200) NOT NULL,
  tenant VARCHAR(200) NOT NULL,
  team VARCHAR(200) DEFAULT '' NOT NULL,
  user_id CHAR(32),
  parent_id VARCHAR(32),
  digest BLOB NOT NULL,
  pepper VARCHAR(32) DEFAULT '' NOT NULL,
  previous_digest BLOB,
  previous_until DATETIME,
  role VARCHAR(16) DEFAULT 'member' NOT NULL,
  scopes JSON NOT NULL,
  loss_policy VARCHAR(16),
  revision BIGINT DEFAULT '0' NOT NULL,
  created_at DATETIME NOT NULL,
  expires_at DATETIME,
  revoked_at DATETIME,
  last_used_at DATETIME,
  CONSTRAINT pk_gateway_keys PRIMARY KEY (id),
  CONSTRAINT ck_gateway_keys_role CHECK (role IN ('admin', 'owner', 'member', 'viewer'))
);
CREATE INDEX ix_gateway_keys_revision ON gateway_keys (revision);
CREATE INDEX ix_gateway_keys_tenant ON gateway_keys (tenant);
CREATE TABLE idempotency_keys (
  tenant VARCHAR(200) NOT NULL,
  subject VARCHAR(200) NOT NULL,
  "key" BLOB NOT NULL,
  fingerprint BLOB NOT NULL,
  owner CHAR(32) NOT NULL,
  request_id VARCHAR(128) NOT NULL,
  state VARCHAR(16) NOT NULL,
  answer BLOB,
  created_at DATETIME NOT NULL,
  lease_until DATETIME NOT NULL,
  expires_at DATETIME NOT NULL,
  CONSTRAINT pk_idempotency_keys PRIMARY KEY (tenant, subject, "key")
);
CREATE INDEX ix_idempotency_keys_expires_at ON idempotency_keys (expires_at);
CREATE INDEX ix_idempotency_keys_owner ON idempotency_keys (owner);
CREATE TABLE logins (
  state BLOB NOT NULL,
  nonce VARCHAR(64) NOT NULL,
  verifier VARCHAR(128) NOT NULL,
  expires_at DATETIME NOT NULL,
  CONSTRAINT pk_logins PRIMARY KEY (state)
);
CREATE INDEX ix_logins_expires_at ON logins (expires_at);
CREATE TABLE persona_switches (
  name VARCHAR(200) NOT NULL,
  body TEXT,
  revision BIGINT NOT NULL,
  changed_by VARCHAR(200) DEFAULT '' NOT NULL,
  changed_at DATETIME NOT NULL,
  CONSTRAINT pk_persona_switches PRIMARY KEY (name)
);
CREATE TABLE pricing_table (
  provider VARCHAR(200) NOT NULL,
  model VARCHAR(200) NOT NULL,
  effective_date DATE NOT NULL,
  input_cost_per_1k NUMERIC(20, 9),
  output_cost_per_1k NUMERIC(20, 9),
  cache_read_cost_per_1k NUMERIC(20, 9),
  cache_write_cost_per_1k NUMERIC(20, 9),
  cache_write_1h_cost_per_1k NUMERIC(20, 9),
  reasoning_cost_per_1k NUMERIC(20, 9),
  input_audio_cost_per_1k NUMERIC(20, 9),
  output_audio_cost_per_1k NUMERIC(20, 9),
  units JSON,
  tiers JSON,
  free BOOLEAN DEFAULT '0' NOT NULL,
  set_by VARCHAR(200) DEFAULT '' NOT NULL,
  updated_at DATETIME,
  CONSTRAINT pk_pricing_table PRIMARY KEY (provider, model, effective_date)
);
CREATE TABLE requests (
  seq INTEGER NOT NULL,
  request_id VARCHAR(128) NOT NULL,
  timestamp DATETIME NOT NULL,
  tenant VARCHAR(200) DEFAULT 'default' NOT NULL,
  key_id VARCHAR(200) DEFAULT '' NOT NULL,
  persona VARCHAR(200) DEFAULT '' NOT NULL,
  run_id VARCHAR(200) DEFAULT '' NOT NULL,
  provider VARCHAR(200) DEFAULT '' NOT NULL,
  model VARCHAR(200) DEFAULT '' NOT NULL,
  dialect VARCHAR(32) NOT NULL,
  operation VARCHAR(32) NOT NULL,
  status INTEGER NOT NULL,
  error VARCHAR(64),
  stream BOOLEAN NOT NULL,
  attempts INTEGER NOT NULL,
  finish VARCHAR(32),
  duration_ms FLOAT NOT NULL,
  first_content_ms FLOAT,
  input_tokens BIGINT DEFAULT '0' NOT NULL,
  output_tokens BIGINT DEFAULT '0' NOT NULL,
  cost_nanos BIGINT DEFAULT '0' NOT NULL,
  config_version VARCHAR(200) DEFAULT '' NOT NULL,
  trace_id VARCHAR(32),
  request_body BLOB,
  response_body BLOB,
  CONSTRAINT pk_requests PRIMARY KEY (seq)
);
CREATE INDEX ix_requests_request_id ON requests (request_id);
CREATE INDEX ix_requests_tenant_seq ON requests (tenant, seq);
CREATE INDEX ix_requests_timestamp ON requests (timestamp);
CREATE TABLE reservations (
  id CHAR(32) NOT NULL,
  request_id VARCHAR(128) NOT NULL,
  worker CHAR(32) NOT NULL,
  tenant VARCHAR(200) DEFAULT 'default' NOT NULL,
  hold_nanos BIGINT DEFAULT '0' NOT NULL,
  hold_tokens BIGINT DEFAULT '0' NOT NULL,
  lease_until DATETIME NOT NULL,
  record JSON NOT NULL,
  CONSTRAINT pk_reservations PRIMARY KEY (id)
);
CREATE INDEX ix_reservations_lease_until ON reservations (lease_until);
CREATE TABLE responses (
  tenant VARCHAR(200) DEFAULT 'default' NOT NULL,
  id VARCHAR(64) NOT NULL,
  owner VARCHAR(200) DEFAULT '' NOT NULL,
  previous_id VARCHAR(64),
  input BLOB NOT NULL,
  response BLOB NOT NULL,
  created_at DATETIME NOT NULL,
  CONSTRAINT pk_responses PRIMARY KEY (id, tenant)
);
CREATE INDEX ix_responses_tenant_created_at ON responses (tenant, created_at);
CREATE TABLE run_approvals (
  run_id VARCHAR(64) NOT NULL,
  call_key VARCHAR(256) NOT NULL,
  seal VARCHAR(64) NOT NULL,
  expires_at DATETIME NOT NULL,
  decision VARCHAR(8),
  decided_by VARCHAR(200),
  decided_at DATETIME,
  answer TEXT,
  CONSTRAINT pk_run_approvals PRIMARY KEY (run_id, call_key, seal)
);
CREATE TABLE run_events (
  run_id VARCHAR(64) NOT NULL,
  first BIGINT NOT NULL,
  last BIGINT NOT NULL,
  data TEXT NOT NULL,
  CONSTRAINT pk_run_events PRIMARY KEY (run_id, first)
);
CREATE TABLE run_journal (
  seq INTEGER NOT NULL,
  run_id VARCHAR(64) NOT NULL,
  path VARCHAR(128) DEFAULT '' NOT NULL,
  turn INTEGER NOT NULL,
  place INTEGER NOT NULL,
  kind VARCHAR(8) NOT NULL,
  data TEXT NOT NULL,
  at DATETIME NOT NULL,
  CONSTRAINT pk_run_journal PRIMARY KEY (seq),
  CONSTRAINT uq_run_journal_run_id_path_turn_place_kind UNIQUE (run_id, path, turn, place, kind)
);
CREATE TABLE runs (
  id VARCHAR(64) NOT NULL,
  tenant VARCHAR(200) DEFAULT 'default' NOT NULL,
  owner VARCHAR(200) DEFAULT '' NOT NULL,
  persona VARCHAR(200) DEFAULT '' NOT NULL,
  status VARCHAR(16) NOT NULL,
  reason VARCHAR(40),
  request TEXT NOT NULL,
  options TEXT NOT NULL,
  model VARCHAR(400),
  steps INTEGER DEFAULT '0' NOT NULL,
  input_tokens BIGINT DEFAULT '0' NOT NULL,
  output_tokens BIGINT DEFAULT '0' NOT NULL,
  cost_nanos BIGINT DEFAULT '0' NOT NULL,
  answer TEXT,
  error TEXT,
  cancel BOOLEAN DEFAULT '0' NOT NULL,
  epoch INTEGER DEFAULT '0' NOT NULL,
  worker VARCHAR(128),
  leased_until DATETIME,
  created_at DATETIME NOT NULL,
  updated_at DATETIME NOT NULL,
  finished_at DATETIME,
  CONSTRAINT pk_runs PRIMARY KEY (id)
);
CREATE INDEX ix_runs_status ON runs (status);
CREATE INDEX ix_runs_tenant_created_at ON runs (tenant, created_at);
CREATE TABLE sessions (
  id BLOB NOT NULL,
  user_id CHAR(32) NOT NULL,
  created_at DATETIME NOT NULL,
  expires_at DATETIME NOT NULL,
  CONSTRAINT pk_sessions PRIMARY KEY (id)
);
CREATE INDEX ix_sessions_expires_at ON sessions (expires_at);
CREATE INDEX ix_sessions_user_id ON sessions (user_id);
CREATE TABLE tenants (
  id VARCHAR(200) NOT NULL,
  display_name VARCHAR(200) DEFAULT '' NOT NULL,
  store_content BOOLEAN DEFAULT '0' NOT NULL,
  retention_days INTEGER,
  settings JSON,
  revision BIGINT DEFAULT '0' NOT NULL,
  created_at DATETIME NOT NULL,
  disabled_at DATETIME,
  CONSTRAINT pk_tenants PRIMARY KEY (id)
);
CREATE TABLE users (
  id CHAR(32) NOT NULL,
  tenant VARCHAR(200) NOT NULL,
  issuer VARCHAR(512) NOT NULL,
  subject VARCHAR(255) NOT NULL,
  email VARCHAR(320),
  role VARCHAR(16) NOT NULL,
  revision BIGINT DEFAULT '0' NOT NULL,
  created_at DATETIME NOT NULL,
  disabled_at DATETIME,
  last_login_at DATETIME,
  CONSTRAINT pk_users PRIMARY KEY (id),
  CONSTRAINT uq_users_issuer_subject UNIQUE (issuer, subject),
  CONSTRAINT ck_users_role CHECK (role IN ('admin', 'owner', 'member', 'viewer'))
);
CREATE INDEX ix_users_tenant ON users (tenant);
CREATE TABLE webhook_outbox (
  seq INTEGER NOT NULL,
  id CHAR(32) NOT NULL,
  endpoint VARCHAR(200) NOT NULL,
  shape VARCHAR(16) NOT NULL,
  payload TEXT NOT NULL,
  attempts INTEGER DEFAULT '0' NOT NULL,
  next_attempt_at DATETIME NOT NULL,
  leased_until DATETIME,
  created_at DATETIME NOT NULL,
  delivered_at DATETIME,
  dead_at DATETIME,
  last_error VARCHAR(512),
  CONSTRAINT pk_webhook_outbox PRIMARY KEY (seq),
  CONSTRAINT uq_webhook_outbox_id UNIQUE (id)
);
CREATE INDEX ix_webhook_outbox_next_attempt_at ON webhook_outbox (next_attempt_at);
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log BEGIN SELECT RAISE(ABORT, 'permission denied: audit_log is append-only'); END;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log BEGIN SELECT RAISE(ABORT, 'permission denied: audit_log is append-only'); END
