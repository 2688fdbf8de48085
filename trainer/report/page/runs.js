// The runs of this report, their colours, and which of them are shown.

const report = JSON.parse(document.getElementById("data").textContent);
const runs = report.runs;
runs.forEach((run, i) => { run.index = i; run.shown = true; });

const kHues = 7;

// Of the configuration, or of the summary where that is all there is.
function setting(run, key) {
  return run.config[key] ?? run.summary[key];
}

function textual(run) {
  return run.summary.test_bits_per_byte != null || run.epochs.test_bits_per_byte != null;
}

function compressed(run) {
  return setting(run, "compress") === true;
}

// How a run sends its gradients, in words.
function howSent(run) {
  if (setting(run, "world_size") === 1) return "one worker";
  if (!compressed(run)) return "dense";
  return "top " + percent(setting(run, "ratio")) + ", " + setting(run, "collective");
}

// Groups of runs that agree in the key, in the order in which they come.
function groupsBy(key) {
  const groups = new Map();
  for (const run of runs) {
    const value = String(setting(run, key));
    if (!groups.has(value)) groups.set(value, []);
    groups.get(value).push(run);
  }
  return groups;
}

const comparable = groupsBy("dataset").size === 1 && groupsBy("model").size === 1;

// Draws now, and again when the colours change for as long as the canvas is on the page.
const drawings = [];
function onTheme(canvas, draw) {
  drawings.push([canvas, draw]);
  draw();
}

function themeChanged() {
  paints.clear();
  for (const [canvas, draw] of drawings) if (canvas.isConnected) draw();
}

function hue(run) {
  return "var(--run-" + (run.index % kHues) + ")";
}

// A canvas knows no CSS variables.
const paints = new Map();
function paint(name) {
  if (!paints.has(name)) {
    paints.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  }
  return paints.get(name);
}

function swatch(run) {
  const style = {"border-color": hue(run)};
  if (run.index >= kHues) style["border-top-style"] = "dotted";
  return el("span", {class: "swatch", style});
}

function named(run) {
  return el("span", {title: run.label}, runs.length > 1 && swatch(run), run.label);
}

// What belongs to one run goes when the run is switched off.
const ofRuns = [];
function belongs(run, element) {
  ofRuns.push([run, element]);
  return element;
}

function show(run, shown) {
  run.shown = shown;
  for (const [of, element] of ofRuns) if (of === run) element.toggleAttribute("data-off", !shown);
  showInCharts();
}

function legend() {
  if (runs.length < 2) return null;
  return el("div", {class: "legend", role: "group", "aria-label": "Runs"}, runs.map((run) =>
    el("button", {
      type: "button", "aria-pressed": "true", title: run.label + ": click to hide or show",
      onclick: (event) => {
        show(run, !run.shown);
        event.currentTarget.setAttribute("aria-pressed", String(run.shown));
      },
    }, swatch(run), run.label)));
}

// What is drawn for one run at a time: with a choice of the run where several have it.
function oneAtATime(having, draw) {
  if (having.length === 1) return [draw(having[0])];
  const place = el("div", {}, draw(having[0]));
  const pick = choice(having.map((run) => [swatch(run), run.label]), 0,
    (i) => place.replaceChildren(draw(having[i])), "Run");
  return [el("p", {}, pick), place];
}
