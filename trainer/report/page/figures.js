// The first sight: a few large figures.

function figure(name, value, unit, detail) {
  return el("div", {class: "card"}, el("div", {class: "name"}, name),
    el("div", {class: "value"}, value, unit && el("small", {}, unit)),
    el("div", {class: "detail"}, detail));
}

// "1:15" has no unit, "4.2 s" has one.
function figureOf(name, text, detail) {
  const [value, ...unit] = text.split(" ");
  return figure(name, value, unit.join(" "), detail);
}

function denseBytes(run) {
  return known(run.summary.parameters) ? 4 * run.summary.parameters : null;
}

// What a worker sends against the plain gradient, in words.
function againstDense(run) {
  const dense = denseBytes(run), sent = run.summary.tx_bytes_per_step;
  if (!(sent > 0) || !dense) return "";
  return dense >= sent ? short(dense / sent) + "× less than the gradient"
    : short(sent / dense) + "× the gradient";
}

function figuresOfOne(run) {
  const {summary, epochs} = run;
  const cards = [];
  if (textual(run)) {
    const bits = summary.test_bits_per_byte ?? last(epochs.test_bits_per_byte);
    cards.push(figure("Test", short(bits), "bits per byte", "loss " + short(summary.test_loss)));
  } else if (known(summary.test_accuracy_percent)) {
    const all = epochs.test_accuracy_percent || [];
    const best = Math.max(...all), at = epochs.epoch[all.indexOf(best)];
    cards.push(figure("Test accuracy", summary.test_accuracy_percent.toFixed(2), "%",
      all.length > 1 ? "best " + accuracy(best) + ", epoch " + at : "loss " + short(summary.test_loss)));
  }
  const seconds = last(epochs.seconds);
  if (known(seconds)) {
    cards.push(figureOf("Training", duration(seconds),
      epochs.epoch.length + (epochs.epoch.length === 1 ? " epoch, " : " epochs, ") + grouped(summary.steps) + " steps"));
  }
  if (known(summary.images_per_s)) {
    cards.push(figure("Throughput", short(summary.images_per_s), (textual(run) ? "windows" : "images") + "/s",
      "a step takes " + ms(summary.step_ms_median)));
  }
  if (summary.tx_bytes_per_step > 0) {
    cards.push(figureOf("Sent per step", bytes(summary.tx_bytes_per_step), againstDense(run)));
  }
  const workers = setting(run, "world_size");
  cards.push(figure("Workers", grouped(workers), "", howSent(run) +
    (compressed(run) && workers > 1 ? ", memory " + setting(run, "memory") : "")));
  cards.push(figure("Model", String(setting(run, "model")), "", String(setting(run, "dataset")) +
    (known(summary.parameters) ? ", " + grouped(summary.parameters) + " parameters" : "")));
  if (summary.void_steps > 0) {
    cards.push(figure("Void steps", grouped(summary.void_steps), "", "with a gradient that was not finite"));
  }
  return cards;
}

function figuresOfSeveral() {
  // The run in which `value` is largest, or smallest with sign -1.
  const best = (value, sign) => runs.filter((run) => known(value(run)))
    .sort((a, b) => sign * (value(b) - value(a)))[0];
  const cards = [figure("Runs", grouped(runs.length), "",
    [...groupsBy("world_size").keys()].sort((a, b) => a - b).join(", ") + " workers")];
  const add = (name, value, sign, text) => {
    const run = best(value, sign);
    if (run) cards.push(figureOf(name, text(value(run)), named(run)));
  };
  if (runs.every(textual)) {
    add("Fewest bits per byte", (run) => run.summary.test_bits_per_byte, -1, short);
  } else {
    add("Best test accuracy", (run) => run.summary.test_accuracy_percent, 1,
      (value) => value.toFixed(2) + " %");
  }
  add("Most throughput", (run) => run.summary.images_per_s, 1,
    (value) => short(value) + (runs.some(textual) ? " windows/s" : " images/s"));
  add("Shortest training", (run) => last(run.epochs.seconds), -1, duration);
  add("Least sent per step", (run) => run.summary.tx_bytes_per_step > 0 ? run.summary.tx_bytes_per_step : null,
    -1, bytes);
  return cards;
}

function figures() {
  // Of runs that can't be compared none is the best.
  if (!comparable) return null;
  return el("div", {class: "figures"}, runs.length === 1 ? figuresOfOne(runs[0]) : figuresOfSeveral());
}
