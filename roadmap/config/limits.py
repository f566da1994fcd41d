"""The blocks of params.yaml that a finished model is held to, before it becomes champion and afterwards."""

import sys
from typing import Any

from pydantic import Field, model_validator

from roadmap.config.settings import Strict

CRON = r"^(@(hourly|daily|weekly|monthly|yearly)|\S+( +\S+){4})$"
RENAMED = {"effect": "minimum_improvement", "margin": "maximum_regression"}  # keys of `gate:`, old and new


class GateSettings(Strict):
    """What a model must show before it may become `champion`."""

    floor: float = Field(description="the headline metric must be at least this (at most, where lower is better)")
    minimum_improvement: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="the gain over the champion, in units of the headline, that must be exceeded with 95% confidence; "
        "a negative one lets an equal model pass, or one that loses so much",
    )
    maximum_regression: float = Field(
        ge=0, description="what it may lose in a slice, or on the old rows where it gains on recent ones"
    )
    latency_ms: float = Field(gt=0, description="95th percentile of one request, in milliseconds")
    size_mb: float = Field(gt=0, description="all files of the bundle, in millions of bytes")

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, block: Any) -> Any:
        """Takes the keys of before 2026-12 under their new names, and says so."""
        if not isinstance(block, dict):
            return block
        renamed = dict(block)
        for old, new in RENAMED.items():
            if old not in renamed:
                continue
            if new in renamed:
                raise ValueError(f"{old} is the old name of {new}: found both; keep {new}")
            renamed[new] = renamed.pop(old)
            print(f"warning: params.yaml: gate.{old} is now called {new}; rename it", file=sys.stderr)
        return renamed


class MonitorSettings(Strict):
    """How the project is watched in production. `enabled: false` is the kill switch."""

    enabled: bool = Field(default=True, description="whether the prediction log is looked at, and drift retrains")
    schedule: str | None = Field(default="0 6 * * *", pattern=CRON, description="when, as cron has it (UTC)")
    window_days: float = Field(default=7, gt=0, le=366, description="how far back the log is read")
    min_rows: int = Field(default=200, ge=20, description="answers of the champion without which nothing is said")
    max_rows: int = Field(default=1_000, ge=20, description="so many of the latest are read")
    alpha: float = Field(default=0.02, gt=0, lt=0.5, description="false alarms of a quiet window, all columns together")
    gap: float = Field(default=0.1, ge=0, lt=1, description="what differs by less is no drift")
    cooldown_days: float = Field(default=1, ge=0, description="after a retraining none is asked for so long")
    budget: int = Field(default=4, ge=0, description="retrainings in 30 days, at most")

    @model_validator(mode="after")
    def _rows_in_order(self) -> "MonitorSettings":
        if self.max_rows < self.min_rows:
            raise ValueError(f"max_rows ({self.max_rows}) must be at least min_rows ({self.min_rows})")
        return self
