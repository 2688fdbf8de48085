// Numbers as people read them. What is not known is a dash.

const kNone = "–";

function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}

// Three significant digits, without an exponent where that is short.
function short(value) {
  if (!known(value)) return kNone;
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 999.5) return grouped(value);
  if (size < 1e-4) return value.toExponential(1).replace("e-", "e−");
  return String(Number(value.toPrecision(3)));
}

// 1234567 -> "1,234,567".
function grouped(value) {
  return known(value) ? Math.round(value).toLocaleString("en-US") : kNone;
}

// Powers of 1000.
function bytes(value) {
  if (!known(value)) return kNone;
  let unit = 0;
  while (Math.abs(value) >= 999.5 && unit < 5) {
    value /= 1000;
    ++unit;
  }
  const digits = unit === 0 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
  return digits + " " + ["B", "kB", "MB", "GB", "TB", "PB"][unit];
}

// 75.2 -> "1:15", 4.2 -> "4.2 s".
function duration(seconds) {
  if (!known(seconds)) return kNone;
  if (seconds < 60) return Number(seconds.toPrecision(3)) + " s";
  const whole = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
  return whole < 3600 ? Math.floor(whole / 60) + ":" + two(whole % 60)
    : Math.floor(whole / 3600) + ":" + two(Math.floor(whole / 60) % 60) + ":" + two(whole % 60);
}

function percent(fraction, digits = 1) {
  return known(fraction) ? Number((100 * fraction).toPrecision(digits + 2)) + "%" : kNone;
}

// Of values that are percent already.
function accuracy(value) {
  return known(value) ? value.toFixed(2) + "%" : kNone;
}

function ms(value) {
  return known(value) ? short(value) + " ms" : kNone;
}

function times(value) {
  return known(value) ? short(value) + "×" : kNone;
}

function signed(value, unit) {
  return known(value) ? (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2) + unit : kNone;
}

function mean(values) {
  const there = (values || []).filter(known);
  return there.length ? there.reduce((a, b) => a + b, 0) / there.length : null;
}

function last(values) {
  return values && values.length ? values[values.length - 1] : null;
}
