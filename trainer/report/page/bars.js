// Where the time of a step went, what it sent, and what each layer kept.

const kPhases = [
  {key: "data_ms", name: "data", hue: "var(--data)"},
  {key: "forward_ms", name: "forward", hue: "var(--forward)"},
  {key: "backward_ms", name: "backward", hue: "var(--backward)"},
  {key: "exposed_ms", name: "exposed communication", hue: "var(--exposed)"},
  {key: "optimizer_ms", name: "optimiser", hue: "var(--optimizer)"},
];

function keys(items) {
  return el("div", {class: "keys"}, items.map(({name, hue}) =>
    el("span", {}, el("span", {class: "square", style: {background: hue}}), name)));
}

function stepTimes() {
  const rows = runs.map((run) => {
    const parts = kPhases.map(({key}) => mean(run.epochs[key]));
    return {run, parts, total: parts.reduce((sum, part) => sum + (part || 0), 0)};
  }).filter(({total}) => total > 0);
  if (!rows.length) return null;
  const most = Math.max(...rows.map(({total}) => total));
  const bars = rows.map(({run, parts, total}) => belongs(run, el("div", {
    class: "row",
    tip: () => [el("b", {}, run.label), tipTable(kPhases.map(({name, hue}, i) => [
      el("span", {}, el("span", {class: "square", style: {background: hue}}), name), ms(parts[i]),
      percent((parts[i] || 0) / total)]))],
  }, named(run), el("div", {class: "stack"}, kPhases.map(({hue}, i) => parts[i] > 0 &&
    el("i", {style: {background: hue, width: 100 * parts[i] / most + "%"}}))), el("span", {}, ms(total)))));
  return section("Where the time of a step went",
    "Mean over all epochs, on rank 0. Exposed is the communication that backward did not hide.",
    el("div", {class: "card"}, keys(kPhases), bars));
}

function onTheWire() {
  const rows = runs.filter((run) => run.summary.tx_bytes_per_step > 0 && denseBytes(run));
  if (!rows.length) return null;
  const values = rows.flatMap((run) => [run.summary.tx_bytes_per_step, run.summary.rx_bytes_per_step,
    denseBytes(run)]).filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...values) / 1.2));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values) * 1.2)));
  const place = (value) => 100 * (Math.log10(value) - low) / (high - low);
  const decades = Array.from({length: high - low + 1}, (unused, i) => low + i);
  const ticks = () => decades.map((d) => el("i", {class: "tick", style: {left: place(10 ** d) + "%"}}));
  const bars = rows.map((run) => {
    const sent = run.summary.tx_bytes_per_step, received = run.summary.rx_bytes_per_step;
    const dense = denseBytes(run), left = Math.min(place(sent), place(dense));
    return belongs(run, el("div", {
      class: "row",
      tip: () => [el("b", {}, run.label), tipTable([["sent per step", bytes(sent)],
        ["received per step", bytes(received)], ["the gradient, 4 bytes each", bytes(dense)],
        ["", againstDense(run)]])],
    }, named(run), el("div", {class: "dots"}, ticks(),
      el("i", {class: "stem", style: {background: hue(run), left: left + "%",
        width: Math.abs(place(sent) - place(dense)) + "%"}}),
      el("i", {class: "dense", style: {left: place(dense) + "%"}}),
      el("i", {class: "dot", style: {left: place(sent) + "%", "border-color": hue(run), background: hue(run)}}),
      received > 0 && el("i", {class: "dot", style: {left: place(received) + "%", "border-color": hue(run)}})),
    el("span", {}, bytes(sent) + (dense > sent ? ", " + short(dense / sent) + "× less" : ""))));
  });
  // Labels that would run into each other are left out.
  const every = Math.ceil(decades.length / 6);
  const scale = el("div", {class: "row"}, el("span", {}), el("div", {class: "dots"},
    decades.filter((unused, i) => i % every === 0).map((d) =>
      el("span", {class: "mark", style: {left: place(10 ** d) + "%"}}, bytes(10 ** d)))), el("span", {}));
  return section("Bytes on the wire",
    "What one worker sends in a step (full dot) and receives (ring), as the kernel counted it on the sockets; "
    + "the upright line is the gradient itself, 4 bytes for each parameter. The scale is logarithmic.",
    el("div", {class: "card"}, bars, scale));
}

function layersOf(run) {
  const most = Math.max(...run.layers.map((layer) => layer.sent_fraction || 0)) || 1;
  const norm = Math.max(...run.layers.map((layer) => layer.residual_norm || 0)) || 1;
  const track = (share) => el("div", {class: "track"}, share > 0 && el("i", {
    style: {width: 100 * share + "%", background: hue(run)}}));
  const cells = run.layers.flatMap((layer) => {
    const tip = () => [el("b", {}, layer.name), tipTable([["elements", grouped(layer.elements)],
      ["sent of them", layer.sent_fraction == null ? "all: not compressed" : percent(layer.sent_fraction, 2)],
      ["norm of the residual", short(layer.residual_norm)]])];
    return [[{class: "label"}, layer.name], [{}, track((layer.sent_fraction || 0) / most)],
      [{class: "end"}, layer.sent_fraction == null ? "dense" : percent(layer.sent_fraction, 1)],
      [{}, track((layer.residual_norm || 0) / norm)], [{class: "end"}, short(layer.residual_norm)]]
      .map(([attributes, content]) => el("div", {...attributes, tip}, content));
  });
  return el("div", {class: "card scroll tall"}, el("div", {class: "pair"},
    el("div", {class: "head"}, "layer"), el("div", {class: "head value"}, "entries sent"),
    el("div", {class: "head value"}, "residual"), cells));
}

function layers() {
  const having = runs.filter((run) => run.layers && run.layers.length);
  if (!having.length) return null;
  return section("Layer by layer",
    "Which share of its entries each layer sent, and the L2 norm of what it keeps for later.",
    oneAtATime(having, layersOf));
}
