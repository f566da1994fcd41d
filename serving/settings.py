"""What an operator may set, and how: a flag counts before a variable, and a variable before the default."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving.errors import words

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

ORIGIN = re.compile(r"https?://[^/\s?#@]+")
SAFE = re.compile(r"https://|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/|$)")

Positive = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """Serves every bundle over HTTP. Each flag is a variable too: --max-queue is SERVING_MAX_QUEUE; --host and --port,
    which platforms set, are HOST and PORT. An empty variable counts as none."""

    model_config = SettingsConfigDict(
        env_prefix="SERVING_",
        env_ignore_empty=True,
        validate_by_name=True,
        extra="forbid",
        frozen=True,
        cli_prog_name="python -m serving",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    # where
    host: str = Field("127.0.0.1", validation_alias="HOST", description="0.0.0.0 to be reached from outside")
    port: int = Field(8000, validation_alias="PORT", ge=0, le=65535, description="0 for any free one")
    workers: Positive = Field(1, description="processes; one that dies is started again")
    # models
    bundles: str = Field(
        "artifacts",
        description="folder of <project>/bundle, s3://bucket/prefix, or models:/<name>@<alias>, several by comma",
    )
    challengers: str | None = Field(
        None, description="other bundles of the same projects to compare, named alike; a folder's <project>/challenger"
    )
    shadow: float = Field(0.0, ge=0, le=1, description="of the requests that a challenger answers too, unseen")
    split: float = Field(0.0, ge=0, le=1, description="of the callers who get the challenger's answers")
    records: Path | None = Field(
        None,
        description="folder of <project>/*.json that /status shows; by default the bundles' where they are a folder",
    )
    load: Literal["eager", "lazy"] = Field("eager", description="lazy: a model is loaded when it is first asked")
    memory_mb: Positive | None = Field(None, description="of all models together; the least recently used leave")
    poll_seconds: float = Field(5.0, ge=0, description="how often bundles are looked at for a new version; 0: never")
    cache: Path = Field(
        Path.home() / ".cache" / "roadmap" / "bundles", description="where fetched bundles lie, by hash"
    )
    strict_code: bool = Field(False, description="refuse a bundle whose predictor is not the code that runs here")
    # requests
    max_body_mb: Positive = Field(8, description="of a request, also when unpacked from gzip")
    max_inputs: Positive = Field(1024, description="of one request")
    timeout_seconds: float = Field(60.0, gt=0, description="until a request is given up with 504")
    strict: bool = Field(False, description="refuse a level of a table that training has never seen, else noted")
    # batching
    threads: Positive = Field(CORES, description="that compute, of all models together")
    max_batch: Positive = Field(64, description="inputs that are answered by one call of a predictor")
    max_wait_ms: float = Field(0.0, ge=0, description="that a batch waits for company; 0: takes those who are there")
    max_queue: Positive = Field(1024, description="inputs that may wait for a model; beyond: 503 with Retry-After")
    # who may ask
    api_keys: Path | None = Field(None, description="file of hashed keys and their projects; without: open to all")
    jwt_issuer: str | None = Field(None, description="OIDC issuer whose bearer tokens are taken")
    jwt_audience: str | None = Field(None, validate_default=True, description="that a token must be for")
    cors_origins: str = Field("", description="origins whose pages may ask, by comma; none by default")
    rate_per_minute: Positive | None = Field(None, description="requests of one key, or of one address without keys")
    # what is recorded
    log_format: Literal["text", "json"] = "text"
    audit: Literal["none", "line", "payload"] = Field(
        "line", description="what the log says of every request; payload: also the first 10,000 bytes of what was sent"
    )
    traces: bool = Field(False, description="OpenTelemetry spans to OTEL_EXPORTER_OTLP_ENDPOINT")
    predictions: str | None = Field(
        None, description="where sampled predictions go: a folder (Parquet by day) or a SQLAlchemy URL"
    )
    predictions_share: float = Field(1.0, ge=0, le=1, description="of the requests that are recorded")
    predictions_spool: Path = Field(
        Path.home() / ".cache" / "roadmap" / "predictions",
        description="folder on a local disk where predictions wait to be written",
    )

    @property
    def origins(self) -> list[str]:
        """`cors_origins`, one by one."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, text: str) -> str:
        for origin in filter(None, map(str.strip, text.split(","))):
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(f"has {origin!r}, which is no origin such as https://app.example.org")
        return text

    @field_validator("jwt_issuer")
    @classmethod
    def _safe(cls, url: str | None) -> str | None:
        if url and not SAFE.match(url):
            raise ValueError("should be an https:// address: keys that came over an open line would prove nothing")
        return url

    @field_validator("jwt_audience")
    @classmethod
    def _both(cls, audience: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("jwt_issuer") and not audience:
            raise ValueError("is missing: without it tokens that the issuer made for others would be taken")
        return audience


def variable(name: str) -> str:
    """Of a field."""
    alias = Settings.model_fields[name].validation_alias
    return str(alias or f"SERVING_{name}").upper()


def to_environment(settings: Settings) -> dict[str, str]:
    """The variables from which another process gets the same settings."""
    said = settings.model_dump(mode="json", exclude_defaults=True)
    return {variable(name): str(value) for name, value in said.items()}


def at_fault(error: ValidationError) -> str:
    """The first setting that is wrong, by its flag and its variable: what it should be, and what was found."""
    first = error.errors()[0]
    name = str(first["loc"][0]).lower()
    return f"--{name.replace('_', '-')} (or {variable(name)}) {words(first)}, not {first['input']!r}"
