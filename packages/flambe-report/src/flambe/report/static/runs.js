// The list of runs: refreshed while the page is looked at.
"use strict";
const body = document.querySelector("#runs tbody");
const find = document.getElementById("find");
let rows = null;

const short = (value) => (typeof value === "number" ? String(+value.toPrecision(4)) : value == null ? "" : String(value));
function duration(s) {
  if (s == null) return "";
  if (s < 60) return s.toFixed(1) + " s";
  const pad = (n) => String(Math.floor(n)).padStart(2, "0");
  if (s < 3600) return `${Math.floor(s / 60)} min ${pad(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${pad((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${pad((s % 86400) / 3600)} h`;
}
function element(name, className, ...content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

function draw() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = rows.filter((row) => words.every((word) => JSON.stringify(row).toLowerCase().includes(word)));
  body.replaceChildren(...shown.map((row) => {
    const link = element("a", "", row.name + " ", element("b", "", "exp." + row.index));
    link.href = `/run/${encodeURIComponent(row.key)}/`;
    link.title = row.run;
    const line = element("tr");
    const failed = row.failed ? ` · ${row.failed} failed` : "";
    line.append(element("td", "", link), element("td", "", element("span", "pill " + row.status, row.status)),
      element("td", "", `${row.done || 0} / ${row.expected || 0}${failed}`),
      element("td", "", short(row.metric) + (row.metric_name ? " " : ""), element("span", "quiet", row.metric_name || "")),
      element("td", "mono", row.best || ""), element("td", "", duration(row.seconds)),
      element("td", "", row.created ? new Date(row.created).toLocaleString() : ""));
    return line;
  }));
}

async function refresh() {
  try {
    const answer = await fetch("/runs.json");
    if (!answer.ok) throw new Error(answer.status);
    const data = await answer.json();
    rows = data.rows;
    document.getElementById("problems").textContent = data.problems.join("\n");
    document.getElementById("live").className = "live on";
    if (rows.length) draw();
  } catch {
    document.getElementById("live").className = "live off";
  }
  setTimeout(refresh, document.hidden ? 15000 : 3000);
}
find.addEventListener("input", () => rows && draw());
refresh();
