// Curves: one line per variant, drawn by the plotly script that came with the package.
"use strict";
let loading = null;

function loadPlotly() {
  loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = "/plotly.js";
    script.onload = done;
    script.onerror = failed;
    document.head.append(script);
  });
  return loading;
}

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// where: a div. data: curves.json. names: unit -> text of its legend. options: {against: 0 or 2, log, smooth}
async function drawChart(where, data, names, options) {
  await loadPlotly();
  const traces = [];
  data.series.forEach((one, place) => {
    const points = one.points.filter((point) => point[options.against] !== null);
    const x = points.map((point) => point[options.against]);
    const y = points.map((point) => point[1]);
    const color = one.best ? ink("--accent") : palette[place % palette.length];
    const name = (one.best ? "★ " : "") + (names.get(one.unit) || one.variant);
    const line = { color, width: one.best ? 3 : 1.7, dash: one.status === "FAILED" || one.status === "LOST" ? "dot" : "solid" };
    const few = points.length < 3;
    const base = { x, type: "scatter", mode: few ? "lines+markers" : "lines", legendgroup: one.unit, connectgaps: false };
    if (options.smooth > 0) {
      traces.push({ ...base, y, line: { ...line, width: 1 }, opacity: 0.22, hoverinfo: "skip", showlegend: false });
      traces.push({ ...base, y: smoothed(y, options.smooth), line, name });
    } else {
      traces.push({ ...base, y, line, name, marker: { size: 7 } });
    }
  });
  const many = data.series.length > 12;
  const steps = traces.flatMap((trace) => trace.x);
  const few = options.against === 0 && steps.reduce((a, b) => Math.max(a, b), 0) - steps.reduce((a, b) => Math.min(a, b), Infinity) <= 12;
  const axis = { gridcolor: ink("--line"), zeroline: false, linecolor: ink("--line"), tickfont: { size: 12 }, automargin: true };
  const layout = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink("--quiet"), family: "system-ui, 'DejaVu Sans', sans-serif", size: 12 },
    margin: { l: 56, r: 12, t: 12, b: many ? 44 : 96 }, hovermode: "closest", showlegend: true, uirevision: [data.metric, options.against, options.log].join(),
    legend: many ? { font: { size: 11.5 } } : { orientation: "h", yref: "container", y: 0, yanchor: "bottom", font: { size: 11.5 } },
    // Half a step is no step.
    xaxis: { ...axis, ...(few ? { dtick: 1 } : {}), title: { text: options.against === 0 ? "step" : "seconds since the unit started" } },
    yaxis: { ...axis, title: { text: data.metric }, type: options.log ? "log" : "linear" },
    hoverlabel: { bgcolor: ink("--card"), bordercolor: ink("--line"), font: { color: ink("--ink"), size: 12 }, namelength: -1 },
  };
  // The buttons are named one by one: none of them may hand data to a service.
  const config = { responsive: true, displaylogo: false, showSendToCloud: false, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]] };
  await Plotly.react(where, traces, layout, config);
}
