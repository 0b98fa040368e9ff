"""The tables of the ledger, for each database that SQLAlchemy knows; `ledger` fills them."""

import sqlalchemy as sa

TABLES = sa.MetaData()
CALLS = sa.Table(
    "calls",
    TABLES,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("asset", sa.String, nullable=False, comment="asset that paid for the call"),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("run_id", sa.String, nullable=False, comment="run that paid for the call"),
    sa.Column("row_id", sa.String, comment="row that asked first"),
    sa.Column("template", sa.String, comment="template of the request, and its fingerprint"),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("revision", sa.String, nullable=False),
    sa.Column("repeat_index", sa.Integer, nullable=False),
    sa.Column("answer", sa.Text, comment="raw; null once taken down"),
    sa.Column("finish_reason", sa.String),
    sa.Column("logprobs", sa.JSON(none_as_null=True)),
    sa.Column("prompt_tokens", sa.Integer),
    sa.Column("completion_tokens", sa.Integer),
    sa.Column("tokens_estimated", sa.Boolean, comment="true = counted by us; null = as told"),
    sa.Column("thinking", sa.Integer, comment="characters of reasoning beside the answer"),
    sa.Column("latency_ms", sa.Float),
    sa.Column("cost", sa.Float, comment="by the price file; null = unpriced"),
    sa.Column("endpoint", sa.String, comment="scheme, host and path; never credentials"),
    sa.Column("fingerprint", sa.String, comment="observed; a change is drift"),
    sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("taken_down_at", sa.DateTime(timezone=True)),
    sa.Index("calls_by_asset", "asset", "role"),
    sa.Index("calls_by_run", "run_id"),
)
QUARANTINE = sa.Table(
    "quarantine",
    TABLES,
    sa.Column("key", sa.String(64), primary_key=True, comment="ledger key of the first attempt"),
    sa.Column("asset", sa.String, nullable=False),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("row_id", sa.String, nullable=False, comment="row that asked"),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("last_answer", sa.Text, comment="raw; null when none came"),
    sa.Column("held", sa.Boolean, nullable=False, comment="not asked again until re-driven"),
    sa.Column("drives", sa.Integer, nullable=False, comment="how often it was re-driven"),
    sa.Column("quarantined_at", sa.DateTime(timezone=True), nullable=False),
)
BINDINGS = sa.Table(
    "bindings",
    TABLES,
    sa.Column("endpoint", sa.String, primary_key=True),
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("binding", sa.String, nullable=False, comment="how the endpoint binds a schema"),
)
FINGERPRINTS = sa.Table(
    "fingerprints",
    TABLES,
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("revision", sa.String, primary_key=True),
    sa.Column("fingerprint", sa.String, primary_key=True, comment="as the answers named it"),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False, comment="for the first time"),
)
SPENDING = sa.Table(
    "spending",
    TABLES,
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("asset", sa.String, primary_key=True),
    sa.Column("holder", sa.String, primary_key=True, comment="who spends: one ask of one process"),
    sa.Column("calls", sa.BigInteger, nullable=False, comment="paid"),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
    sa.Column("held_calls", sa.BigInteger, nullable=False, comment="reserved, not yet answered"),
    sa.Column("held_tokens", sa.BigInteger, nullable=False),
    sa.Column("held_cost", sa.Float, nullable=False),
)
CLAIMS = sa.Table(
    "claims",
    TABLES,
    sa.Column("key", sa.String(64), primary_key=True, comment="ledger key that is being asked"),
    sa.Column("holder", sa.String, nullable=False, comment="who asks: one ask of one process"),
    sa.Column("until", sa.Float, nullable=False, comment="epoch seconds of the database's clock"),
)
