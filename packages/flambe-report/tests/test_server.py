"""The pages over a real server on loopback: who gets in, what comes out, what never does."""

from __future__ import annotations

import io
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from run_builder import SST_STAGES, RunBuilder, sst_run
from site_process import TOKEN, Site, serving

from flambe.spec.nodes import LINK, NEW, Stage

EVIL = "<script>alert(1)</script>\"'&"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    sst_run(folder)
    sst_run(folder, index=1, until=0.6)
    return folder


@pytest.fixture(scope="module")
def site(home: Path) -> Iterator[Site]:
    with serving(home, "--port", "0") as running:
        yield running


def keys(site: Site) -> dict[int, str]:
    return {row["index"]: row["key"] for row in site.get("/runs.json").json["rows"]}


def page(site: Site, index: int = 0) -> str:
    return f"/run/{keys(site)[index]}/"


# ---- who gets in


def test_nothing_but_style_comes_without_the_token(site: Site) -> None:
    run = page(site)
    for path in ("/", "/runs.json", run, *(run + name for name in
                 ("state.json", "units.json", "curves.json", "log.json", "config.json", "files.tar")), "/plotly.js"):  # fmt: skip
        for token in (None, "", "wrong", TOKEN + "x", "é"):
            answer = site.get(path, token=token) if token != "é" else site.get(path + "?token=%C3%A9", token=None)
            assert answer.status == 403, path
            assert "sst" not in answer.text
    assert site.get("/static/report.css", token=None).status == 200


def test_the_token_of_the_url_becomes_a_cookie_and_leaves_the_address(site: Site) -> None:
    answer = site.get(f"/runs.json?a=1&token={TOKEN}", token=None)
    assert answer.status == 302
    assert answer.headers["Location"] == "/runs.json?a=1"
    cookie = answer.headers["Set-Cookie"]
    assert f"flambe_report_{site.port}=" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    pair = cookie.partition(";")[0]
    assert site.get("/runs.json", token=None, headers={"Cookie": pair}).status == 200
    assert site.get("/runs.json", token=None, headers={"Cookie": pair[:-1]}).status == 403


def test_the_way_to_the_page_never_leads_to_another_host(site: Site) -> None:
    answer = site.get(f"//elsewhere.example/?token={TOKEN}", token=None)
    assert re.match(r"/[^/]", answer.headers.get("Location", "/x")), answer.headers["Location"]


def test_the_printed_address_carries_a_random_token(home: Path) -> None:
    with serving(home, "--port", "0", token=None) as one, serving(home, "--port", "0", token=None) as other:
        tokens = {running.url.partition("?token=")[2] for running in (one, other)}
        assert len(tokens) == 2
        assert all(len(token) >= 32 for token in tokens)
        assert one.get("/runs.json", token=one.url.partition("?token=")[2]).status == 200


def test_without_a_token_only_loopback_names_are_answered(home: Path) -> None:
    with serving(home, "--no-token", "--port", "0", token=None) as running:
        assert "token" not in running.url
        for host in ("127.0.0.1", "localhost", f"localhost:{running.port}", "[::1]:80"):
            assert running.get("/", token=None, headers={"Host": host}).status == 200
        for host in ("evil.example", f"evil.example:{running.port}", "127.0.0.1.evil.example"):
            assert running.get("/runs.json", token=None, headers={"Host": host}).status == 403


def test_it_listens_on_loopback_only(site: Site) -> None:
    mine = {item[4][0] for item in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in mine - {"127.0.0.1", "127.0.1.1"}:
        with pytest.raises(OSError):
            socket.create_connection((address, site.port), timeout=5).close()
    assert site.url.startswith("http://127.0.0.1:")


# ---- what never comes out


def test_every_answer_is_sealed(site: Site) -> None:
    for path in ("/", "/runs.json", page(site), "/nowhere", "/static/run.js"):
        headers = site.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY"


def test_pages_ask_for_nothing_from_elsewhere(site: Site) -> None:
    for path in ("/", page(site)):
        text = site.get(path).text
        places = re.findall(r'(?:src|href|action)="([^"]*)"', text)
        assert places
        assert all(place.startswith(("/", "#")) and not place.startswith("//") for place in places)
        assert not re.search(r"<script(?![^>]*\bsrc=)", text)
        assert not re.search(r"\son\w+=|\sstyle=", text)
    for name in ("run.js", "runs.js", "chart.js", "lines.js", "table.js", "element.js", "theme.js", "report.css"):
        text = site.get(f"/static/{name}").text
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "innerHTML" not in text


def test_names_are_escaped(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path, [Stage(name=EVIL, body={NEW: "m:A"})], name="evil")
    run.record.name = EVIL
    run.record.status_reason = EVIL
    run.record.id = "../" + EVIL
    run.save()
    run.event("plan", unit=f"{EVIL}/0", stage=EVIL, variant="0", params={EVIL: EVIL}, key="k", needs={})
    run.paths.ledger.open("a").write(EVIL + "\n")
    with serving(tmp_path, "--port", "0") as running:
        [key] = keys(running).values()
        assert re.fullmatch("[0-9a-f]{24}", key)
        for path in ("/", f"/run/{key}/", "/nowhere/<script>alert(1)</script>"):
            text = running.get(path).text
            assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in running.get(f"/run/{key}/").text
        data = running.get(f"/run/{key}/state.json")
        assert data.headers["Content-Type"] == "application/json"
        assert data.json["stages"][0]["name"] == EVIL


@pytest.mark.parametrize(
    "path",
    [
        "/run/../../etc/passwd", "/run/..%2f..%2fetc%2fpasswd/", "/static/../server.py", "/static/..%2fserver.py",
        "/static/%2e%2e/server.py", "/static//etc/passwd", "{run}../../../etc/passwd", "{run}..%2f..%2frun.json",
        "{run}log.json?unit=../../..", "{run}log.json?unit=train/../../..", "{run}log.json?unit=/etc/passwd",
        "{run}files.tar?unit=..", "{run}files.tar?unit=train/..", "{run}files.tar?stage=..", "{run}files.tar?stage=/etc",
        "{run}log.json?unit=train%00", "/plotly.js/../x", "/templates/run.html", "/run/01ARZ3NDEKTSV4RRFFQ69G5FAV/",
    ],
)  # fmt: skip
def test_no_path_leads_out(site: Site, path: str) -> None:
    answer = site.get(path.format(run=page(site)))
    assert answer.status in (400, 404)
    assert b"root:" not in answer.body
    assert b"import" not in answer.body


def test_links_of_a_foreign_run_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "outputs.log").write_text("a secret")
    (secret / "run.json").write_text("{}")
    run = sst_run(tmp_path / "output", until=0.3)
    run.paths.outputs.unlink()
    run.paths.outputs.symlink_to(secret / "outputs.log")
    (run.path / "raw_config.yml").symlink_to(secret / "outputs.log")
    variant = run.plan("train", {"x": 1})
    run.folder(variant).symlink_to(secret)
    with serving(tmp_path / "output", "--port", "0") as running:
        for name in ("log.json", f"log.json?unit={quote(variant)}", f"files.tar?unit={quote(variant)}", "config.json"):
            answer = running.get(page(running) + name)
            assert answer.status == 404
            assert b"secret" not in answer.body.replace(b"the run has no", b"").replace(str(secret).encode(), b"")
        archive = running.get(page(running) + "files.tar").body
        assert b"a secret" not in archive


def test_only_reading_is_possible(site: Site) -> None:
    import http.client

    for method in ("POST", "PUT", "DELETE"):
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
        connection.request(method, "/", headers={"Authorization": f"Bearer {TOKEN}"})
        assert connection.getresponse().status == 405
        connection.close()


# ---- what comes out


def test_the_list_has_the_newest_first(site: Site) -> None:
    rows = site.get("/runs.json").json["rows"]
    assert [(row["index"], row["status"]) for row in rows][1:] == [(0, "COMPLETE")]
    assert rows[1]["metric"] == 0.8083
    text = site.get("/").text
    assert "exp.0" in text
    assert "0.8083" in text


def test_the_state_is_what_the_document_promises(site: Site) -> None:
    state = site.get(page(site) + "state.json").json
    assert state["flambe_report"] == "1.0"
    assert state["finished"] is True
    counts = state["counts"]
    assert counts["expected"] == sum(counts[name] for name in ("done", "failed", "pruned", "running", "pending"))
    stages = {stage["name"]: stage for stage in state["stages"]}
    assert list(stages) == ["dataset", "model", "train", "evaluate", "export"]
    assert {name: stage["state"] for name, stage in stages.items()} == {
        "dataset": "success", "model": "success", "train": "failed", "evaluate": "success", "export": "success"
    }  # fmt: skip
    assert stages["train"]["needs"] == ["dataset", "model"]
    assert stages["train"]["best"] == "n_layers=2,dropout=0.3,lr=0.001"
    assert stages["train"]["counts"]["failed"] == 1


def test_the_state_follows_the_ledger(tmp_path: Path) -> None:
    run = RunBuilder(
        tmp_path, [Stage(name="a", body={NEW: "m:A"}), Stage(name="b", body={NEW: "m:B", "a": {LINK: ["a"]}})]
    )
    with serving(run.path, "--port", "0") as running:

        def now() -> tuple[str, list[str], str]:
            state = running.get(page(running) + "state.json").json
            return state["status"], [stage["state"] for stage in state["stages"]], state["version"]

        # The builder's process is the one of the tests, so the run is alive.
        states = [now()]
        one, two = run.plan("a"), run.plan("b", {"n": 1})
        states.append(now())
        run.start(one)
        states.append(now())
        run.commit(one)
        run.start(two)
        states.append(now())
        run.step(two, 0.5)
        states.append(now())
        run.fail(two, "ValueError: no")
        run.close("FAILED")
        states.append(now())
        assert [state[1] for state in states] == [
            ["pending", "pending"], ["pending", "pending"], ["running", "pending"], ["success", "running"],
            ["success", "running"], ["success", "failed"],
        ]  # fmt: skip
        assert [state[0] for state in states] == ["RUNNING"] * 5 + ["FAILED"]
        assert len({state[2] for state in states}) == 6


def test_pruned_and_lost_stages_have_their_states(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path, [Stage(name="a", body={NEW: "m:A"}), Stage(name="b", body={NEW: "m:B"})])
    one, two = run.plan("a"), run.plan("b")
    run.prune(one, "what it needs failed")
    run.start(two)
    run.lose()
    with serving(tmp_path, "--port", "0") as running:
        state = running.get(page(running) + "state.json").json
        assert state["status"] == "LOST"
        assert state["finished"] is True
        assert [stage["state"] for stage in state["stages"]] == ["pruned", "failed"]


def test_variants_can_be_filtered_and_faults_have_their_place(site: Site) -> None:
    run = page(site)
    table = site.get(run + "units.json?stage=train").json
    assert len(table["rows"]) == 8
    assert table["params"] == ["params.model.encoder.n_layers", "params.model.dropout", "params.train.optimizer.lr"]
    where = quote("params.model.dropout > 0.2 and status == 'COMPLETE'")
    assert len(site.get(run + f"units.json?stage=train&where={where}").json["rows"]) == 3
    answer = site.get(run + "units.json?where=" + quote("metrc > 1"))
    assert answer.status == 400
    assert answer.json["error"] == "filter:1:1: unknown column 'metrc'. Did you mean 'metric'?"


def test_curves_have_a_line_for_each_variant(site: Site) -> None:
    data = site.get(page(site) + "curves.json?stage=train").json
    assert data["metric"] == "Validation/Accuracy"
    assert data["metrics"] == ["Training/Loss", "Validation/Loss", "Validation/Accuracy"]
    assert len(data["series"]) == 8
    best = next(one for one in data["series"] if one["best"])
    assert [point[0] for point in best["points"]] == [100 * step for step in range(1, 21)]
    loss = site.get(page(site) + "curves.json?stage=train&metric=Training/Loss").json
    assert loss["metric"] == "Training/Loss"


def test_values_that_are_no_number_leave_a_gap_and_long_lines_are_thinned(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path, [])
    unit = run.plan("train")
    run.start(unit)
    run.step(unit, None, [{"step": n, "loss": float("nan") if n == 3 else n / 2, "note": "text"} for n in range(9001)])
    with serving(tmp_path, "--port", "0") as running:
        data = running.get(page(running) + "curves.json").json
        assert data["metrics"] == ["loss"]
        [line] = data["series"]
        assert len(line["points"]) <= 2001
        assert line["points"][-1][:2] == [9000, 4500.0]
        (run.folder(unit) / "metrics" / "train.jsonl").write_text('{"step":1,"loss":"NaN"}\n{"step":2,"loss":1}\n{"st')
        data = running.get(page(running) + "curves.json").json
        assert [point[:2] for point in data["series"][0]["points"]] == [[1, None], [2, 1.0]]


def test_a_log_is_followed_in_pieces(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path, [])
    log = run.paths.outputs
    log.write_bytes("one\nzwei é".encode()[:-1])
    with serving(tmp_path, "--port", "0") as running:
        place = page(running) + "log.json?from="
        first = running.get(place + "-1").json
        assert first["text"] == "one\nzwei "
        log.write_bytes("one\nzwei é!\n".encode())
        second = running.get(place + str(first["to"])).json
        assert second == {"from": first["to"], "to": 13, "text": "é!\n"}
        log.write_text("new\n")  # a resume cuts logs back
        assert running.get(place + "13").json == {"from": 0, "to": 4, "text": "new\n"}
        log.write_bytes(b"x" * 99 + b"\n" + b"y" * 99 + b"\n" + b"z" * 300_000)
        assert len(running.get(place + "-1").json["text"]) <= 131_072
        log.unlink()
        assert running.get(place + "0").json == {"from": 0, "to": 0, "text": ""}


def test_the_configuration_of_a_stage_is_readable(site: Site, home: Path) -> None:
    (home / "sst" / "exp.0" / "config.yml").write_text("name: sst\n")
    files = site.get(page(site) + "config.json?stage=train").json["files"]
    assert [file["name"] for file in files] == ["train in spec.json", "config.yml", "spec.json"]
    assert "$new: flambe.learn:Trainer" in files[0]["text"]
    assert files[1]["text"] == "name: sst\n"


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def test_files_come_as_tar(site: Site, home: Path) -> None:
    unit = "train/n_layers=2,dropout=0.3,lr=0.001"
    answer = site.get(page(site) + "files.tar?unit=" + quote(unit))
    name = "sst-exp.0-train-n_layers=2,dropout=0.3,lr=0.001"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.tar"'
    files = members(answer.body)
    assert {name.partition("/")[2] for name in files} == {
        "run.json", "outputs.log", "metrics/train.jsonl", "checkpoint/state.safetensors"
    }  # fmt: skip
    folder = home / "sst" / "exp.0" / "stages" / unit
    assert all(data == (folder / path.partition("/")[2]).read_bytes() for path, data in files.items())
    logs = members(site.get(page(site) + "files.tar?logs&unit=" + quote(unit)).body)
    assert not any(path.endswith(".safetensors") for path in logs)
    whole = members(site.get(page(site) + "files.tar?logs").body)
    assert "sst-exp.0/ledger.jsonl" in whole
    stage = members(site.get(page(site) + "files.tar?stage=model").body)
    assert len([path for path in stage if path.endswith("run.json")]) == 4


def test_the_script_of_plotly_is_the_installed_one(site: Site) -> None:
    import gzip

    import plotly

    script = (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes()
    assert site.get("/plotly.js").body == script
    packed = site.get("/plotly.js", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.body) == script
    assert len(packed.body) < len(script) / 2


# ---- the server


def test_a_lone_run_is_shown_at_once_and_a_copy_has_its_own_page(tmp_path: Path) -> None:
    run = sst_run(tmp_path / "a")
    with serving(run.path, "--port", "0") as running:
        assert running.get("/").headers["Location"] == f"/run/{run.record.id}/"
    shutil.copytree(tmp_path / "a", tmp_path / "b", symlinks=True)
    with serving(tmp_path, "--port", "0") as running:
        rows = running.get("/runs.json").json["rows"]
        assert len({row["key"] for row in rows}) == 2
        assert {running.get(f"/run/{row['key']}/state.json").json["path"] for row in rows} == {
            row["run"] for row in rows
        }


def test_runs_that_appear_or_go_are_noticed(tmp_path: Path) -> None:
    import time

    with serving(tmp_path, "--port", "0") as running:
        assert "No runs here yet" in running.get("/").text
        run = sst_run(tmp_path)
        end = time.monotonic() + 20
        while not (found := keys(running)) and time.monotonic() < end:
            time.sleep(0.1)
        assert list(found.values()) == [run.record.id]
        shutil.rmtree(run.path)
        assert running.get(f"/run/{run.record.id}/state.json").status == 404


def test_a_taken_port_moves_the_default_and_refuses_an_explicit_one(home: Path) -> None:
    with serving(home, token=None) as one, serving(home, token=None) as other:
        assert 49558 <= one.port < other.port
        command = [sys.executable, "-m", "flambe.report.cli", "serve", str(home), "--port", str(one.port)]
        done = subprocess.run(command, text=True, capture_output=True, timeout=60)
        assert done.returncode == 4
        assert f"cannot listen on 127.0.0.1:{one.port}: Address already in use" in done.stderr
        other.process.send_signal(signal.SIGINT)
        _, said = other.process.communicate(timeout=30)
        assert f"port 49558 is taken, {other.port} is used" in said
        assert f"http://127.0.0.1:{other.port}/?token=" in said
        assert "Traceback" not in said


def test_requests_are_logged_without_the_token(home: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "flambe.report.cli",
        "-v",
        "serve",
        str(home),
        "--port",
        "0",
        "--token",
        "Geheim123",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    import json

    assert process.stdout is not None
    running = Site(process, json.loads(process.stdout.readline())["url"])
    running.get("/runs.json?token=Geheim123", token=None)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert "127.0.0.1 GET /runs.json 302" in said
    assert said.count("Geheim123") == 1  # the address to open


def test_the_site_alias_serves_the_run_of_a_file(home: Path) -> None:
    with serving(
        home / "sst" / "exp.0" / "run.json", "--port", "0", "--tensorboard_url", "http://127.0.0.1:6006",
        module="flambe.report.site", token=None,
    ) as running:  # fmt: skip
        token = running.url.partition("?token=")[2]
        place = running.get("/", token=token).headers["Location"]
        assert 'href="http://127.0.0.1:6006"' in running.get(place, token=token).text


def test_a_stage_that_an_ended_run_never_planned_says_why(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path, SST_STAGES)
    with serving(run.path, "--port", "0") as running:

        def stages() -> dict[str, tuple[str, str | None]]:
            found = running.get(page(running) + "state.json").json["stages"]
            return {stage["name"]: (stage["state"], stage.get("why")) for stage in found}

        assert set(stages().values()) == {("pending", None)}
        dataset = run.plan("dataset")
        run.start(dataset)
        run.fail(dataset, "ValueError: no")
        model = run.plan("model", {"n": 1}, {"dataset": dataset})
        run.prune(model, "dataset/0 failed")
        assert stages()["train"] == ("pending", None)
        run.close("FAILED")
        assert stages() == {
            "dataset": ("failed", None),
            "model": ("pruned", None),
            "train": ("pruned", "dataset failed"),
            "evaluate": ("pruned", "dataset failed"),
            "export": ("pruned", "dataset failed"),
        }
    stopped = RunBuilder(tmp_path, SST_STAGES[:1], index=1)
    stopped.close("CANCELLED")
    with serving(stopped.path, "--port", "0") as running:
        assert running.get(page(running, 1) + "state.json").json["stages"][0]["why"] == "the run was stopped"
