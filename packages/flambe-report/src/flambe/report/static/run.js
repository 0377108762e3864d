// The page of one run: asks for its state again and again, and shows the chosen stage.
"use strict";
const base = location.pathname;
const at = (id) => document.getElementById(id);
const stagesDrawn = [...document.querySelectorAll("g.stage")];
const svg = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};
let state = null;
let seen = {};
const chosen = { stage: null, tab: "variants", unit: "" };
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

async function ask(name, query = {}) {
  const answer = await fetch(base + name + "?" + new URLSearchParams(query));
  const data = await answer.json().catch(() => ({ error: answer.statusText }));
  if (!answer.ok) throw Object.assign(new Error(data.error), { said: answer.status === 400 });
  return data;
}

// ---- the header and the graph

function banner() {
  const failed = state.counts.failed ? `, ${state.counts.failed} failed` : "";
  return {
    CREATED: "prepared", QUEUED: "waiting for its turn", RUNNING: "in progress" + failed,
    COMPLETE: failed ? "ended" + failed : "ended successfully", FAILED: "ended" + (failed || " with an error"), CANCELLED: "was stopped",
    LOST: "was cut off: its process is gone. The same command continues it",
  }[state.status] || state.status.toLowerCase();
}

function bits(counts, width, height) {
  const total = Math.max(1, counts.expected || 0);
  let x = 0;
  const parts = [svg("rect", { class: "bit track", width, height, rx: height / 2 })];
  for (const name of ["done", "failed", "pruned", "running"]) {
    const long = width * (counts[name] || 0) / total;
    if (long) parts.push(svg("rect", { class: "bit " + name, x, width: Math.max(long - (long > 6 ? 1 : 0), 1), height, rx: Math.min(height / 2, long / 2) }));
    x += long;
  }
  return parts;
}

const cut = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

function drawState() {
  document.title = `${state.status === "RUNNING" ? "● " : ""}${state.name} exp.${state.index} · flambe`;
  at("status").className = "pill large " + state.status;
  at("status").textContent = state.status;
  at("banner").textContent = `${state.name} ${banner()}`;
  const facts = [
    state.seconds != null && duration(state.seconds), state.started && "started " + new Date(state.started).toLocaleString(),
    state.host && "on " + state.host, state.tool.name && [state.tool.name, state.tool.version].filter(Boolean).join(" "),
    state.result_digest && "result " + state.result_digest.slice(0, 12), state.path,
  ];
  at("facts").textContent = facts.filter(Boolean).join("  ·  ");
  at("reason").textContent = state.status_reason || "";
  at("problems").textContent = state.problems.join("\n");
  for (const counter of document.querySelectorAll("[data-count]")) counter.textContent = state.counts[counter.dataset.count] || 0;
  const judged = state.stages.filter((stage) => stage.metric != null).at(-1);
  at("best").replaceChildren(...(judged ? [element("b", "", short(judged.metric)), `${judged.metric_name || "metric"} · best of ${judged.name}: ${judged.best}`] : []));
  const ended = ["done", "failed", "pruned"].reduce((sum, name) => sum + (state.counts[name] || 0), 0);
  at("progress").replaceChildren(...bits(state.counts, 1000, 10));
  at("progress").setAttribute("aria-valuemax", state.counts.expected || 0);
  at("progress").setAttribute("aria-valuenow", ended);
  for (const stage of state.stages) {
    const group = stagesDrawn.find((one) => one.dataset.stage === stage.name);
    // A stage that nobody knew of when the page was drawn: draw it anew.
    if (!group) return location.reload();
    group.setAttribute("class", "stage " + stage.state);
    group.setAttribute("aria-label", `${stage.name}: ${stage.state}, ${stage.counts.done} of ${stage.counts.expected} done`);
    const many = stage.counts.expected;
    const count = many === 0 ? (stage.why ? cut("skipped: " + stage.why, 27) : "not planned yet") : many === 1 ? duration(stage.seconds) || stage.state : `${stage.counts.done} / ${many} variants`;
    group.querySelector("title").textContent = stage.name + (stage.why ? ": skipped, " + stage.why : "");
    group.querySelector('[data-line="count"]').textContent = count;
    group.querySelector('[data-line="metric"]').textContent = stage.metric != null ? short(stage.metric) : "";
    const share = group.querySelector(".share");
    share.replaceChildren(...(many ? bits(stage.counts, +share.dataset.width, 6) : []));
  }
}

// ---- the panel

function choose(stage, tab, focus = false) {
  if (stage !== undefined && stage !== chosen.stage) {
    chosen.stage = stage;
    chosen.unit = "";
    seen = {};
    at("where").value = "";
    at("fault").textContent = "";
    order.by = null;
  }
  if (tab) chosen.tab = tab;
  const whole = !chosen.stage;
  history.replaceState(null, "", "#" + new URLSearchParams({ stage: chosen.stage || "", tab: chosen.tab }));
  at("title").textContent = whole ? "Whole run" : chosen.stage;
  at("whole").hidden = whole;
  at("stagetar").hidden = whole;
  at("stagetar").href = base + "files.tar?" + new URLSearchParams({ stage: chosen.stage || "" });
  for (const group of stagesDrawn) group.setAttribute("aria-pressed", group.dataset.stage === chosen.stage);
  for (const arrow of document.querySelectorAll(".arrow"))
    arrow.classList.toggle("near", !whole && [arrow.dataset.source, arrow.dataset.target].includes(chosen.stage));
  for (const button of document.querySelectorAll("[role=tab]")) {
    const on = button.dataset.tab === chosen.tab;
    button.setAttribute("aria-selected", on);
    button.tabIndex = on ? 0 : -1;
    at("view-" + button.dataset.tab).hidden = !on;
    if (on && focus) button.focus();
  }
  show();
}

const views = { variants: showVariants, curves: showCurves, log: showLog, config: showConfig };
let busy = Promise.resolve();
function show() {
  busy = busy.then(() => views[chosen.tab]()).catch((error) => error.said || console.warn(error.message));
  return busy;
}

const isNews = (name, ...facts) => {
  const key = JSON.stringify(facts);
  if (seen[name] === key) return false;
  seen[name] = key;
  return true;
};

async function showVariants() {
  const where = at("where").value;
  const running = state.status === "RUNNING" ? Math.floor(state.seconds) : 0;
  if (!isNews("variants", state.version, chosen.stage, where, running)) return;
  try {
    const data = await ask("units.json", { stage: chosen.stage || "", where });
    const why = state.stages.find((stage) => stage.name === chosen.stage)?.why;
    at("fault").textContent = why ? "no variants: " + why : "";
    drawTable(at("units"), data, !chosen.stage, {
      log: (unit) => { chosen.unit = unit; choose(undefined, "log"); },
      tar: (unit) => base + "files.tar?" + new URLSearchParams({ unit }),
    });
  } catch (error) {
    at("fault").textContent = error.message;
  }
}

async function showCurves() {
  const options = { against: +at("against").value, log: at("logy").checked, smooth: +at("smooth").value };
  if (!isNews("curves", state.version, chosen.stage, at("metric").value, options, document.documentElement.dataset.theme)) return;
  const wanted = at("metric").dataset.stage === chosen.stage ? at("metric").value : "";
  const [data, table] = await Promise.all([ask("curves.json", { stage: chosen.stage || "", metric: wanted }), ask("units.json", { stage: chosen.stage || "" })]);
  fill(at("metric"), data.metrics, data.metric);
  at("metric").dataset.stage = chosen.stage;
  at("nochart").hidden = data.series.length > 0;
  at("chart").hidden = data.series.length === 0;
  seen.curves = JSON.stringify([state.version, chosen.stage, data.metric, options, document.documentElement.dataset.theme]);
  if (!data.series.length) return;
  // Of the parameters, those that tell variants apart make the better names.
  const varied = table.params.filter((path) => new Set(table.rows.map((row) => JSON.stringify(row[path]))).size > 1);
  const names = shortNames(table.params);
  const labels = new Map(table.rows.map((row) => [row.unit, (chosen.stage ? "" : row.stage + " ") + (varied.length ? varied.map((path) => `${names.get(path)} ${short(row[path])}`).join(", ") : row.variant)]));
  await drawChart(at("chart"), data, labels, options);
}

function fill(select, values, value) {
  if (JSON.stringify([...select.options].map((one) => one.value)) !== JSON.stringify(values))
    select.replaceChildren(...values.map((one) => Object.assign(element("option", "", one || "the run itself"), { value: one })));
  if (value !== undefined) select.value = value;
}

const piece = { unit: null, to: -1 };
async function showLog() {
  const table = await ask("units.json", { stage: chosen.stage || "" });
  const begun = table.rows.filter((row) => row.started || row.status !== "PENDING").map((row) => row.unit);
  const units = ["", ...begun];
  if (!chosen.unit && chosen.stage && seen.log === undefined) chosen.unit = (table.rows.find((row) => row.status === "RUNNING") || table.rows.find((row) => row.best) || { unit: begun[0] || "" }).unit;
  seen.log = true;
  fill(at("logunit"), units, units.includes(chosen.unit) ? chosen.unit : "");
  const unit = at("logunit").value;
  const fresh = piece.unit !== unit;
  const data = await ask("log.json", { unit, from: fresh ? -1 : piece.to });
  const box = at("log");
  if (fresh || data.from !== piece.to) box.textContent = "";
  // What a terminal would show: no colour codes, and of a progress bar its last state.
  const clean = data.text.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replace(/[^\n]*\r(?!\n)/g, "");
  if (clean) box.append(clean);
  Object.assign(piece, { unit, to: data.to });
  if (at("follow").checked && (clean || fresh)) box.scrollTop = box.scrollHeight;
}

async function showConfig() {
  if (!isNews("config", chosen.stage)) return;
  const { files } = await ask("config.json", { stage: chosen.stage || "" });
  const texts = new Map(files.map((file) => [file.name, file.text]));
  fill(at("file"), [...texts.keys()], texts.has(at("file").value) && !chosen.stage ? at("file").value : files[0]?.name);
  const draw = () => { at("config").textContent = texts.get(at("file").value) ?? "Nothing is recorded."; };
  at("file").onchange = draw;
  draw();
}

// ---- what the user does

for (const group of stagesDrawn) {
  group.addEventListener("click", () => choose(group.dataset.stage === chosen.stage ? "" : group.dataset.stage));
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" || event.key === " ") choose(group.dataset.stage);
    else if (step) stagesDrawn[(stagesDrawn.indexOf(group) + step + stagesDrawn.length) % stagesDrawn.length].focus();
    else return;
    event.preventDefault();
  });
}
const tabs = [...document.querySelectorAll("[role=tab]")];
for (const button of tabs) {
  button.addEventListener("click", () => choose(undefined, button.dataset.tab));
  button.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) choose(undefined, tabs[(tabs.indexOf(button) + step + tabs.length) % tabs.length].dataset.tab, true);
  });
}
at("whole").addEventListener("click", () => choose(""));
at("filter").addEventListener("submit", (event) => { event.preventDefault(); show(); });
at("where").addEventListener("input", () => { clearTimeout(seen.timer); seen.timer = setTimeout(show, 250); });
for (const id of ["metric", "against", "logy", "smooth"]) at(id).addEventListener("input", () => { at("metric").dataset.stage = chosen.stage; show(); });
at("logunit").addEventListener("change", () => { chosen.unit = at("logunit").value; show(); });
addEventListener("theme", show);

// ---- begin

function fromAddress() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const names = state.stages.map((stage) => stage.name);
  // Without a wish: the stage at work, else the one with most to compare.
  const running = state.stages.find((stage) => stage.state === "running");
  const widest = state.stages.reduce((best, stage) => (stage.metric != null && stage.counts.expected > (best?.counts.expected || 1) ? stage : best), null);
  const stage = wanted.has("stage") ? wanted.get("stage") : (running || widest)?.name || "";
  choose(names.includes(stage) ? stage : "", tabs.some((tab) => tab.dataset.tab === wanted.get("tab")) ? wanted.get("tab") : "variants");
}

async function follow() {
  for (;;) {
    const asked = performance.now();
    try {
      state = await ask("state.json");
      at("live").className = "live on";
      at("live").textContent = state.finished ? "up to date" : "live";
      drawState();
      if (chosen.stage === null) fromAddress();
      await show();
    } catch (error) {
      at("live").className = "live off";
      at("live").textContent = "no answer";
    }
    // A sweep of thousands takes its server a while: it shall spend a tenth of its time on this page at most.
    const pause = Math.max(state && !state.finished ? 1000 : 5000, 9 * (performance.now() - asked));
    await wait(document.hidden ? 10000 : pause);
  }
}
addEventListener("hashchange", () => state && fromAddress());
follow();
