// What the model gets right and wrong: test.json.

// A number of columns of the matrix up to which each cell has room for its count.
const kReadable = 12;

// A matrix of many classes, drawn: thousands of elements would take their time.
function matrixPicture(classes, depth, tip) {
  const cell = Math.max(3, Math.floor(900 / classes));
  const canvas = el("canvas", {class: "picture", width: cell * classes, height: cell * classes, tip: (event) => {
    const box = canvas.getBoundingClientRect();
    const index = (at, size) => Math.min(classes - 1, Math.max(0, Math.floor(at / size * classes)));
    return tip(index(event.clientY - box.top, box.height), index(event.clientX - box.left, box.width));
  }});
  onTheme(canvas, () => {
    const context = canvas.getContext("2d");
    context.fillStyle = paint("--soft");
    context.fillRect(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < classes; ++i) {
      for (let j = 0; j < classes; ++j) {
        if (depth(i, j) === 0) continue;
        context.fillStyle = "rgb(" + paint(i === j ? "--good" : "--bad") + " / " + depth(i, j) + ")";
        context.fillRect(j * cell, i * cell, cell, cell);
      }
    }
  });
  return canvas;
}

function matrixCard(test) {
  const names = test.class_names, matrix = test.confusion_matrix;
  const totals = matrix.map((row) => row.reduce((sum, count) => sum + count, 0));
  const share = (i, j) => totals[i] ? matrix[i][j] / totals[i] : 0;
  let worst = 0;
  matrix.forEach((row, i) => row.forEach((count, j) => {
    if (i !== j) worst = Math.max(worst, share(i, j));
  }));
  // The many right ones would drown the errors: each kind has its own scale.
  const depth = (i, j) => matrix[i][j] === 0 ? 0 : i === j ? 0.15 + 0.75 * share(i, j)
    : 0.05 + 0.8 * share(i, j) / worst;
  const paintOf = (i, j) => "rgb(var(" + (i === j ? "--good" : "--bad") + ") / " + depth(i, j).toFixed(3) + ")";
  const tip = (i, j) => [
    el("b", {}, i === j ? names[i] + " seen as what it is" : names[i] + " taken for " + names[j]),
    tipTable([[grouped(matrix[i][j]) + " of " + grouped(totals[i]), percent(share(i, j), 2)]])];
  const title = el("h3", {}, "Confusion matrix ", el("small", {}, "row: true class, column: predicted"));
  if (names.length > kReadable) {
    return el("div", {class: "card"}, title, matrixPicture(names.length, depth, tip));
  }

  const long = names.some((name) => name.length > 3);
  const grid = (relative) => {
    const cells = [el("div", {}), ...names.map((name) =>
      el("div", {class: "top" + (long ? " long" : ""), title: name}, name))];
    matrix.forEach((row, i) => {
      cells.push(el("div", {class: "side", title: names[i]}, names[i]));
      row.forEach((count, j) => cells.push(el("div", {
        class: "cell" + (depth(i, j) > 0.6 ? " strong" : ""),
        style: depth(i, j) ? {background: paintOf(i, j)} : {},
        tip: () => tip(i, j),
      }, relative ? short(Number((100 * share(i, j)).toFixed(1))) : grouped(count))));
    });
    return el("div", {class: "matrix", style: {
      "grid-template-columns": "minmax(28px, max-content) repeat(" + names.length + ", minmax(0, 1fr))"}}, cells);
  };
  const place = el("div", {}, grid(false));
  return el("div", {class: "card"}, title,
    el("p", {}, choice(["counts", "% of the true class"], 0, (i) => place.replaceChildren(grid(i === 1)),
      "Cells hold")),
    place);
}

function calibrationCard(test) {
  const left = 46, top = 10, width = 300, height = 180, strip = 34;
  const x = (fraction) => left + fraction * width, y = (fraction) => top + (1 - fraction) * height;
  const most = Math.max(...test.calibration.map((bin) => bin.samples)) || 1;
  const base = top + height + 20 + strip;
  const drawing = [];
  for (const at of [0, 0.25, 0.5, 0.75, 1]) {
    drawing.push(svgEl("line", {x1: left, x2: left + width, y1: y(at), y2: y(at), stroke: "var(--line)"}),
      svgEl("text", {x: left - 7, y: y(at) + 4, "text-anchor": "end"}, 100 * at + "%"),
      svgEl("text", {x: x(at), y: base + 17, "text-anchor": "middle"}, 100 * at + "%"));
  }
  for (const bin of test.calibration) {
    const from = x(bin.confidence_low), wide = Math.max(1, x(bin.confidence_high) - from - 2);
    const tip = () => tipTable([["confidence", percent(bin.confidence_low) + " to " + percent(bin.confidence_high)],
      ["mean confidence", percent(bin.confidence_fraction)], ["accuracy", percent(bin.accuracy_fraction)],
      ["samples", grouped(bin.samples)]]);
    const reached = bin.accuracy_fraction || 0;
    drawing.push(svgEl("g", {tip},
      svgEl("rect", {x: from, y: top, width: wide, height: base - top, fill: "transparent"}),
      svgEl("rect", {x: from, y: y(reached), width: wide, height: reached * height, fill: "var(--accent)", rx: 2,
        opacity: 0.85}),
      svgEl("rect", {x: from, y: base - strip * bin.samples / most, width: wide, height: strip * bin.samples / most,
        fill: "var(--muted)", opacity: 0.55})));
  }
  drawing.push(svgEl("line", {x1: x(0), y1: y(0), x2: x(1), y2: y(1), stroke: "var(--ink)", "stroke-dasharray": "4 4",
    "stroke-width": 1.5}));
  return el("div", {class: "card"},
    el("h3", {}, "Calibration ", el("small", {}, "expected error " +
      percent(test.expected_calibration_error_fraction, 1))),
    svgEl("svg", {viewBox: "0 0 370 " + (base + 42), role: "img", "aria-label": "Accuracy by confidence"},
      drawing, svgEl("text", {x: left + width / 2, y: base + 35, "text-anchor": "middle"}, "confidence"),
      svgEl("text", {x: 12, y: top + height / 2, "text-anchor": "middle",
        transform: "rotate(-90 12 " + (top + height / 2) + ")"}, "accuracy")),
    el("p", {class: "muted"}, "On the dashed line a model is as often right as it is sure. Below: how many samples."));
}

function confusionsCard(test) {
  if (!test.top_confusions.length) return null;
  return el("div", {class: "card"}, el("h3", {}, "Most frequent confusions"),
    el("div", {class: "scroll"}, el("table", {class: "list"},
      el("thead", {}, el("tr", {}, ["true", "taken for", "count", "of the class"].map((text, i) =>
        el("th", {class: i < 2 && "text"}, text)))),
      el("tbody", {}, test.top_confusions.map((row) => el("tr", {}, el("td", {}, row.true),
        el("td", {class: "text"}, row.predicted), el("td", {}, grouped(row.count)),
        el("td", {}, percent(row.fraction))))))));
}

function classesCard(test) {
  const row = (name, scores) => el("tr", {}, el("td", {}, name),
    ["precision_fraction", "recall_fraction", "f1_fraction"].map((key) => el("td", {}, percent(scores[key], 2),
      el("span", {class: "meter"}, el("i", {style: {width: 100 * (scores[key] || 0) + "%"}})))),
    el("td", {}, grouped(scores.support)));
  return el("div", {class: "card"}, el("h3", {}, "Class by class"),
    el("div", {class: "scroll tall"}, el("table", {class: "list"},
      el("thead", {}, el("tr", {}, ["class", "precision", "recall", "F1", "samples"].map((text) => el("th", {}, text)))),
      el("tbody", {}, test.classes.map((scores) => row(scores.name, scores)),
        row(el("span", {class: "muted"}, "mean over classes"), test.macro_average),
        row(el("span", {class: "muted"}, "mean over samples"), test.weighted_average)))));
}

function worstCard(test) {
  if (!test.worst.length) return null;
  return el("details", {class: "card"}, el("summary", {}, "The samples with the largest loss"),
    el("div", {class: "scroll tall"}, el("table", {class: "list"},
      el("thead", {}, el("tr", {}, ["sample", "true", "taken for", "probability of the true class", "loss"].map((text, i) =>
        el("th", {class: i > 0 && i < 3 && "text"}, text)))),
      el("tbody", {}, test.worst.map((row) => el("tr", {}, el("td", {}, grouped(row.index)),
        el("td", {class: "text"}, row.true), el("td", {class: "text"}, row.predicted),
        el("td", {}, percent(row.probability)), el("td", {}, short(row.loss))))))));
}

function evaluationOf(run) {
  const test = run.test;
  const figuresOf = [];
  if (known(test.test_bits_per_byte)) figuresOf.push(figure("Test", short(test.test_bits_per_byte), "bits per byte", ""));
  else if (known(test.accuracy_percent)) figuresOf.push(figure("Accuracy", test.accuracy_percent.toFixed(2), "%", ""));
  figuresOf.push(figure("Loss", short(test.loss), "", ""), figure("Samples", grouped(test.samples), "",
    known(test.epoch) ? "checkpoint of epoch " + test.epoch : ""));
  return el("div", {class: "evaluation"}, el("div", {class: "figures"}, figuresOf), test.class_names && [
    el("div", {class: "two"}, el("div", {class: "column"}, matrixCard(test)),
      el("div", {class: "column"}, calibrationCard(test), confusionsCard(test))),
    classesCard(test), worstCard(test)]);
}

function evaluation() {
  const having = runs.filter((run) => run.test);
  if (!having.length) return null;
  return section("Evaluation", "What cddp test found of the trained model on the test set.",
    oneAtATime(having, evaluationOf));
}
