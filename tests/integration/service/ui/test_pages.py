"""Pages as HTML, without a browser."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import pytest

from service.catalog.presets import preset_names, preset_text
from service.states import SweepState
from service.sweeps.service import require_sweep
from service.sweeps.stored_specifications import specification_text
from service.ui import sweep_page
from workers.spec import load_spec

HOSTILE = "<script>alert('x')</script>"


def _pages(site: Any) -> list[str]:
    sweep_id, specification = site.complete("every-page")
    sweep = f"/sweeps/{sweep_id}"
    trial = f"{sweep}/trials/{specification.trials[0].key}"
    parts = [f"{sweep}/{part}" for part in ("status", "running", "results", "history", "events")]
    lists = ["/", "/compare", f"/compare?sweeps={sweep_id}", f"{sweep}/trials"]
    return [*lists, "/new", f"/new?clone={sweep_id}", sweep, *parts, trial, f"{trial}/log"]


def test_pages_hold_nothing_their_own_policy_forbids(site: Any, http: httpx.Client) -> None:
    for page in [*_pages(site), "/sweeps/nope"]:
        answer = http.get(page)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["content-type"].startswith("text/html")
        inline = r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:"
        assert not re.findall(inline, answer.text), page
        foreign = re.findall(r"(?:src|action|hx-\w+)=[\"'](?:https?:)?//[^\"']*", answer.text)
        assert not foreign, page


@pytest.mark.parametrize(
    "path",
    [
        "/sweeps/nope",
        "/sweeps/nope/status",
        "/sweeps/nope/log",
        "/sweeps/nope/trials",
        "/sweeps/nope/trials/x",
    ],
)
def test_unknown_sweep_answers_a_page_that_says_so(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 404
    assert "No sweep &#39;nope&#39;" in answer.text
    assert 'href="/"' in answer.text


def test_unknown_trial_preset_and_command_are_errors_for_people(
    site: Any, http: httpx.Client
) -> None:
    sweep_id, _ = site.submit("lonely")
    assert http.get(f"/sweeps/{sweep_id}/trials/abc").status_code == 404
    assert http.get("/new?preset=nope").status_code == 404
    assert http.post(f"/sweeps/{sweep_id}/explode").status_code == 422


def test_list_filters_by_state_and_searches_names(site: Any, http: httpx.Client) -> None:
    done, _ = site.complete("needle-done")
    waiting, _ = site.submit("needle-waiting")

    def found(**query: str) -> set[str]:
        return set(re.findall(r'id="sweep-(\w+)"', http.get("/", params=query).text))

    assert found(q="NEEDLE") == {done, waiting}
    assert found(q="needle", state="completed") == {done}
    assert found(q=waiting[:8]) == {waiting}
    assert found(q="100%") == set()
    assert "No sweep matches" in http.get("/", params={"q": "100%"}).text


def test_list_shows_the_best_configuration_of_each_optimizer(site: Any, http: httpx.Client) -> None:
    sweep_id, specification = site.submit("best-of")
    site.run(sweep_id)
    for trial in specification.trials:
        best = trial.optimizer_label == "msgd" and trial.learning_rate == 0.1
        site.end_trial(sweep_id, trial, 0.75 + 0.05 * trial.seed if best else 0.5)
    text = http.get("/", params={"q": "best-of"}).text
    # Both weight decays have seeds at 75 and 80 percent.
    assert re.findall(r"<span>(\S+)&nbsp;<b>([\d.]+)</b>", text) == [
        ("MSGD", "77.5"),
        ("SA-SAM", "50.0"),
    ]


def test_check_shows_problems_at_their_paths(http: httpx.Client) -> None:
    text = preset_text("digits").replace("1e-2", "-1").replace("epochs", "epoch")
    answer = http.post("/new/check", data={"specification": text})
    assert answer.status_code == 200
    paths = re.findall(r'class="path">([^<]+)<', answer.text)
    assert paths == ["search.learning_rate[2]", "training.epoch"]


def test_check_of_a_good_specification_is_a_dry_run(http: httpx.Client) -> None:
    answer = http.post("/new/check", data={"specification": preset_text("digits")})
    assert "<dd>80</dd>" in answer.text
    assert "Gradient evaluations" in answer.text


def test_submitting_a_bad_specification_keeps_what_was_typed(http: httpx.Client) -> None:
    text = f"name: {HOSTILE}\n# a remark to keep"
    answer = http.post("/new", data={"specification": text})
    assert answer.status_code == 422
    assert "# a remark to keep" in answer.text
    assert HOSTILE not in answer.text
    assert 'class="path">name<' in answer.text


def test_a_form_sent_twice_is_one_sweep_and_edited_another(http: httpx.Client) -> None:
    text = preset_text("digits")

    def send(specification: str) -> str:
        answer = http.post("/new", data={"form": "f00d", "specification": specification})
        assert answer.status_code == 303
        return answer.headers["location"]

    first = send(text)
    assert send(text) == first
    assert send(text.replace("epochs: 10", "epochs: 11")) != first


def test_too_large_a_form_is_refused(http: httpx.Client) -> None:
    answer = http.post("/new", data={"specification": "#" * 100_000})
    assert answer.status_code == 413
    assert "at most 65536 are allowed" in answer.text


def test_page_of_a_loss_scored_sweep_is_there_before_its_driver_has_started(
    http: httpx.Client,
) -> None:
    sent = http.post("/new", data={"specification": preset_text("tiny-lm")})
    assert sent.status_code == 303
    page = http.get(sent.headers["location"])
    assert page.status_code == 200
    assert "0 of 30 trials" in page.text
    api = f"/api/v1{sent.headers['location']}/summary"
    assert http.get(api).status_code == 409


@pytest.mark.parametrize("name", preset_names())
def test_clone_of_a_preset_is_the_same_specification(name: str) -> None:
    specification = load_spec(preset_text(name))
    text = specification_text(specification.model_dump(mode="json"))
    assert load_spec(text) == specification


def test_clone_keeps_variants_tags_and_limits() -> None:
    specification = load_spec(
        "name: variants\ndataset: digits\nmodel: cnn-tiny\nood: null\n"
        "optimizers: [{name: sam, rho: 0.1, label: small}, sam]\nseeds: [3, 1]\n"
        "curvature: null\ntags: {owner: 'a: b # c', yes: 'no'}\npriority: -3\n"
    )
    text = specification_text(specification.model_dump(mode="json"))
    assert load_spec(text) == specification


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"sec-fetch-site": "same-origin", "origin": "https://behind-a-proxy"}, 303),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "{url}"}, 303),
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_commands_from_other_sites_are_refused(
    site: Any, http: httpx.Client, headers: dict[str, str], status: int
) -> None:
    sweep_id, _ = site.submit("guarded")
    sent = {name: value.format(url=site.url) for name, value in headers.items()}
    answer = http.post(f"/sweeps/{sweep_id}/cancel", headers=sent)
    assert answer.status_code == status
    state = http.get(f"/api/v1/sweeps/{sweep_id}").json()["state"]
    assert state == ("cancelling" if status == 303 else "queued")


def test_submitting_from_another_site_is_refused(http: httpx.Client) -> None:
    form = {"specification": preset_text("digits")}
    for path in ("/new", "/new/check"):
        answer = http.post(path, data=form, headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code == 403


def test_page_offers_the_commands_of_the_state_and_refuses_others(
    site: Any, http: httpx.Client
) -> None:
    sweep_id, _ = site.complete("ended")
    here = f"/sweeps/{sweep_id}"
    text = http.get(here).text
    assert f'action="{here}/delete"' in text
    assert f'action="{here}/pause"' not in text
    assert f'action="{here}/retry-failed"' not in text  # nothing failed
    refusal = http.post(f"{here}/pause")
    assert refusal.status_code == 409
    assert "A completed sweep cannot be paused" in refusal.text
    assert http.post(f"{here}/delete").headers["location"] == "/"
    assert http.get(here).status_code == 404


def test_user_text_is_escaped_everywhere(site: Any, http: httpx.Client) -> None:
    sweep_id, specification = site.submit("hostile", tags={"note": HOSTILE})
    trial = specification.trials[0]
    site.end_trial(sweep_id, trial, 0.5, outcome="failed", error=HOSTILE)
    with site.database.transaction() as session:
        require_sweep(session, sweep_id).reason = HOSTILE
    escaped = HOSTILE.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;")
    sweep = f"/sweeps/{sweep_id}"
    for page in (sweep, f"{sweep}/trials", f"{sweep}/trials/{trial.key}", "/?q=hostile"):
        text = http.get(page).text
        assert HOSTILE not in text
        assert escaped in text, page


def test_heatmap_says_in_words_what_its_colours_say(site: Any, http: httpx.Client) -> None:
    sweep_id, specification = site.submit("words")
    site.run(sweep_id)
    first, *others = [t for t in specification.trials if t.optimizer_label == "sa-sam"]
    site.end_trial(sweep_id, first, 0.5)
    for trial in others:
        if (trial.learning_rate, trial.weight_decay) == (0.1, 0.0):
            site.end_trial(sweep_id, trial, None)
    site.start_trial(sweep_id, specification.trials[-1])
    text = http.get(f"/sweeps/{sweep_id}").text
    cells = re.findall(r'<td class="([^"]*)"><a [^>]*title="([^"]*)">([^<]*)<', text)
    assert len(cells) == 8
    words = {title: (style, label) for style, title, label in cells}
    place = "SA-SAM, learning rate 0.01, weight decay 0"
    assert words[f"{place}: Validation accuracy 50.0 1/2 seeds"][1] == "50.0"
    place = "SA-SAM, learning rate 0.1, weight decay 0"
    assert words[f"{place}: diverged"] == ("diverged", "div")
    assert any(title.endswith(", 1 running") for title in words)


def test_cell_links_to_its_own_trials(site: Any, http: httpx.Client) -> None:
    sweep_id, specification = site.complete("cells")
    page = http.get(f"/sweeps/{sweep_id}").text
    links = re.findall(r'<td class="v\d+"><a href="([^"]*)"', page)
    assert len(links) == 8
    trials: set[str] = set()
    for link in links:
        text = http.get(link.replace("&amp;", "&")).text
        keys = set(re.findall(rf'href="/sweeps/{sweep_id}/trials/(\w+)"', text))
        assert len(keys) == 2  # one per seed
        trials |= keys
    assert trials == {trial.key for trial in specification.trials}


def test_metric_of_the_heatmap_can_be_chosen(site: Any, http: httpx.Client) -> None:
    sweep_id, _ = site.complete("metrics")
    text = http.get(f"/sweeps/{sweep_id}?metric=hessian_trace&split=validation").text
    assert len(re.findall(r'<td class="c\d+"><a [^>]*>12.5', text)) == 8


def test_trials_filter_by_status_and_page(site: Any, http: httpx.Client) -> None:
    sweep_id, specification = site.submit("paged", seeds=tuple(range(30)))
    site.end_trial(sweep_id, specification.trials[7], 0.5)
    here = f"/sweeps/{sweep_id}/trials"

    def keys(**query: Any) -> list[str]:
        text = http.get(here, params=query).text
        return re.findall(rf'href="/sweeps/{sweep_id}/trials/(\w+)"', text)

    assert keys(status="completed") == [specification.trials[7].key]
    pages = [key for page in (1, 2, 3) for key in keys(page=page)]
    assert pages == [trial.key for trial in specification.trials]
    assert keys(page=4) == []
    assert keys(status="running") == []


def test_trials_show_and_filter_by_the_values_of_their_axes(site: Any, http: httpx.Client) -> None:
    optimizers = [{"name": "adam", "search": {"betas": [[0.9, 0.95], [0.9, 0.999]]}}, "msgd"]
    search = {"learning_rate": [0.1, 1], "weight_decay": None, "training.epochs": [2, 7]}
    sweep_id, specification = site.submit("axes", optimizers=optimizers, search=search)
    here = f"/sweeps/{sweep_id}"
    text = http.get(f"{here}/trials").text
    heads = re.findall(r'<th scope="col">(?:<a [^>]*>)?([^<]*)<', text)
    assert heads[1:6] == ["trial", "lr", "epochs", "betas", "seed"]
    assert '<option value="optimizer.betas=[0.9, 0.95]">[0.9, 0.95]</option>' in text
    chosen = [t for t in specification.trials if getattr(t.optimizer, "betas", 0) == (0.9, 0.95)]
    query = {"at": ["optimizer.betas=[0.9, 0.95]", "", "learning_rate=0.1"]}
    text = http.get(f"{here}/trials", params=query).text
    keys = re.findall(rf'href="{here}/trials/(\w+)"', text)
    assert keys == [trial.key for trial in chosen if trial.learning_rate == 0.1]
    assert '<option value="optimizer.betas=[0.9, 0.95]" selected>' in text
    by_rate = http.get(f"{here}/trials", params={"learning_rate": "0.1", "weight_decay": "0"}).text
    assert len(re.findall(rf'href="{here}/trials/\w+"', by_rate)) == len(specification.trials) // 2
    trial = chosen[-1]
    site.run(sweep_id)
    site.start_trial(sweep_id, trial, run_id="run")
    page = http.get(f"{here}/trials/{trial.key}").text
    assert "lr 1, epochs 7, betas [0.9, 0.95], seed" in page
    (link,) = re.findall(r'href="([^"]*)">All seeds of this configuration', page)
    same = http.get(unescape(link)).text
    same_axes = trial.values_of(["learning_rate", "training.epochs"]).items()
    expected = [
        t.key for t in chosen if same_axes <= t.values_of(specification.axes("adam")).items()
    ]
    assert re.findall(rf'href="{here}/trials/(\w+)"', same) == expected
    assert "1/7" in http.get(f"{here}/running").text


def test_trial_without_mlflow_shows_what_the_database_knows(site: Any, http: httpx.Client) -> None:
    sweep_id, specification = site.complete("no-mlflow")
    trial = specification.trials[0]
    site.end_trial(sweep_id, trial, 0.625, run_id="run")
    text = http.get(f"/sweeps/{sweep_id}/trials/{trial.key}").text
    assert "MLflow does not answer" in text
    assert "62.5 %" in text
    assert '<th scope="row">training.epochs</th><td>2</td>' in text
    assert re.search(r'scope="row">validation</th>\s*<td>12.5</td>\s*<td>0.5</td>', text)


def test_large_sweep_shows_its_results_when_they_are_there(
    site: Any, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_page, "_LARGE_SWEEP_TRIALS", 15)
    sweep_id, _ = site.complete("large")
    here = f"/sweeps/{sweep_id}"
    page = http.get(f"{here}?metric=ood_accuracy").text
    assert f'data-source="{here}/results?metric=ood_accuracy"' in page
    assert "Computing the results of 16 trials" in page
    assert "<table" not in page
    assert 'class="heatmap"' in http.get(f"{here}/results?metric=ood_accuracy").text
    assert 'class="heatmap"' in http.get(f"{here}?whole=true").text


def test_page_follows_events_until_the_sweep_has_ended(site: Any, http: httpx.Client) -> None:
    sweep_id, _ = site.submit("ending")
    stream = f'data-follow="/api/v1/sweeps/{sweep_id}/events" data-after="1"'
    assert stream in http.get(f"/sweeps/{sweep_id}").text
    assert stream in http.get(f"/sweeps/{sweep_id}/status").text
    site.move(sweep_id, SweepState.QUEUED, SweepState.CANCELLING, SweepState.CANCELLED)
    for page in (f"/sweeps/{sweep_id}", f"/sweeps/{sweep_id}/status"):
        assert "data-follow" not in http.get(page).text


def test_api_another_site_reads_but_cannot_command(site: Any, http: httpx.Client) -> None:
    foreign = {"sec-fetch-site": "cross-site"}
    text = preset_text("digits").replace("name: digits", "name: foreign")
    refused = http.post("/api/v1/sweeps", content=text, headers=foreign)
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert http.get("/api/v1/sweeps?name=foreign", headers=foreign).json()["sweeps"] == []
    assert http.post("/api/v1/sweeps", content=text).status_code == 201


def test_completed_sweep_with_failed_trials_says_so(site: Any, http: httpx.Client) -> None:
    sweep_id, specification = site.submit("partly-failed")
    site.run(sweep_id)
    for position, trial in enumerate(specification.trials):
        failed = {"outcome": "failed", "error": "no memory"} if position < 2 else {}
        site.end_trial(sweep_id, trial, 0.5, **failed)
    site.move(sweep_id, SweepState.RUNNING, SweepState.COMPLETED)
    chip = re.compile(r'<span class="chip ([^"]+)"><svg.*?</svg>([^<]+)</span>')
    for page in (f"/sweeps/{sweep_id}", f"/?q={sweep_id}", f"/compare?sweeps={sweep_id}"):
        assert chip.findall(http.get(page).text)[0] == ("partly-failed", "completed, 2 failed"), (
            page
        )


def test_failed_trial_without_an_accuracy_has_no_percent_sign(
    site: Any, http: httpx.Client
) -> None:
    sweep_id, specification = site.submit("no-accuracy")
    trial = specification.trials[0]
    site.end_trial(sweep_id, trial, None, outcome="failed", error="no memory")
    text = http.get(f"/sweeps/{sweep_id}/trials/{trial.key}").text
    assert "<dt>validation accuracy</dt><dd>–</dd>" in text


def test_trials_are_filtered_by_display_names_of_optimizers(site: Any, http: httpx.Client) -> None:
    sweep_id, _ = site.submit("display-names")
    text = http.get(f"/sweeps/{sweep_id}/trials", params={"optimizer": "sa-sam"}).text
    assert '<option value="sa-sam" selected>SA-SAM</option>' in text
    assert '<option value="msgd">MSGD</option>' in text


def test_sweep_of_one_trial_has_no_plural(site: Any, http: httpx.Client) -> None:
    search = {"type": "grid", "learning_rate": (0.1,), "weight_decay": (0.0,)}
    sweep_id, _ = site.complete("single", search=search, optimizers=("msgd",), seeds=(0,))
    for page in (f"/sweeps/{sweep_id}", f"/?q={sweep_id}", f"/compare?sweeps={sweep_id}"):
        text = http.get(page).text
        assert "1 of 1 trial" in text, page
        assert not re.search(r"\b1 trials", text), page


def test_trials_are_sorted_by_their_headers(site: Any, http: httpx.Client) -> None:
    sweep_id, _ = site.complete("sorted")

    def column(sort: str) -> list[float]:
        text = http.get(f"/sweeps/{sweep_id}/trials", params={"sort": sort}).text
        rows = re.findall(r"<tr><td><input .*?</tr>", text, re.DOTALL)
        return [float(re.findall(r"<td>([0-9.e-]+)</td>", row)[4]) for row in rows]

    best_first = column("-val_accuracy")
    assert best_first == sorted(best_first, reverse=True)
    assert column("val_accuracy") == best_first[::-1]
    text = http.get(f"/sweeps/{sweep_id}/trials?sort=-val_accuracy").text
    assert 'aria-sort="descending"' in text
    assert len(column("no such column")) == len(best_first) == 16


def test_sweep_is_renamed_tagged_and_archived_from_its_page(site: Any, http: httpx.Client) -> None:
    sweep_id, _ = site.complete("to-edit")
    fields = {"name": "edited", "tags": "a=1\r\n\r\nb = 2 = 3", "description": "One.\r\nTwo."}
    answer = http.post(f"/sweeps/{sweep_id}/annotate", data=fields)
    assert answer.status_code == 303, answer.text
    page = http.get(answer.headers["location"]).text
    assert "<h1>edited" in page
    assert "One.\nTwo." in page
    assert ">b: 2 = 3</a>" in page
    assert "to-edit" not in http.get("/", params={"tag": "a=1"}).text
    http.post(f"/sweeps/{sweep_id}/annotate", data={"archived": "true"})
    assert sweep_id not in http.get("/").text
    assert sweep_id in http.get("/", params={"archived": "only", "q": "edit"}).text
    for wrong in ({"tags": "no value"}, {"name": "a/b"}, {"tags": "sasam.x=1"}):
        refused = http.post(f"/sweeps/{sweep_id}/annotate", data=wrong)
        assert refused.status_code == 422, wrong
        assert next(iter(wrong)) in refused.text.lower()


def test_heatmap_of_many_columns_has_no_numbers_and_a_colour_range(
    site: Any, http: httpx.Client
) -> None:
    rates = [10 ** (-4 + step / 5) for step in range(20)]
    search = {"learning_rate": rates, "weight_decay": [0, 1e-4]}
    sweep_id, _ = site.complete("many", search=search, seeds=[0], optimizers=["msgd"])
    text = http.get(f"/sweeps/{sweep_id}?span=5").text
    assert 'class="heatmap dense"' in text
    assert "Colours begin at 85.0" in text
    assert re.search(r'colour-bar">85.0 % .*90.0 %', text, re.DOTALL)
    assert "figures/heatmap?metric=val_accuracy" in text
    whole = http.get(f"/sweeps/{sweep_id}?span=nonsense").text
    assert re.search(r'colour-bar">10.0 % .*90.0 %', whole, re.DOTALL)


def test_pruned_and_failed_cells_say_so(site: Any, http: httpx.Client) -> None:
    sweep_id, specification = site.submit("stopped", early_stopping={"type": "asha"})
    site.run(sweep_id)
    for trial in specification.trials:
        if trial.optimizer_label == "sa-sam" and trial.learning_rate < 0.05:
            site.end_trial(sweep_id, trial, 0.3, outcome="pruned", epoch=trial.seed + 1)
        elif trial.optimizer_label == "sa-sam" and trial.seed:
            site.end_trial(sweep_id, trial, 0.5, outcome="failed", metrics={})
        else:
            site.end_trial(sweep_id, trial, 0.9)
    text = http.get(f"/sweeps/{sweep_id}").text
    assert "pruned, epoch 1–2" in text
    assert "1/2 failed" in text


def test_pages_of_a_sweep_ranked_by_the_loss_show_losses(site: Any, http: httpx.Client) -> None:
    sweep_id, specification = site.submit("by-loss", score="loss")
    site.run(sweep_id)
    for position, trial in enumerate(specification.trials):
        loss = 9.0 if position == 0 else 0.5 + 0.02 * position
        metrics = {"val_loss": loss, "val_accuracy": 0.5, "ood_loss": 1.5, "ood_accuracy": 0.4}
        site.end_trial(sweep_id, trial, 0.5, metrics=metrics)
    site.move(sweep_id, SweepState.RUNNING, SweepState.COMPLETED)
    page = unescape(http.get(f"/sweeps/{sweep_id}?span=0.3").text)
    assert "nats OOD loss at its selected configuration" in page
    assert "Losses and costs in nats, the lower the better" in page
    assert '<option value="0.3" selected>best 0.3 nats</option>' in page
    assert re.search(r'colour-bar">0\.\d{3} nats .*0\.\d{3} nats', page, re.DOTALL)
    assert "best 20 points" not in page
    whole = unescape(http.get(f"/sweeps/{sweep_id}?span=20").text)
    assert 'colour-bar">2.303 nats' in whole  # from ln(10)
    listed = unescape(http.get(f"/sweeps/{sweep_id}/trials?sort=val_loss").text)
    assert "2.303‡" in listed
    assert "‡ with a loss above chance or diverged: counts as chance" in listed
    assert re.search(r'aria-sort="ascending"><a href="[^"]*">val loss', listed)
    assert f'href="/sweeps/{sweep_id}/trials?sort=ood_loss"' in listed  # the best first
    trial = unescape(http.get(f"/sweeps/{sweep_id}/trials/{specification.trials[0].key}").text)
    assert "9.000 nats <small>(counts as 2.303 nats, chance)</small>" in trial
    scores = http.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["trials"][0]["scores"]
    assert scores == pytest.approx({"val_loss": 2.302585, "ood_loss": 1.5}, abs=1e-6)
    assert "SA-SAM\N{NO-BREAK SPACE}<b>0.620</b>" in unescape(http.get("/?q=by-loss").text)


def test_optimizer_whose_trials_all_failed_says_so_instead_of_empty_cells(
    site: Any, http: httpx.Client
) -> None:
    sweep_id, specification = site.submit("half-failed")
    site.run(sweep_id)
    reason = "all 8 trials failed</p></div>"
    for trial in specification.trials:
        assert reason not in http.get(f"/sweeps/{sweep_id}").text
        failed = {"outcome": "failed", "metrics": {}} if trial.optimizer_label == "msgd" else {}
        site.end_trial(sweep_id, trial, 0.9, **failed)
    assert reason in http.get(f"/sweeps/{sweep_id}").text


def test_poll_of_the_list_leaves_the_filters_out(http: httpx.Client, site: Any) -> None:
    site.submit("polled")
    whole, polled = http.get("/").text, http.get("/", headers={"HX-Request": "true"}).text
    assert 'name="q"' in whole
    assert 'name="q"' not in polled
    assert "polled" in polled
    restored = {"HX-Request": "true", "HX-History-Restore-Request": "true"}
    assert 'name="q"' in http.get("/", headers=restored).text
