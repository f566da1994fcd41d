"""The settings of the server: flags take precedence over environment variables, and these over defaults."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, cast, get_args

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from roadmap.bundle import Execution, Provider
from serving.errors import describe

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

ORIGIN = re.compile(r"https?://[^/\s?#@]+")
SAFE = re.compile(r"https://|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/|$)")

Positive = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """Serves every bundle over HTTP. Each flag is also a variable: --max-queue is SERVING_MAX_QUEUE; --host and --port,
    which platforms set, are HOST and PORT. An empty variable counts as unset."""

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
    host: str = Field("127.0.0.1", validation_alias="HOST", description="0.0.0.0 to accept remote connections")
    port: int = Field(8000, validation_alias="PORT", ge=0, le=65535, description="0 for any free one")
    workers: Positive = Field(1, description="processes; one that dies is restarted")
    # models
    bundles: str = Field(
        "artifacts",
        description="folder of <project>/bundle, s3://bucket/prefix, models:/name@alias, hub://owner/name, or several",
    )
    challengers: str | None = Field(
        None, description="bundles of the same projects to compare with; default: <project>/challenger in a folder"
    )
    shadow: float = Field(0.0, ge=0, le=1, description="fraction of requests that a challenger gets as shadow requests")
    split: float = Field(0.0, ge=0, le=1, description="fraction of callers routed to the challenger")
    records: Path | None = Field(
        None,
        description="folder of <project>/*.json for /status; default: --bundles, if it is a folder",
    )
    load: Literal["eager", "lazy"] = Field("eager", description="lazy: models are loaded on their first request")
    memory_mb: Positive | None = Field(None, description="memory of all models; the least recently used are evicted")
    poll_seconds: float = Field(5.0, ge=0, description="seconds between polls for new versions; 0: never")
    providers: str = Field(
        "cpu",
        description="what runs the graphs, in order of preference: tensorrt, cuda, cpu; comma-separated. One that is "
        "not there is left out with a warning",
    )
    cache: Path = Field(
        Path.home() / ".cache" / "roadmap" / "bundles",
        description="cache of downloaded bundles and of TensorRT's engines",
    )
    strict_code: bool = Field(False, description="refuse bundles evaluated with different predictor code")
    # requests
    max_body_mb: Positive = Field(8, description="largest request body, also after decompression")
    max_inputs: Positive = Field(1024, description="most inputs per request")
    timeout_seconds: float = Field(60.0, gt=0, description="timeout of a request, answered with 504")
    strict: bool = Field(False, description="refuse a level of a table that training has never seen, else noted")
    # batching
    threads: Positive = Field(CORES, description="compute threads, shared by all models")
    max_batch: Positive = Field(64, description="most inputs per call of a predictor")
    max_wait_ms: float = Field(0.0, ge=0, description="time that a batch waits for more inputs; 0: none")
    max_queue: Positive = Field(1024, description="most queued inputs per model; beyond: 503 with Retry-After")
    # who may ask
    api_keys: Path | None = Field(
        None, description="file of hashed keys and their projects; without it the server is open to all"
    )
    jwt_issuer: str | None = Field(None, description="OIDC issuer of accepted bearer tokens")
    jwt_audience: str | None = Field(None, validate_default=True, description="required audience of tokens")
    cors_origins: str = Field("", description="allowed CORS origins, comma-separated; default: none")
    rate_per_minute: Positive | None = Field(None, description="most requests per key, or per address without keys")
    # what is recorded
    log_format: Literal["text", "json"] = "text"
    audit: Literal["none", "line", "payload"] = Field(
        "line", description="log of requests; payload: also the first 10,000 bytes of the body"
    )
    traces: bool = Field(False, description="OpenTelemetry spans to OTEL_EXPORTER_OTLP_ENDPOINT")
    predictions: str | None = Field(
        None, description="the prediction log: a folder (Parquet by day) or a SQLAlchemy URL"
    )
    predictions_share: float = Field(1.0, ge=0, le=1, description="fraction of requests that are logged")
    predictions_spool: Path = Field(
        Path.home() / ".cache" / "roadmap" / "predictions",
        description="local folder in which predictions wait to be written",
    )

    @property
    def origins(self) -> list[str]:
        """`cors_origins`, one by one."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    @property
    def execution(self) -> Execution:
        """`providers`, and where TensorRT's engines are kept."""
        chosen = tuple(cast(Provider, name.strip()) for name in self.providers.split(","))
        return Execution(chosen, self.cache / ".engines")

    @field_validator("providers")
    @classmethod
    def _known(cls, text: str) -> str:
        known = get_args(Provider)
        for name in text.split(","):
            if name.strip() not in known:
                raise ValueError(f"has {name.strip()!r}; expected {', '.join(known)}")
        return text

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, text: str) -> str:
        for origin in filter(None, map(str.strip, text.split(","))):
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(f"has {origin!r}; expected an origin such as https://app.example.org")
        return text

    @field_validator("jwt_issuer")
    @classmethod
    def _safe(cls, url: str | None) -> str | None:
        if url and not SAFE.match(url):
            raise ValueError("should be an https:// address: keys from an insecure connection prove nothing")
        return url

    @field_validator("jwt_audience")
    @classmethod
    def _both(cls, audience: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("jwt_issuer") and not audience:
            raise ValueError("is missing: without it, tokens issued for others would be accepted")
        return audience


def variable(name: str) -> str:
    """Of a field."""
    alias = Settings.model_fields[name].validation_alias
    return str(alias or f"SERVING_{name}").upper()


def to_environment(settings: Settings) -> dict[str, str]:
    """The environment variables of these settings, for another process."""
    changed = settings.model_dump(mode="json", exclude_defaults=True)
    return {variable(name): str(value) for name, value in changed.items()}


def at_fault(error: ValidationError) -> str:
    """The first invalid setting: flag, variable, what is expected and what was found."""
    first = error.errors()[0]
    name = str(first["loc"][0]).lower()
    return f"--{name.replace('_', '-')} (or {variable(name)}) {describe(first)}, not {first['input']!r}"
