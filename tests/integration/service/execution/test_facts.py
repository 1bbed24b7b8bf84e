"""Facts that a driver records in the sweep's run reach the sweep's row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete

from service.execution.repair import Repair
from service.external.ray_jobs import RayJobs
from service.states import Command
from service.storage import SweepRow
from tests.support.reconciler_world import World
from workers.metrics import Outcome

NOTES = "3 of 20 files are left out"


def record(driver: Any, notes: str, method: str | None = "differences") -> None:
    """Record facts as a driver does, after it has created the run."""
    driver.client.set_tag(driver.parent, "sasam.data_notes", notes)
    if method is not None:
        driver.client.set_tag(driver.parent, "sasam.hessian_method", method)


def test_facts_recorded_after_the_run_was_found_are_read(world: World) -> None:
    sweep_id = world.submit()  # the catalog knows the number of classes of its data
    driver = world.run(sweep_id)
    driver.start(classes=None)
    world.tick()
    row = world.row(sweep_id)
    assert (row.mlflow_run_id, row.classes, row.data_notes) == (driver.parent, 10, None)
    record(driver, NOTES)
    world.tick()
    row = world.row(sweep_id)
    assert (row.classes, row.data_notes, row.hessian_method) == (10, NOTES, "differences")
    assert world.show(sweep_id).notes[0] == NOTES


def test_sweep_without_notes_is_not_looked_up_again(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    record(driver, "", None)
    world.tick()
    row = world.row(sweep_id)
    assert (row.data_notes, row.hessian_method, world.show(sweep_id).notes) == ("", None, [])
    record(driver, NOTES)
    world.tick()
    assert world.row(sweep_id).data_notes == ""


def test_facts_of_a_later_driver_replace_those_of_an_earlier_one(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    record(driver, NOTES)
    driver.end_all(Outcome.FAILED)
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    world.tick()
    assert world.row(sweep_id).data_notes == NOTES
    world.command(sweep_id, Command.RETRY_FAILED)
    world.run(sweep_id)
    record(driver, "", "exact")
    driver.end_all()
    world.ray.move(world.job(sweep_id), "SUCCEEDED", exit_code=0)
    world.tick()
    row = world.row(sweep_id)
    assert (row.state, row.data_notes, row.hessian_method) == ("completed", "", "exact")


def test_repair_reads_the_facts(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    record(driver, NOTES)
    driver.end_all()
    text = driver.specification.model_dump_json()
    driver.client.log_text(driver.parent, text, "specification.json")
    with world.database.transaction() as session:
        session.execute(delete(SweepRow).where(SweepRow.sweep_id == sweep_id))
    repair = Repair(world.database, RayJobs(world.settings), world.results)
    assert sweep_id in repair.sweeps().sweeps
    row = world.row(sweep_id)
    assert (row.data_notes, row.hessian_method) == (NOTES, "differences")
