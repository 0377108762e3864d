// The list of runs: refreshed while the page is looked at.
"use strict";
const body = document.querySelector("#runs tbody");
const find = document.getElementById("find");
let rows = null;

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
