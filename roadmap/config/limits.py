"""The `gate:` and `monitor:` blocks of params.yaml: limits before and after a model becomes champion."""

import sys
from typing import Any

from pydantic import Field, model_validator

from roadmap.config.settings import Strict

CRON = r"^(@(hourly|daily|weekly|monthly|yearly)|\S+( +\S+){4})$"
RENAMED = {"effect": "minimum_improvement", "margin": "maximum_regression"}  # keys of `gate:`, old and new


class GateSettings(Strict):
    """What a model must pass to become `champion`."""

    floor: float = Field(description="the headline metric must be at least this (at most, where lower is better)")
    minimum_improvement: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="gain over the champion, in units of the headline metric, to exceed with 95% confidence; "
        "a negative value is the loss that is tolerated",
    )
    maximum_regression: float = Field(
        ge=0, description="tolerated loss in a slice, or on the old test rows if it improves on recent ones"
    )
    worst_tenth: float | None = Field(
        default=None, description="at least this (at most) on the worst tenth of the test rows; null: not checked"
    )
    confidence: float | None = Field(
        default=None, ge=0.5, lt=1, description="with which the floor is reached, not only by luck; null: as it comes"
    )
    latency_ms: float = Field(gt=0, description="95th percentile of one request, in milliseconds")
    size_mb: float = Field(gt=0, description="all files of the bundle, in millions of bytes")

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, block: Any) -> Any:
        """Accepts the key names used before 2026-12, with a warning."""
        if not isinstance(block, dict):
            return block
        renamed = dict(block)
        for old, new in RENAMED.items():
            if old not in renamed:
                continue
            if new in renamed:
                raise ValueError(f"{old} is the old name of {new}; found both; keep {new}")
            renamed[new] = renamed.pop(old)
            print(f"warning: params.yaml: gate.{old} is now called {new}; rename it", file=sys.stderr)
        return renamed


class MonitorSettings(Strict):
    """How the project is monitored in production. `enabled: false` is the kill switch."""

    enabled: bool = Field(default=True, description="whether drift is monitored and triggers retraining")
    schedule: str | None = Field(default="0 6 * * *", pattern=CRON, description="cron expression, UTC")
    window_days: float = Field(default=7, gt=0, le=366, description="window of the prediction log, in days")
    min_rows: int = Field(default=200, ge=20, description="fewest predictions of the champion needed for a decision")
    max_rows: int = Field(default=1_000, ge=20, description="most recent predictions to read")
    alpha: float = Field(
        default=0.02, gt=0, lt=0.5, description="false-alarm rate of a window without drift, all columns together"
    )
    gap: float = Field(default=0.1, ge=0, lt=1, description="smallest difference that counts as drift")
    cooldown_days: float = Field(default=1, ge=0, description="shortest time between two retrainings, in days")
    budget: int = Field(default=4, ge=0, description="most retrainings in 30 days")

    @model_validator(mode="after")
    def _rows_in_order(self) -> "MonitorSettings":
        if self.max_rows < self.min_rows:
            raise ValueError(f"max_rows ({self.max_rows}) must be at least min_rows ({self.min_rows})")
        return self
