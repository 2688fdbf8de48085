// What is read rather than looked at: the comparison, the plan, the configuration.

const kColumns = [
  {name: "data set", unless: "dataset", text: true, value: (run) => setting(run, "dataset"), print: String},
  {name: "model", unless: "model", text: true, value: (run) => setting(run, "model"), print: String},
  {name: "workers", value: (run) => setting(run, "world_size"), print: grouped},
  {name: "gradients", text: true, value: howSent, print: String},
  {name: "accuracy", value: (run) => textual(run) ? null : run.summary.test_accuracy_percent, print: accuracy, best: 1},
  {name: "bits per byte", value: (run) => run.summary.test_bits_per_byte, print: short, best: -1},
  {name: "difference", value: (run) => textual(run) ? null : run.comparison?.accuracy_difference_percent, print: (v) => signed(v, " points")},
  {name: "per second", value: (run) => run.summary.images_per_s, print: short, best: 1},
  {name: "step", value: (run) => run.summary.step_ms_median, print: ms, best: -1},
  {name: "epoch", value: (run) => run.summary.epoch_s_mean, print: duration, best: -1},
  {name: "speed-up", value: (run) => run.comparison?.speedup, print: times},
  {name: "efficiency", value: (run) => run.comparison?.efficiency_fraction, print: percent},
  {name: "sent per step", value: (run) => run.summary.tx_bytes_per_step, print: bytes},
  {name: "fewer bytes", value: (run) => run.comparison?.tx_bytes_reduction, print: times},
  {name: "to target", value: (run) => run.comparison?.seconds_to_accuracy, print: duration, best: -1},
];

function comparison() {
  if (runs.length < 2) return null;
  // Data set and model of all runs stand above.
  const columns = kColumns.filter(({value, unless}) =>
    runs.some((run) => value(run) != null) && !(unless && groupsBy(unless).size === 1));
  const bestOf = new Map();
  for (const {name, value, best} of columns) {
    const values = runs.map(value).filter(known);
    if (best && comparable && values.length > 1) bestOf.set(name, best > 0 ? Math.max(...values) : Math.min(...values));
  }
  const rows = runs.map((run) => belongs(run, el("tr", {}, el("td", {class: "run"}, named(run)),
    columns.map(({name, value, print, text}) => el("td", {
      class: [text && "text", bestOf.has(name) && value(run) === bestOf.get(name) && "best"].filter(Boolean).join(" "),
    }, value(run) == null ? kNone : print(value(run)))))));
  const references = [...new Set(runs.map((run) => run.comparison?.reference).filter(Boolean))];
  const target = runs.map((run) => run.comparison?.target_accuracy_percent).find(known);
  const lead = [
    references.length ? "Speed-up, difference and fewer bytes are against " + references.join(", ") +
      ", the first run of its data set and model." : "",
    runs.some((run) => run.comparison && !run.comparison.reference)
      ? "Of a comparison, speed-up is against its first run, the difference and fewer bytes against the dense run." : "",
    known(target) ? "The target is " + accuracy(target) + "." : "",
  ].filter(Boolean).join(" ");
  return section("Comparison", lead || null, el("div", {class: "card scroll"}, el("table", {class: "list"},
    el("thead", {}, el("tr", {}, el("th", {}, "run"), columns.map(({name, text}) =>
      el("th", {class: text && "text"}, name)))),
    el("tbody", {}, rows))));
}

function way(name) {
  return el("span", {class: "way " + name}, name);
}

// The plan counts steps from 0, the page from 1.
function planOf(run) {
  const {plan} = run;
  const changes = plan.changes.length && plan.changes[0].step > 0
    ? [{step: 0, ways: plan.bucket_elements.map(() => plan.first)}, ...plan.changes] : plan.changes;
  const spans = changes.map((change, i) => {
    const start = change.step + 1;
    const end = changes[i + 1] ? changes[i + 1].step : null;
    return {...change, name: end == null ? "from step " + grouped(start)
      : end === start ? "step " + grouped(end) : "steps " + grouped(start) + "–" + grouped(end)};
  });
  const rows = plan.bucket_elements.map((elements, bucket) => el("tr", {}, el("td", {}, "bucket " + (bucket + 1)),
    el("td", {}, grouped(elements)), spans.map((span) => el("td", {class: "text"}, way(span.ways[bucket])))));
  return el("div", {class: "card"}, rows.length && spans.length
    ? el("div", {class: "scroll tall"}, el("table", {class: "list"},
      el("thead", {}, el("tr", {}, el("th", {}, "bucket"), el("th", {}, "elements"),
        spans.map((span) => el("th", {class: "text"}, span.name)))),
      el("tbody", {}, rows)))
    : el("p", {}, "All buckets go ", way(plan.first), " from the first step on."));
}

function plans() {
  const having = runs.filter((run) => run.plan);
  if (!having.length) return null;
  return section("What --collective auto planned",
    "Which way each bucket of gradients went, and since when: the first steps are trials, the last column stayed.",
    oneAtATime(having, planOf));
}

// {"versions": {"cddp": 1}} -> [["versions.cddp", "1"]].
function flat(object, before = "") {
  return Object.entries(object).flatMap(([key, value]) =>
    value && typeof value === "object" && !Array.isArray(value) ? flat(value, before + key + ".")
      : [[before + key, typeof value === "string" ? value : JSON.stringify(value)]]);
}

function configuration() {
  const configs = runs.map((run) => new Map([["(folder)", run.folder], ...flat(run.config)]));
  const names = [...new Set(configs.flatMap((config) => [...config.keys()]))].sort();
  if (!names.length) return null;
  const differs = (name) => configs.some((config) => config.get(name) !== configs[0].get(name));
  const table = (which) => el("table", {class: "list"},
    el("thead", {}, el("tr", {}, el("th", {}, "option"), runs.map((run) =>
      el("th", {class: "text"}, runs.length > 1 ? named(run) : "value")))),
    el("tbody", {}, which.map((name) => el("tr", {}, el("td", {}, name), configs.map((config) =>
      el("td", {class: "text" + (runs.length > 1 && differs(name) ? " differs" : "")},
        config.get(name) || kNone))))));
  const different = names.filter(differs);
  const place = el("div", {class: "scroll tall"}, table(runs.length > 1 ? different : names));
  return el("section", {}, el("h2", {}, "Configuration"), el("details", {class: "card"},
    el("summary", {}, runs.length > 1 ? "All options, " + different.length + " of which differ" : "All options"),
    runs.length > 1 && el("p", {}, choice(["what differs", "everything"], 0,
      (i) => place.replaceChildren(table(i ? names : different)), "Options")),
    place));
}
