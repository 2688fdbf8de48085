// Elements. Text always comes in as text, never as markup.

// el("td", {class: "best", title: "..."}, "text", otherElement): attributes by name;
// functions become listeners ("onclick"); `tip` is given the pointer's event and asked for the
// content of the tooltip.
function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svgEl(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

const tips = new WeakMap();

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value == null || value === false) continue;
    if (name === "tip") tips.set(element, value);
    else if (name === "style") for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

// The one tooltip.

const tipBox = document.getElementById("tip");

function showTip(x, y, content) {
  tipBox.replaceChildren(...[content].flat());
  tipBox.hidden = false;
  const box = tipBox.getBoundingClientRect();
  const left = x + 16 + box.width > innerWidth - 8 ? x - 16 - box.width : x + 16;
  tipBox.style.left = Math.max(8, left) + "px";
  tipBox.style.top = Math.max(8, Math.min(y + 12, innerHeight - box.height - 8)) + "px";
}

function hideTip() {
  tipBox.hidden = true;
}

for (const kind of ["pointermove", "pointerdown"]) {
  document.addEventListener(kind, (event) => {
    // Charts show theirs themselves.
    if (event.target.closest && event.target.closest(".uplot")) return;
    for (let at = event.target; at instanceof Element; at = at.parentElement) {
      if (tips.has(at)) return showTip(event.clientX, event.clientY, tips.get(at)(event));
    }
    hideTip();
  });
}
addEventListener("scroll", hideTip, {passive: true});

// [["name", "value"], ...] as a small table; the head, if there is one, above it.
function tipTable(rows, head) {
  return el("table", {}, head && el("tr", {}, head.map((text) => el("th", {}, text))),
    rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell)))));
}

// Buttons of which one is pressed.
function choice(names, chosen, choose, label) {
  const buttons = names.map((name, i) => el("button", {
    type: "button", "aria-pressed": String(i === chosen),
    onclick: () => {
      buttons.forEach((b, j) => b.setAttribute("aria-pressed", String(i === j)));
      choose(i);
    },
  }, name));
  return el("div", {class: "choice", role: "group", "aria-label": label}, buttons);
}

// A section with a heading.
function section(title, lead, ...content) {
  return el("section", {}, el("h2", {}, title), lead && el("p", {class: "lead"}, lead), content);
}
