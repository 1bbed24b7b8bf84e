"""A waiting sweep has a reason, and continues by itself."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from service.execution.lease import Lease, LeaseLostError
from service.execution.reconciler import Reconciler
from service.external.ray_jobs import RayJobs
from service.states import Command
from service.storage import LeaseRow
from tests.support.reconciler_world import World
from workers.metrics import Outcome


def test_sweep_whose_trials_fit_no_node_waits_for_one(world: World) -> None:
    sweep_id = world.submit(resources={"cpu": 4, "gpu": 2})
    world.ray.nodes = [{"CPU": 8.0}, {"CPU": 2.0, "GPU": 4.0}]
    world.tick(2)
    sweep = world.show(sweep_id)
    assert (sweep.state, sweep.attempt) == ("queued", 0)
    assert sweep.reason == (
        "no node of the cluster fits a trial of 4 CPU + 2 GPU (nodes: 8 CPU + 0 GPU, 2 CPU + 4 "
        "GPU); add one, or request less under resources"
    )
    world.ray.nodes.append({"CPU": 4.0, "GPU": 2.0})
    world.tick()
    assert (world.show(sweep_id).state, world.show(sweep_id).reason) == ("starting", None)


def test_sweep_that_waits_leaves_its_place_to_others(world: World) -> None:
    large = world.submit(resources={"cpu": 100}, priority=5)
    others = [world.submit() for _ in range(2)]
    world.tick()
    assert [world.show(sweep_id).state for sweep_id in (large, *others)] == [
        "queued",
        "starting",
        "starting",
    ]


def test_cluster_without_nodes_is_waited_for(world: World) -> None:
    sweep_id = world.submit()
    world.ray.nodes = []
    world.tick()
    assert "fits a trial of 1 CPU + 0 GPU (nodes: none)" in world.show(sweep_id).reason


def test_cluster_with_gpus_gives_each_trial_one_by_default(world: World) -> None:
    sweep_id, without = world.submit(resources={"cpu": 4}), world.submit(resources={"gpu": 0})
    world.ray.nodes = [{"CPU": 8.0}, {"CPU": 2.0, "GPU": 1.0}]
    world.tick()
    assert "fits a trial of 4 CPU + 1 GPU" in world.show(sweep_id).reason
    assert world.show(without).state == "starting"


def test_cluster_that_grows_on_demand_is_given_a_sweep_that_fits_no_node(world: World) -> None:
    sweep_id = world.submit(resources={"gpu": 1})
    eager = world.reconcile_with(cluster_autoscales=True)
    eager.tick()
    eager.tick()
    world.ray.move(world.job(sweep_id), "RUNNING")
    eager.tick()
    eager.tick()
    sweep = world.show(sweep_id)
    assert sweep.state == "running"
    assert sweep.reason.startswith("no node of the cluster fits a trial of 1 CPU + 1 GPU")
    world.ray.nodes.append({"CPU": 2.0, "GPU": 1.0})
    eager.tick()
    assert world.show(sweep_id).reason is None


def test_full_disk_is_waited_for(world: World) -> None:
    waiting, running = world.submit(), world.submit(priority=1)
    world.run(running)
    path = world.settings.home / "storage"
    path.mkdir()
    world.hurry(waiting, state="queued", attempt=0)
    full = world.reconcile_with(min_free_bytes=2**60)
    full.tick()
    for sweep_id, state in ((waiting, "queued"), (running, "running")):
        sweep = world.show(sweep_id)
        assert sweep.state == state
        assert sweep.reason == (
            f"the disk under {path} is full: less than 1,099,511,627,776 MiB are free; make room"
        )
    world.tick()
    assert (world.show(waiting).state, world.show(running).reason) == ("starting", None)


def test_queue_says_that_all_places_are_taken(world: World) -> None:
    sweeps = [world.submit() for _ in range(3)]
    world.tick(2)
    assert world.show(sweeps[2]).reason == "2 sweeps run, as many as are allowed at a time"
    world.command(sweeps[0], Command.CANCEL)
    world.tick(3)
    assert (world.show(sweeps[2]).state, world.show(sweeps[2]).reason) == ("starting", None)


def test_queued_sweep_names_an_unavailable_ray(world: World) -> None:
    sweep_id = world.submit()
    world.ray.is_unavailable = True
    world.tick()
    sweep = world.show(sweep_id)
    assert (sweep.state, sweep.attempt) == ("queued", 0)
    assert sweep.reason == "Ray does not answer at SASAM_RAY_ADDRESS"


def test_ray_that_hangs_keeps_a_pass_waiting_once(
    world: World, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps = [world.submit() for _ in range(3)]
    ray = RayJobs(world.settings.model_copy(update={"ray_address": nowhere}))
    requests = []
    nodes = ray.nodes
    monkeypatch.setattr(ray, "nodes", lambda: requests.append(None) or nodes())
    Reconciler(world.database, ray, world.results, world.settings, world.lease).tick()
    assert len(requests) == 1
    for sweep_id in sweeps:
        assert world.show(sweep_id).reason == "Ray does not answer at SASAM_RAY_ADDRESS"


def test_changes_are_appended_as_events(world: World) -> None:
    sweep_id = world.submit()
    driver = world.run(sweep_id)
    driver.start()
    first, second = driver.specification.trials
    driver.start_trial(first)
    world.tick()
    driver.client.log_metric(driver.runs[first.key], "epoch", 4, step=0)
    driver.end_trial(second, Outcome.DIVERGED, epoch=2)
    world.tick(2)
    world.ray.is_unavailable = True
    world.tick(2)
    world.ray.is_unavailable = False
    driver.end_trial(first, Outcome.FAILED, epoch=5)
    world.ray.move(world.job(sweep_id), "SUCCEEDED")
    world.tick(2)
    found = [
        (kind, data.get("state") or data.get("reason") or data.get("status") or data.get("epochs"))
        for kind, data in world.events(sweep_id)
    ]
    unavailable = "Ray does not answer at SASAM_RAY_ADDRESS"
    assert found == [
        ("state", "queued"),
        ("state", "starting"),
        ("state", "running"),
        ("trial", "running"),
        ("trial", "diverged"),
        ("progress", {first.key: 4}),
        ("reason", unavailable),
        ("trial", "failed"),
        ("state", "completed"),
    ]
    trial = world.events(sweep_id)[7][1]
    assert (trial["key"], trial["position"], trial["epoch"]) == (first.key, 0, 5)
    assert trial["error"] == "MemoryError: no memory"


def test_service_that_does_not_lead_takes_no_step(world: World) -> None:
    sweep_id = world.submit()
    world.run(sweep_id)
    queued = world.submit()
    with world.database.transaction() as session:
        session.execute(update(LeaseRow).values(expires_at=0.0))
    other = Lease(world.database, seconds=600, holder="other")
    assert other.acquire()
    world.ray.move(world.job(sweep_id), "FAILED")
    with pytest.raises(LeaseLostError):
        world.tick()
    assert world.show(sweep_id).state == "running"
    assert world.show(queued).state == "queued"
    ray = RayJobs(world.settings)
    leading = Reconciler(world.database, ray, world.results, world.settings, other)
    leading.tick()
    assert (world.show(sweep_id).state, world.show(queued).state) == ("queued", "starting")


def test_service_that_lost_its_lease_before_a_submission_submits_nothing(world: World) -> None:
    sweep_id = world.submit()
    world.tick()
    assert world.show(sweep_id).state == "starting"
    with world.database.transaction() as session:
        session.execute(update(LeaseRow).values(expires_at=0.0))
    with pytest.raises(LeaseLostError):
        world.tick()
    assert world.ray.submissions == []


def test_loop_survives_an_unavailable_database(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    sweep_id = world.submit()
    with world.database.transaction() as session:
        session.execute(text("alter table sweeps rename to renamed"))
    with pytest.raises(OperationalError):
        world.tick()
    quick = world.reconcile_with(reconcile_seconds=0.01)
    with caplog.at_level(logging.WARNING):
        quick.start()
        while "the database does not answer" not in caplog.text:
            pass
    with world.database.transaction() as session:
        session.execute(text("alter table renamed rename to sweeps"))
    while world.show(sweep_id).state != "starting":
        pass
    quick.stop()
