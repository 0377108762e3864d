// The table of variants: a column for each parameter, sorted by a click.
"use strict";
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
  const high = Math.max(...metrics);
  const spread = high - low;
  // As many decimals for all, so that they can be compared by eye.
  const metric = (value) => (Math.abs(high) < 1000 && Math.max(Math.abs(low), Math.abs(high)) >= 0.01 ? value.toFixed(Math.abs(high) < 10 ? 4 : 2) : short(value));
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
      box.append(element("span", "mono", metric(row.metric)));
      if (row.best && metrics.length > 1) box.append(Object.assign(element("span", "star", "★"), { title: "the best of its stage" }));
      if (judged.length > 1) box.append(element("span", "quiet", row.metric_name || ""));
      return element("td", "", box);
    }
    if (key === "seconds") return element("td", "num", duration(row.seconds));
    if (key === "step") return element("td", "num", row.step ? short(row.step) : "");
    const text = element("td", typeof row[key] === "number" ? "num" : "mono", short(row[key]));
    return text;
  }
}
