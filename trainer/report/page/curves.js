// Curves over epochs, seconds or bytes: all share the axis and the zoom.

const kAxes = {
  epoch: {name: "epochs", label: "epochs"},
  seconds: {name: "seconds", label: "seconds of training"},
  bytes: {name: "bytes sent", label: "bytes sent by one worker"},
};
const kHeight = 250;

const charts = [];  // {spec, box, plot, lines: [{run, line, xs, ys}]}
let hovered = null;  // the chart under the pointer
let axis = "epoch";
let zoom = null;  // [from, to] on the axis, or null: all

// Where a run has the axis at all: one worker sends no bytes.
function reaches(run, name) {
  return [run.epochs, run.steps].some((part) => part && last((part[name] || []).filter(known)) > 0);
}

function domain() {
  if (zoom) return zoom;
  let most = 0;
  for (const run of runs) {
    for (const part of [run.epochs, run.steps]) {
      for (const x of (part && part[axis]) || []) if (x > most) most = x;
    }
  }
  return [0, most * 1.01 || 1];
}

// The card of one chart. spec: {title, unit, from: "epochs" or "steps", lines: [{key, name}],
// runs, format, zero: the y axis starts at 0, spread: logarithmic where values are far apart}.
// Null when there is nothing to draw.
function curveCard(spec) {
  const some = spec.runs.some((run) => run[spec.from] &&
    spec.lines.some((line) => (run[spec.from][line.key] || []).some(known)));
  if (!some) return null;
  const box = el("div", {class: "plot"});
  const chart = {spec, box, plot: null, lines: []};
  // On its way down, before the chart itself sees it.
  box.addEventListener("mousemove", () => { hovered = chart; }, true);
  charts.push(chart);
  const lines = spec.lines.length > 1 ? ", " + spec.lines[0].name + " solid, " + spec.lines[1].name +
    " dashed" : "";
  return el("div", {class: "card" + (spec.wide ? " wide" : "")},
    el("h3", {}, spec.title + " ", el("small", {}, (spec.unit || "") + (spec.unit ? lines : lines.slice(2)))),
    box);
}

function linesOf(spec) {
  const lines = [];
  for (const run of spec.runs) {
    for (const line of spec.lines) {
      const part = run[spec.from], all = part && part[line.key];
      if (!all || (axis === "bytes" && !reaches(run, axis))) continue;
      const places = part[axis].map((x, i) => i).filter((i) => known(part[axis][i]));
      lines.push({run, line, xs: places.map((i) => part[axis][i]),
        ys: places.map((i) => known(all[i]) ? all[i] : null)});
    }
  }
  return lines;
}

function farApart(lines) {
  const values = lines.flatMap((line) => line.ys).filter((y) => y > 0);
  return values.length > 1 && Math.max(...values) > 30 * Math.min(...values);
}

// Digits enough to tell neighbouring ticks apart.
function tickLabels(format) {
  return (u, splits, i, space, step) => {
    let digits = 0;
    while (digits < 9 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6) ++digits;
    return splits.map((value) => value == null ? "" : format ? format(value)
      : value.toLocaleString("en-US", {minimumFractionDigits: digits, maximumFractionDigits: digits}));
  };
}

// Curves of several runs have points at different places: the nearest one counts.
function nearest(u, series, at) {
  const xs = u.data[0], ys = u.data[series];
  if (series === 0 || ys[at] != null) return at;
  let left = at, right = at;
  while (left >= 0 && ys[left] == null) --left;
  while (right < ys.length && ys[right] == null) ++right;
  if (left < 0) return right < ys.length ? right : at;
  if (right >= ys.length) return left;
  const x = u.posToVal(u.cursor.left, "x");
  return x - xs[left] <= xs[right] - x ? left : right;
}

function tipOf(chart) {
  const {spec, plot, lines} = chart;
  const x = plot.posToVal(plot.cursor.left, "x");
  const rows = [];
  for (const run of spec.runs) {
    if (!run.shown) continue;
    const cells = spec.lines.map((line) => {
      const i = lines.findIndex((l) => l.run === run && l.line === line);
      const at = i < 0 ? null : plot.cursor.idxs[i + 1];
      const y = at == null ? null : plot.data[i + 1][at];
      return y == null ? kNone : spec.format(y);
    });
    if (cells.some((cell) => cell !== kNone)) rows.push([named(run), ...cells]);
  }
  const at = lines.length === 1 && plot.cursor.idx != null ? plot.data[0][plot.cursor.idx] : x;
  const place = axis === "epoch" ? "epoch " + short(spec.from === "epochs" ? Math.max(1, Math.round(at)) : at)
    : axis === "seconds" ? duration(at) + " of training" : bytes(at) + " sent";
  return tipTable(rows, [place, ...spec.lines.map((line) => line.name)]);
}

function draw(chart) {
  const {spec, box} = chart;
  if (chart.plot) chart.plot.destroy();
  const lines = chart.lines = linesOf(spec);
  if (!lines.length) {
    chart.plot = null;
    box.replaceChildren(el("p", {class: "muted"}, "Nothing to draw over " + kAxes[axis].name + "."));
    return;
  }
  box.replaceChildren();
  const spread = spec.spread && farApart(lines);
  const tables = lines.map(({xs, ys}) => [xs, spread ? ys.map((y) => y > 0 ? y : null) : ys]);
  const font = "12px " + getComputedStyle(document.body).fontFamily;
  const line = {stroke: () => paint("--muted"), font, labelFont: font, grid: {stroke: () => paint("--line"), width: 1},
    ticks: {show: false}};
  const options = {
    width: box.clientWidth || 320,
    height: kHeight,
    scales: {
      x: {time: false, range: domain},
      y: {
        distr: spread ? 3 : 1,
        range: spread ? undefined : (u, low, high) => {
          if (low == null) return [0, 1];
          const pad = (high - low || Math.abs(high) || 1) * 0.08;
          const start = spec.zero ? 0 : low >= 0 ? Math.max(0, low - pad) : low - pad;
          return [start, high + pad];
        },
      },
    },
    axes: [
      {...line, label: kAxes[axis].label, labelSize: 18, size: 32, values: tickLabels(axis === "bytes" ? bytes : null)},
      {...line, size: 62, values: tickLabels(spec.ticks || (spread ? short : null))},
    ],
    series: [{}, ...lines.map(({run, line, ys}) => ({
      show: run.shown,
      stroke: () => paint("--run-" + (run.index % kHues)),
      width: line === spec.lines[0] ? 2 : 1.25,
      dash: line !== spec.lines[0] ? [5, 4] : run.index >= kHues ? [1, 4] : undefined,
      cap: "round",
      points: {show: ys.length <= 40, size: 5, fill: () => paint("--run-" + (run.index % kHues))},
    }))],
    legend: {show: false},
    cursor: {
      sync: {key: "curves"},
      drag: {x: true, y: false, setScale: false},
      dataIdx: nearest,
      points: {size: 8},
      bind: {dblclick: () => () => zoomTo(null)},
    },
    hooks: {
      setSelect: [(u) => {
        const {left, width} = u.select;
        if (width < 4) return;
        u.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
        zoomTo([u.posToVal(left, "x"), u.posToVal(left + width, "x")]);
      }],
      setCursor: [(u) => {
        // Of the charts that follow the pointer's one, that one speaks.
        if (hovered !== chart) return;
        if (u.cursor.left < 0) return hideTip();
        const area = u.over.getBoundingClientRect();
        showTip(area.left + u.cursor.left, area.top + u.cursor.top, tipOf(chart));
      }],
    },
  };
  chart.plot = new uPlot(options, uPlot.join(tables), box);
  chart.plot.over.addEventListener("mouseleave", () => {
    hovered = null;
    hideTip();
  });
}

const resetButton = el("button", {type: "button", hidden: "", onclick: () => zoomTo(null)}, "Reset zoom");

function zoomTo(range) {
  zoom = range;
  resetButton.hidden = !range;
  const [min, max] = domain();
  for (const {plot} of charts) if (plot) plot.setScale("x", {min, max});
}

function showInCharts() {
  for (const {plot, lines} of charts) {
    if (!plot) continue;
    plot.batch(() => lines.forEach(({run}, i) => plot.setSeries(i + 1, {show: run.shown})));
  }
}

function drawCharts() {
  charts.forEach(draw);
}

// Colours may have changed.
function redrawCharts() {
  for (const {plot} of charts) if (plot) plot.redraw(false, true);
}

const sizes = new ResizeObserver((entries) => {
  for (const entry of entries) {
    const chart = charts.find(({box}) => box === entry.target);
    const width = Math.floor(entry.contentRect.width);
    if (chart && chart.plot && width > 0 && width !== chart.plot.width) {
      chart.plot.setSize({width, height: kHeight});
    }
  }
});

function curves() {
  const samples = runs.some(textual) ? "samples" : "images";
  const cards = [];
  const byData = groupsBy("dataset");
  for (const [dataset, of] of byData) {
    const apart = byData.size > 1 ? " · " + dataset : "";
    cards.push(curveCard({title: "Loss" + apart, from: "epochs", runs: of, format: short,
      lines: [{key: "test_loss", name: "test"}, {key: "train_loss", name: "training"}]}));
    cards.push(of.some(textual)
      ? curveCard({title: "Bits per byte" + apart, unit: "test", from: "epochs", runs: of, format: short,
        lines: [{key: "test_bits_per_byte", name: "test"}]})
      : curveCard({title: "Accuracy" + apart, unit: "%", from: "epochs", runs: of, format: accuracy,
        lines: [{key: "test_accuracy_percent", name: "test"},
          {key: "train_accuracy_percent", name: "training"}]}));
  }
  for (const [dataset, of] of byData) {
    const apart = byData.size > 1 ? " · " + dataset : "";
    const points = of.map((run) => run.steps && run.steps.records_per_point * (run.config.log_every || 1));
    const steps = Math.max(...points.filter(known));
    cards.push(curveCard({title: "Loss, step by step" + apart, wide: true, from: "steps", runs: of,
      unit: "training, each point the mean of " + (of.length > 1 ? "up to " : "") + grouped(steps) + " steps",
      format: short, lines: [{key: "loss", name: "loss"}]}));
  }
  cards.push(curveCard({title: "Throughput", unit: samples + "/s, all workers", from: "epochs", runs, zero: true,
    format: (v) => short(v) + " " + samples + "/s", lines: [{key: "images_per_s", name: "throughput"}]}));
  cards.push(curveCard({title: "Sent per step", unit: "by one worker", from: "epochs", zero: true, spread: true,
    runs: runs.filter((run) => reaches(run, "bytes")), format: bytes, ticks: bytes,
    lines: [{key: "tx_bytes_per_step", name: "sent"}]}));
  cards.push(curveCard({title: "Learning rate", unit: "of an epoch's last step", from: "epochs", runs, zero: true,
    format: short, lines: [{key: "learning_rate", name: "rate"}]}));
  const there = cards.filter(Boolean);
  // Three in the last row rather than a gap.
  const behind = there.length - 1 - there.findLastIndex((card) => card.classList.contains("wide"));
  if (behind === 3) there.slice(-3).forEach((card) => card.classList.add("third"));
  if (!there.length) return null;

  const note = el("p", {class: "muted"});
  const names = Object.keys(kAxes).filter((name) => runs.some((run) => reaches(run, name)));
  const over = (name) => {
    axis = name;
    const without = runs.filter((run) => !reaches(run, axis)).map((run) => run.label);
    note.textContent = without.length
      ? "Not drawn over " + kAxes[axis].name + ", of which it has none: " + without.join(", ") + "." : "";
    note.hidden = !without.length;
  };
  const choose = (i) => {
    zoom = null;
    resetButton.hidden = true;
    over(names[i]);
    drawCharts();
  };
  over(names[0] || "epoch");
  const bar = el("div", {class: "bar"}, legend(),
    el("div", {class: "axis"}, resetButton, el("span", {class: "muted"}, "over"),
      choice(names.map((name) => kAxes[name].name), 0, choose, "Horizontal axis")));
  return section("Curves", "Move over a curve for its values; drag to zoom into all of them, double click to go back.",
    bar, note, el("div", {class: "grid"}, there));
}

function startCharts() {
  drawCharts();
  for (const {box} of charts) sizes.observe(box);
}
