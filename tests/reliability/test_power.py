"""A6: short forms of ``python -m benchmarks.reliability --only power``."""

import pytest

from tests.reliability.power import FAULTS, lose_power
from tests.reliability.sqlite_calls import can_record

pytestmark = pytest.mark.skipif(not can_record(), reason="SQLite cannot be listened to here")


@pytest.mark.parametrize(
    ("scene", "count"), [("work", 20), ("migration", 8), ("backup", 8), ("restore", 30)]
)
async def test_whatever_a_power_loss_leaves_of_a_disk_every_promise_holds_in(
    tmp_path, scene, count
):
    outcome = await lose_power(scene, tmp_path, count, seed=1)

    assert dict(outcome.problems) == {}
    assert outcome.losses == count
    assert outcome.promises > 0


@pytest.mark.parametrize("fault", FAULTS)
async def test_power_losses_bring_to_light(tmp_path, fault):
    outcome = await lose_power(FAULTS[fault].scene, tmp_path, 60, seed=1, fault=fault)

    assert any(FAULTS[fault].words in problem for problem in outcome.problems), outcome.problems
