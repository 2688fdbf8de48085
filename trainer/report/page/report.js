// The page, put together.

const kThemes = ["system", "light", "dark"];
const darkSystem = matchMedia("(prefers-color-scheme: dark)");
let theme = 0;

function applyTheme() {
  const dark = kThemes[theme] === "dark" || (kThemes[theme] === "system" && darkSystem.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  themeChanged();
  redrawCharts();
}

function themeButton() {
  const name = () => "Colours: " + kThemes[theme];
  const button = el("button", {type: "button", onclick: () => {
    theme = (theme + 1) % kThemes.length;
    button.textContent = name();
    applyTheme();
  }}, name());
  darkSystem.addEventListener("change", applyTheme);
  return button;
}

function subtitle() {
  if (runs.length > 1) {
    return [...groupsBy("model").keys()].join(", ") + " on " + [...groupsBy("dataset").keys()].join(", ");
  }
  const run = runs[0], workers = setting(run, "world_size");
  return [setting(run, "model") + " on " + setting(run, "dataset"),
    workers + (workers === 1 ? " worker" : " workers, " + howSent(run))].join(" · ");
}

function footer() {
  const versions = [...new Set(runs.map((run) => run.config.versions?.cddp).filter(Boolean))];
  return el("footer", {}, "Made by cddp report" + (versions.length ? " of runs of cddp " + versions.join(", ") : "") +
    ". This file needs nothing else.");
}

document.title = report.title + " · cddp report";
applyTheme();
document.getElementById("report").replaceChildren(...[
  el("header", {}, el("div", {}, el("h1", {}, report.title), el("div", {class: "muted sub"}, subtitle())), themeButton()),
  ...report.notices.map((text) => el("p", {class: "notice"}, text)),
  figures(), comparison(), curves(), stepTimes(), onTheWire(), layers(), plans(), evaluation(), configuration(),
  footer(),
].filter(Boolean));
startCharts();
