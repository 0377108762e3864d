// A page that is one file: draws what stands in it as JSON, and asks nobody for anything.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const svg = (name, attributes, ...content) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content);
  return made;
};
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
// The stage with most to compare is the one that people came for.
let stage = data.stages.reduce((best, one) => (worth(one) > worth(best) ? one : best), data.stages[0]);
function worth(one) { return (Object.keys(one.curves).length ? 1e6 : 0) + one.variants.filter((v) => isNumber(v.metric)).length * 1e3 + one.variants.length; }
let order = { by: "metric", down: true };

// ---- variants: their order, colour and name

function ranks() {
  const sign = stage.lower_is_better ? 1 : -1;
  const value = (place) => (isNumber(stage.variants[place].metric) ? sign * stage.variants[place].metric : Infinity);
  return stage.variants.map((_, place) => place).sort((a, b) => value(a) - value(b) || a - b);
}
const colour = (place) => (stage.variants[place].best ? "var(--accent)" : palette[place % palette.length]);
const named = (variant) => (stage.choices.length ? stage.choices.map((name, at) => `${name} ${short(variant.choices[at])}`).join("  ") : variant.label);

// ---- what several drawings share

function ticks(low, high, log, count = 5) {
  if (log) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) found.push(10 ** power);
    const inside = found.filter((x) => x >= low * 0.999 && x <= high * 1.001);
    return inside.length > 1 ? inside : [low, high];
  }
  const raw = (high - low || Math.abs(high) || 1) / count;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((x) => x * unit >= raw) * unit;
  const found = [];
  for (let x = Math.ceil(low / step - 1e-9) * step; x <= high + step * 1e-9; x += step) found.push(Math.abs(x) < step * 1e-9 ? 0 : x);
  return found;
}
const brief = (x) => (x !== 0 && (Math.abs(x) >= 1e5 || Math.abs(x) < 1e-3) ? x.toExponential().replace("e+", "e") : String(+x.toPrecision(4)));

// A scale: value -> place in pixels. room: [from, to].
function scale(values, room, log, margin = 0.04) {
  let low = Math.min(...values);
  let high = Math.max(...values);
  const on = log ? Math.log10 : (x) => x;
  if (low === high) { low = log ? low / 2 : low - (Math.abs(low) || 1) / 2; high = log ? high * 2 : high + (Math.abs(high) || 1) / 2; }
  const more = (on(high) - on(low)) * margin;
  const [a, b] = [on(low) - more, on(high) + more];
  const to = (value) => room[0] + (room[1] - room[0]) * (on(value) - a) / (b - a);
  return Object.assign(to, { low, high, marks: ticks(low, high, log) });
}

function frame(where, size, x, y, titles) {
  const [width, height] = size;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": titles.label });
  for (const mark of y.marks) {
    drawing.append(svg("line", { class: "grid", x1: titles.left, x2: width - 8, y1: y(mark), y2: y(mark) }));
    drawing.append(svg("text", { class: "axis", x: titles.left - 8, y: y(mark) + 4, "text-anchor": "end" }, brief(mark)));
  }
  for (const [place, text] of titles.below) drawing.append(svg("text", { class: "axis", x: place, y: height - titles.bottom + 18, "text-anchor": "middle" }, text));
  if (titles.x) drawing.append(svg("text", { class: "axis title", x: (titles.left + width) / 2, y: height - 4, "text-anchor": "middle" }, titles.x));
  where.replaceChildren(drawing);
  return drawing;
}

function tell(event, place, lines) {
  const variant = stage.variants[place];
  const swatch = element("span", "swatch");
  swatch.style.background = colour(place);
  const tip = at("tip");
  tip.replaceChildren(element("div", "", swatch, variant.best ? "★ " : "", variant.label), ...lines.map((line) => element("div", "", ...line)));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(event.clientX + 16, innerWidth - box.width - 8)) + "px";
  tip.style.top = Math.max(4, event.clientY - box.height - 14) + "px";
}

// The variant under the hand is lit in every drawing and in the table.
function light(place) {
  for (const one of document.querySelectorAll("[data-place]")) one.classList.toggle("near", place !== null && Number(one.dataset.place) === place);
  at("curves").classList.toggle("near", place !== null);
  if (place === null) at("tip").hidden = true;
}

// ---- learning curves

function drawCurves() {
  light(null);
  const all = stage.curves[at("metric").value] || [];
  at("curves-card").hidden = !Object.keys(stage.curves).length;
  if (!all.length) { at("curves").replaceChildren(); return; }
  const ranked = ranks();
  const most = { all: Infinity, top: 10, best: 1 }[at("which").value];
  const chosen = new Set(ranked.filter((place) => all.some(([other]) => other === place)).slice(0, most));
  const against = Number(at("against").value);
  const log = at("logy").checked;
  const weight = Number(at("smooth").value);
  const lines = all.filter(([place]) => chosen.has(place)).map(([place, points]) => {
    const there = points.filter((point) => isNumber(point[against]) && isNumber(point[1]) && (!log || point[1] > 0));
    const values = there.map((point) => point[1]);
    const drawn = weight ? smoothed(values, weight) : values;
    return { place, points: there.map((point, n) => [point[against], drawn[n], point[1]]) };
  }).filter((line) => line.points.length);
  if (!lines.length) { at("curves").replaceChildren(element("p", "quiet", "There is no value that can be drawn like this.")); return; }
  const size = [at("curves").clientWidth || 1200, at("curves").clientHeight || 400];
  const [left, bottom] = [64, 44];
  const flat = lines.flatMap((line) => line.points);
  const x = scale(flat.map((point) => point[0]), [left, size[0] - 14], false, 0);
  const y = scale(flat.map((point) => point[1]), [size[1] - bottom, 12], log);
  const drawing = frame(at("curves"), size, x, y, {
    left, bottom, x: against ? "seconds since the variant started" : "step", label: at("metric").value,
    below: x.marks.map((mark) => [x(mark), brief(mark)]),
  });
  // The best is drawn last, so that it lies above all.
  lines.sort((a, b) => ranked.indexOf(b.place) - ranked.indexOf(a.place));
  const many = lines.length > 14;
  for (const line of lines) {
    const variant = stage.variants[line.place];
    const path = line.points.map((point, n) => `${n ? "L" : "M"}${x(point[0]).toFixed(1)},${y(point[1]).toFixed(1)}`).join("");
    const made = svg("path", { class: "curve" + (variant.best ? " best" : many ? " thin" : ""), d: path, stroke: colour(line.place), "data-place": line.place });
    if (variant.status === "FAILED" || variant.status === "LOST") made.setAttribute("stroke-dasharray", "2 4");
    drawing.append(made);
    if (line.points.length === 1) drawing.append(svg("circle", { class: "spot", r: 4, cx: x(line.points[0][0]), cy: y(line.points[0][1]), fill: colour(line.place), "data-place": line.place }));
  }
  const hair = svg("circle", { class: "spot", r: 5, hidden: "" });
  drawing.append(hair);
  drawing.onpointermove = (event) => {
    const box = drawing.getBoundingClientRect();
    const [px, py] = [(event.clientX - box.left) * size[0] / box.width, (event.clientY - box.top) * size[1] / box.height];
    let near = null;
    for (const line of lines) for (const point of line.points) {
      const far = (x(point[0]) - px) ** 2 + (y(point[1]) - py) ** 2;
      if (!near || far < near.far) near = { far, line, point };
    }
    const variant = stage.variants[near.line.place];
    light(near.line.place);
    for (const [key, value] of Object.entries({ cx: x(near.point[0]), cy: y(near.point[1]), fill: colour(near.line.place) })) hair.setAttribute(key, value);
    hair.removeAttribute("hidden");
    tell(event, near.line.place, [
      [element("b", "", short(near.point[2])), element("span", "quiet", `  at ${against ? "second" : "step"} ${short(near.point[0])}`)],
      ...stage.choices.map((name, n) => [element("span", "quiet", name + " "), short(variant.choices[n])]),
    ]);
  };
  drawing.onpointerleave = () => { hair.setAttribute("hidden", ""); light(null); };
}

// ---- options against the metric

function drawChoices() {
  const places = stage.variants.map((_, place) => place).filter((place) => isNumber(stage.variants[place].metric));
  const varied = stage.choices.map((name, n) => [name, n]).filter(([, n]) => new Set(places.map((place) => JSON.stringify(stage.variants[place].choices[n]))).size > 1);
  at("choices-card").hidden = !varied.length || places.length < 2;
  at("judged").textContent = judgedName();
  at("choices").replaceChildren();
  if (at("choices-card").hidden) return;
  for (const [name, n] of varied) {
    const box = element("div", "multiple");
    const inner = element("div", "");
    inner.style.height = "185px";
    box.append(element("h3", "", name), inner);
    at("choices").append(box);
    const values = places.map((place) => stage.variants[place].choices[n]);
    const size = [inner.clientWidth || 300, 185];
    const [left, bottom] = [52, 26];
    const y = scale(places.map((place) => stage.variants[place].metric), [size[1] - bottom, 10], false, 0.08);
    const kinds = [...new Set(values.map((value) => JSON.stringify(value)))];
    const numeric = values.every(isNumber);
    let to;
    let below;
    if (numeric && kinds.length > 6) {
      const log = values.every((value) => value > 0) && Math.max(...values) / Math.min(...values) > 50;
      const x = scale(values, [left + 8, size[0] - 16], log);
      to = (value) => x(value);
      below = x.marks.map((mark) => [x(mark), brief(mark)]);
    } else {
      const sorted = numeric ? [...new Set(values)].sort((a, b) => a - b).map((value) => JSON.stringify(value)) : kinds.sort();
      const width = (size[0] - left - 20) / sorted.length;
      const middle = (key) => left + 6 + width * (sorted.indexOf(key) + 0.5);
      to = (value) => middle(JSON.stringify(value));
      const most = Math.max(3, Math.floor(width / 7));
      below = sorted.slice(0, 40).map((key) => { const text = short(JSON.parse(key)) || "none"; return [middle(key), text.length > most ? text.slice(0, most - 1) + "…" : text]; });
    }
    const drawing = frame(inner, size, null, y, { left, bottom, below, label: `${judgedName()} by ${name}` });
    if (kinds.length <= 6) {
      // What a value comes to on average: the line that says whether it matters.
      for (const kind of kinds) {
        const there = places.filter((place) => JSON.stringify(stage.variants[place].choices[n]) === kind).map((place) => stage.variants[place].metric);
        const mean = there.reduce((a, b) => a + b, 0) / there.length;
        const middle = to(JSON.parse(kind));
        if (there.length > 1) drawing.append(svg("line", { class: "mean", x1: middle - 16, x2: middle + 16, y1: y(mean), y2: y(mean) }));
      }
    }
    for (const place of [...ranks()].reverse().filter((p) => places.includes(p))) {
      const variant = stage.variants[place];
      const spot = svg("circle", { class: "spot", r: variant.best ? 6 : 4.5, cx: to(variant.choices[n]), cy: y(variant.metric), fill: colour(place), "data-place": place });
      spot.onpointermove = (event) => { light(place); tell(event, place, [[element("b", "", short(variant.metric)), element("span", "quiet", "  " + judgedName())], ...stage.choices.map((other, m) => [element("span", "quiet", other + " "), short(variant.choices[m])])]); };
      spot.onpointerleave = () => light(null);
      drawing.append(spot);
    }
  }
}

const judgedName = () => stage.judged || "the metric";

// ---- the table of variants

function compare(a, b) {
  const key = (place) => {
    const variant = stage.variants[place];
    return order.by === "metric" ? variant.metric : typeof order.by === "number" ? variant.choices[order.by] : variant[order.by];
  };
  const [x, y] = [key(a), key(b)];
  const kind = (value) => (value === undefined || value === null ? 2 : typeof value === "number" ? 0 : 1);
  if (kind(x) !== kind(y)) return kind(x) - kind(y);
  const sign = order.down ? -1 : 1;
  return (kind(x) === 2 ? 0 : sign * (kind(x) === 0 ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true }))) || a - b;
}

function drawTable() {
  const errors = stage.variants.some((variant) => variant.error);
  const columns = [["label", "variant"], ...stage.choices.map((name, n) => [n, name]), ["status", "status"], ["metric", judgedName() === "the metric" ? "metric" : judgedName()], ["step", "step"], ["seconds", "time"], ...(errors ? [["error", "error"]] : [])];
  const numeric = (by) => ["step", "seconds"].includes(by) || (typeof by === "number" && stage.variants.every((variant) => typeof variant.choices[by] !== "string"));
  at("variants").tHead.replaceChildren(element("tr", "", ...columns.map(([by, title]) => {
    const button = element("button", "", title + (order.by === by ? (order.down ? " ↓" : " ↑") : ""));
    button.type = "button";
    button.onclick = () => { order = { by, down: order.by === by ? !order.down : by === "metric" && !stage.lower_is_better }; drawTable(); };
    const head = element("th", numeric(by) ? "num" : "", button);
    if (order.by === by) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
    return head;
  })));
  const metrics = stage.variants.map((variant) => variant.metric).filter(isNumber);
  const [low, high] = [Math.min(...metrics), Math.max(...metrics)];
  const words = at("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = (variant) => { const text = [variant.label, variant.status, variant.error, named(variant)].join(" ").toLowerCase(); return words.every((word) => text.includes(word)); };
  const places = stage.variants.map((_, place) => place).filter((place) => wanted(stage.variants[place])).sort(compare);
  at("variants").tBodies[0].replaceChildren(...places.map((place) => {
    const variant = stage.variants[place];
    const line = element("tr", variant.best ? "best" : "");
    line.dataset.place = place;
    line.onpointerenter = () => light(place);
    line.onpointerleave = () => light(null);
    for (const [by] of columns) {
      if (by === "label") {
        const swatch = element("span", "swatch");
        swatch.style.background = colour(place);
        line.append(element("td", "", swatch, variant.label));
      } else if (by === "status") line.append(element("td", "", element("span", "pill " + variant.status, variant.status)));
      else if (by === "metric") {
        const box = element("span", "metric");
        if (isNumber(variant.metric)) {
          const fill = element("i");
          fill.style.width = (high > low ? 8 + 92 * (variant.metric - low) / (high - low) : 100) + "%";
          if (metrics.length > 1) box.append(element("span", "track", fill));
          box.append(element("span", "mono", short(variant.metric)), variant.best ? element("span", "star", "★") : "");
        }
        line.append(element("td", "", box));
      } else if (by === "seconds") line.append(element("td", "num", duration(variant.seconds)));
      else if (by === "error") line.append(element("td", "note", variant.error || ""));
      else {
        const value = typeof by === "number" ? variant.choices[by] : variant[by];
        line.append(element("td", numeric(by) ? "num" : "mono", short(value)));
      }
    }
    return line;
  }));
  at("variants-title").textContent = places.length === stage.variants.length ? `${places.length} variant${places.length === 1 ? "" : "s"}` : `${places.length} of ${stage.variants.length} variants`;
}

// ---- in short, and where it comes from

function drawHead() {
  const counts = {};
  for (const run of data.runs) counts[run.status || "unknown"] = (counts[run.status || "unknown"] || 0) + 1;
  at("states").replaceChildren(...Object.entries(counts).map(([status, count]) => element("span", "pill large " + status, data.runs.length > 1 ? `${count} ${status}` : status)));
  const run = data.runs[0];
  const facts = data.runs.length > 1
    ? [`${data.runs.length} runs`, [...new Set(data.runs.map((one) => one.tool).filter(Boolean))].join(", ")]
    : [isNumber(run.seconds) && duration(run.seconds), run.started && "started " + new Date(run.started).toLocaleString(), run.host && "on " + run.host, run.tool, run.status_reason];
  at("facts").textContent = facts.filter(Boolean).join("  ·  ");
  at("problems").textContent = data.problems.join("\n");
  at("made").textContent = "as of " + new Date(data.made).toLocaleString();
  const states = {};
  for (const variant of stage.variants) states[variant.status] = (states[variant.status] || 0) + 1;
  const counter = (name, title, count) => { const box = element("div", "counter " + name, element("b", "", String(count)), element("span", "", title)); return box; };
  const best = stage.variants.find((variant) => variant.best && isNumber(variant.metric));
  const box = element("div", "");
  box.id = "best";
  if (best) box.append(element("b", "", short(best.metric)), `${judgedName()} · best: ${stage.choices.length ? named(best) : best.label}`);
  at("counters").replaceChildren(
    counter("expected", stage.variants.length === 1 ? "variant" : "variants", stage.variants.length),
    ...[["COMPLETE", "done"], ["RUNNING", "running"], ["FAILED", "failed"], ["PRUNED", "pruned"]].filter(([key]) => states[key]).map(([key, name]) => counter(name, name, states[key])), box,
  );
}

function drawOrigins() {
  const pairs = (values) => {
    const list = element("dl", "pairs");
    const names = Object.keys(values);
    const top = (name) => name.split(".")[0];
    const groups = new Set(names.filter((name) => name.includes(".")).map(top));
    const line = (name, value) => list.append(element("dt", "", name), element("dd", "", value));
    for (const name of names) if (!groups.has(name) && !name.includes(".")) line(name, values[name]);
    for (const group of groups) {
      // What an object is stands at the head of what it was given.
      list.append(element("div", "over", group, element("span", "mono", values[group] === undefined ? "" : "  " + values[group])));
      for (const name of names) if (name.startsWith(group + ".")) line(name.slice(group.length + 1), values[name]);
    }
    return list;
  };
  at("origins").replaceChildren(...data.origins.map((origin) => {
    const box = element("details", "origin");
    box.open = data.origins.length === 1;
    box.append(element("summary", "", origin.title), element("div", "halves", element("div", "", element("h3", "", "How it ran"), pairs(origin.record)), element("div", "", element("h3", "", "What was to be run"), pairs(origin.config))));
    return box;
  }));
}

// ---- begin

function choose(name) {
  stage = data.stages.find((one) => one.name === name) || stage;
  order = { by: "metric", down: !stage.lower_is_better };
  at("metric").replaceChildren(...Object.keys(stage.curves).map((metric) => Object.assign(element("option", "", metric), { value: metric, selected: metric === stage.shown })));
  const hint = stage.variants.length > 1 ? "Point at a curve to see which variant it is; colours are those of the table below." : "";
  at("cut").textContent = hint + (stage.cut ? ` The curves of the ${stage.variants.length - stage.cut} best of ${stage.variants.length} variants are in this file.` : "");
  at("stages").hidden = data.stages.length < 2;
  at("stages").replaceChildren(...data.stages.map((one) => {
    const button = element("button", "", one.name);
    button.type = "button";
    button.setAttribute("role", "tab");
    button.setAttribute("aria-selected", one === stage);
    button.onclick = () => choose(one.name);
    return button;
  }));
  drawHead();
  drawCurves();
  drawChoices();
  drawTable();
}
for (const id of ["metric", "which", "against", "logy", "smooth"]) at(id).addEventListener("input", drawCurves);
at("find").addEventListener("input", drawTable);
let waiting = null;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => { drawCurves(); drawChoices(); }, 120); });
const themes = ["auto", "light", "dark"];
at("theme").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % 3];
});
choose(stage.name);
drawOrigins();
