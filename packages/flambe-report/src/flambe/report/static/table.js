// The table of variants: a column for each parameter, sorted by a click.
"use strict";
function element(name, className, ...content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

function duration(s) {
  if (s === null || s === undefined) return "";
  if (s < 60) return s.toFixed(1) + " s";
  const pad = (n) => String(Math.floor(n)).padStart(2, "0");
  if (s < 3600) return `${Math.floor(s / 60)} min ${pad(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${pad((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${pad((s % 86400) / 3600)} h`;
}

const short = (value) => {
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(+value.toPrecision(4));
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
};

// The last part of each path, and more of it where two would look alike.
function shortNames(paths) {
  const names = new Map();
  for (const path of paths) {
    const parts = path.replace(/^params\./, "").split(".");
    let size = 1;
    const name = () => parts.slice(-size).join(".");
    while (size < parts.length && paths.some((other) => other !== path && ("." + other).endsWith("." + name()))) size += 1;
    names.set(path, name());
  }
  return names;
}

const order = { by: null, down: false };

function compare(one, other) {
  const kinds = (value) => (value === undefined || value === null ? 2 : typeof value === "number" ? 0 : 1);
  const a = one[order.by];
  const b = other[order.by];
  if (kinds(a) !== kinds(b)) return kinds(a) - kinds(b);
  if (kinds(a) === 2) return 0;
  const sign = order.down ? -1 : 1;
  return sign * (kinds(a) === 0 ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
}

// table: units.json of one stage, or of all. acts: {log(unit), tar(unit) -> address}
function drawTable(where, data, whole, acts) {
  const params = whole ? [] : data.params;
  const names = shortNames(data.params);
  const columns = [
    ...(whole ? [["stage", "stage"]] : []),
    ...(whole || !params.length ? [["variant", "variant"]] : params.map((path) => [path, names.get(path)])),
    ["status", "status"], ["metric", "metric"], ["step", "step"], ["seconds", "time"],
  ];
  const judged = [...new Set(data.rows.map((row) => row.metric_name).filter(Boolean))];
  const heads = columns.map(([key, title]) => {
    const button = element("button", "", key === "metric" && judged.length === 1 ? judged[0] : title);
    button.type = "button";
    button.title = "Sort by " + key;
    button.addEventListener("click", () => {
      order.down = order.by === key ? !order.down : key === "metric";
      order.by = key;
      drawTable(where, data, whole, acts);
      where.querySelector(`th[data-key="${CSS.escape(key)}"] button`).focus();
    });
    const numeric = ["step", "seconds"].includes(key) || (key.startsWith("params.") && data.rows.every((row) => typeof row[key] !== "string"));
    const head = element("th", numeric ? "num" : "", button);
    head.dataset.key = key;
    if (order.by === key) {
      head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      button.append(order.down ? " ↓" : " ↑");
    }
    return head;
  });
  const plain = (title) => element("th", "", title);
  where.tHead.replaceChildren(element("tr", "", ...heads, plain(data.rows.some((row) => row.error) ? "error" : ""), plain("")));

  const metrics = data.rows.map((row) => row.metric).filter((value) => typeof value === "number");
  const low = Math.min(...metrics);
  const spread = Math.max(...metrics) - low;
  const rows = order.by ? [...data.rows].sort(compare) : data.rows;
  where.tBodies[0].replaceChildren(...rows.map((row) => {
    const line = element("tr", row.best && metrics.length > 1 && !whole ? "best" : "");
    for (const [key, , ] of columns) line.append(cell(row, key));
    const early = row.status === "COMPLETE" && row.complete === false ? "stopped early" : "";
    const reused = row.reused_from ? "reused from " + row.reused_from : "";
    const dropped = row.kept === false && !row.error ? "not kept" : "";
    const again = row.attempt > 1 ? `attempt ${row.attempt}` : "";
    const mild = [early, reused, dropped, again].filter(Boolean).join(", ");
    line.append(element("td", "note" + (row.error && row.status !== "PRUNED" ? "" : " mild"), row.error || mild));
    const log = element("button", "button small", "log");
    log.type = "button";
    log.addEventListener("click", () => acts.log(row.unit));
    const tar = element("a", "button small", "↓");
    tar.href = acts.tar(row.unit);
    tar.title = "Files of this variant, as tar";
    line.append(element("td", "", element("span", "acts", log, tar)));
    return line;
  }));

  function cell(row, key) {
    if (key === "status") return element("td", "", element("span", "pill " + row.status, row.status));
    if (key === "metric") {
      if (typeof row.metric !== "number") return element("td");
      const box = element("span", "metric");
      if (!whole && metrics.length > 1) {
        const fill = element("i");
        fill.style.width = (spread ? 8 + 92 * (row.metric - low) / spread : 100) + "%";
        box.append(element("span", "track", fill));
      }
      box.append(short(row.metric));
      if (row.best && metrics.length > 1) box.append(element("span", "star", "★"));
      if (judged.length > 1) box.append(element("span", "quiet", row.metric_name || ""));
      return element("td", "", box);
    }
    if (key === "seconds") return element("td", "num", duration(row.seconds));
    if (key === "step") return element("td", "num", row.step ? short(row.step) : "");
    const text = element("td", typeof row[key] === "number" ? "num" : "mono", short(row[key]));
    return text;
  }
}
