"""Which challenger is compared: none that is corrupt, promoted or withdrawn."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support import bundles
from tests.support.challengers import count
from tests.support.waiting import until


def test_a_corrupt_challenger_leaves_all_callers_with_the_champion(visit: Any, artifacts: Path) -> None:
    (artifacts / "titanic" / "challenger" / "model.onnx").write_bytes(b"nothing")
    with visit(split=1, shadow=1) as visitor:
        assert visitor.version() == visitor.champion
        assert visitor.slot.info.status == "refused"


@pytest.mark.parametrize("share", [{"split": 1}, {"shadow": 1}])
def test_a_promotion_ends_the_comparison(visit: Any, artifacts: Path, share: dict[str, float]) -> None:
    with visit(**share) as visitor:
        before = count("serving_arm_requests_total", version=visitor.challenger)
        visitor.ask()
        until(lambda: count("serving_arm_requests_total", version=visitor.challenger) > before)  # it comes later
        home = artifacts / "titanic"
        shutil.rmtree(home / "bundle")
        shutil.copytree(home / "challenger", home / "bundle")
        visitor.client.app.state.store.refresh()
        before = count("serving_arm_requests_total")
        assert visitor.version() == visitor.challenger
        assert count("serving_arm_requests_total") == before


def test_a_champion_is_not_loaded_twice(visit: Any, artifacts: Path) -> None:
    with visit(split=1) as visitor:
        assert set(visitor.client.app.state.challengers.store.slots) == {"titanic"}
    elsewhere = artifacts.parent / "elsewhere"
    shutil.copytree(artifacts / "titanic" / "challenger", elsewhere / "titanic" / "bundle")
    with visit(split=1, challengers=str(elsewhere)) as visitor:
        assert visitor.version() == visitor.challenger


def test_challengers_are_replaced_and_withdrawn(visit: Any, artifacts: Path) -> None:
    home = artifacts / "titanic"
    with visit(split=1) as visitor:
        store = visitor.client.app.state.challengers.store
        newer = bundles.another(home / "challenger", "newer").version
        store.refresh()
        assert visitor.version() == newer != visitor.challenger
        assert count("serving_model_info", role="challenger", version=newer) == 1
        shutil.rmtree(home)
        store.refresh()
        assert visitor.version() == visitor.champion
        assert count("serving_model_info", role="challenger", project="titanic") == 0
