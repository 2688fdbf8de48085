#!/usr/bin/env bash
# Opens reports of `cddp report` in headless Chromium, as a file, and tries them: no errors in
# the console, nothing loaded from elsewhere, charts that are drawn, show values under the
# pointer, zoom and come back, runs and colours that can be switched, the size, and the time
# until all is drawn.
#
#   scripts/check_report.sh [--limit-ms N] REPORT.html...     the time's limit, 1000 unless said
#
# Ends with 0 when all holds, 1 when something does not, 2 for wrong use, 77 without Chromium.
set -Eeuo pipefail

limit_ms=1000
most_bytes=3000000
if [ "${1:-}" = --limit-ms ] && [ $# -ge 2 ]; then
  limit_ms=$2
  shift 2
fi
if [ $# -eq 0 ]; then
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
fi
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
  echo "Skipped: there is no chromium here (Debian: apt-get install chromium)."
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/early.html" <<'EARLY'
<script>
window.errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => errors.push("blocked " + event.blockedURI));
for (const kind of ["error", "warn"]) console[kind] = (...words) => errors.push(words.join(" "));
</script>
EARLY

cat >"$work/clock.html" <<'CLOCK'
<script>document.body.insertAdjacentText("beforeend", "opened-ms=" + Math.round(performance.now()) + ";");</script>
CLOCK

cat >"$work/probe.html" <<'PROBE'
<pre id="check" style="white-space: pre-wrap; overflow-wrap: anywhere"></pre>
<script>
addEventListener("load", async () => {
  const say = (what, holds) => { check.append((holds ? "ok " : "FAILED ") + what + "\n"); };
  const check = document.getElementById("check");
  const frames = async () => {
    for (let i = 0; i < 3; ++i) await new Promise((resolve) => setTimeout(resolve, 40));
  };
  const tip = document.getElementById("tip");
  const drawn = () => [...document.querySelectorAll(".uplot canvas")].filter((canvas) =>
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0)).length;
  const pressed = (button) => button.getAttribute("aria-pressed") === "true";
  await frames();
  say("the page has a title: " + document.title, document.querySelector("h1").textContent.length > 0);
  const count = document.querySelectorAll(".plot").length;
  say(count + " charts are drawn", count > 0 && drawn() === count);

  for (const over of document.querySelectorAll(".u-over")) {
    over.scrollIntoView({block: "center"});
    // Scrolling hides what is shown, and its event may come late: then the pointer moves again.
    await frames();
    const box = over.getBoundingClientRect();
    const at = (share) => ({bubbles: true, clientX: box.left + share * box.width, clientY: box.top + 30, buttons: 0});
    over.dispatchEvent(new MouseEvent("mouseenter", at(0.7)));
    for (let tries = 0; tries < 10 && tip.hidden; ++tries) {
      over.dispatchEvent(new MouseEvent("mousemove", at(0.7)));
      await frames();
    }
    const title = over.closest(".card").querySelector("h3").textContent;
    say("values under the pointer: " + title, !tip.hidden && /\d/.test(tip.querySelector("td:last-child").textContent));
    over.dispatchEvent(new MouseEvent("mouseleave", at(0.7)));
    say("and none when it has left", tip.hidden);
  }

  const over = document.querySelector(".u-over");
  over.scrollIntoView({block: "center"});
  for (let i = 0; i < 4; ++i) await frames();
  const box = over.getBoundingClientRect();
  const reset = [...document.querySelectorAll("button")].find((button) => button.textContent === "Reset zoom");
  const mouse = (target, kind, share, buttons) => target.dispatchEvent(new MouseEvent(kind, {
    bubbles: true, button: 0, buttons, movementX: 9, clientX: box.left + share * box.width, clientY: box.top + 30}));
  mouse(over, "mousemove", 0.3, 0);
  mouse(over, "mousedown", 0.3, 1);
  mouse(over, "mousemove", 0.6, 1);
  await frames();
  mouse(document, "mouseup", 0.6, 0);
  await frames();
  say("dragging zooms", !reset.hidden);
  mouse(over, "dblclick", 0.5, 0);
  await frames();
  say("a double click goes back", reset.hidden);

  for (const button of document.querySelectorAll(".axis .choice button")) {
    button.click();
    await frames();
    say("over " + button.textContent, pressed(button) && drawn() > 0);
  }
  const run = document.querySelector(".legend button");
  if (run) {
    const hidden = () => document.querySelectorAll("[data-off]").length;
    run.click();
    await frames();
    say("a run goes", !pressed(run) && hidden() > 0);
    run.click();
    await frames();
    say("and comes back", pressed(run) && hidden() === 0);
  }
  const theme = document.querySelector("header button"), grounds = new Set();
  for (let i = 0; i < 3; ++i) {
    theme.click();
    await frames();
    grounds.add(getComputedStyle(document.body).backgroundColor);
  }
  say("light and dark", grounds.size === 2);
  for (const group of document.querySelectorAll("section .choice")) group.lastElementChild.click();
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  await frames();
  say("nothing is wider than the window", document.documentElement.scrollWidth <= innerWidth);
  say("nothing comes from elsewhere", performance.getEntriesByType("resource").length === 0);
  say("no errors " + errors.join("; "), errors.length === 0);
  check.append("done\n");
});
</script>
PROBE

# dom PART SIZE OPTIONS...: the page $report with the part in it, as it is after it ran.
dom() {
  local part=$1 size=$2 sandbox=()
  shift 2
  [ "$(id -u)" -eq 0 ] && sandbox=(--no-sandbox)
  sed -e "/^<head>\$/r $work/early.html" -e "/^<\/body>\$/{
    r $work/$part.html
    N
  }" "$report" >"$work/page.html"
  timeout 120 "$browser" --headless "${sandbox[@]}" --user-data-dir="$work/profile" --disable-gpu \
    --window-size="$size" "$@" --dump-dom "file://$work/page.html" 2>/dev/null
}

status=0
for report in "$@"; do
  echo "== $report"
  bytes=$(stat -c %s "$report")
  if [ "$bytes" -ge $most_bytes ]; then
    echo "FAILED it has $bytes bytes, the limit is $most_bytes"
    status=1
  fi
  # The first start of a browser makes its profile.
  dom clock 1400,900 >/dev/null
  opened=$(dom clock 1400,900 | grep -o 'opened-ms=[0-9]*' | grep -o '[0-9]*' || echo 999999)
  echo "$bytes bytes, drawn after $opened ms"
  if [ "$opened" -gt "$limit_ms" ]; then
    echo "FAILED the limit is $limit_ms ms"
    status=1
  fi
  for size in 1400,900 500,900; do
    said=$(dom probe $size --virtual-time-budget=60000 | sed -n '/<pre id="check"/,/<\/pre>/p' |
      sed 's/<[^>]*>//g')
    echo "$said" | grep '^FAILED' | sed "s/\$/ ($size)/" && status=1
    if ! grep -q '^done' <<<"$said"; then
      echo "FAILED the check did not come to its end ($size)"
      status=1
    fi
    echo "$(grep -c '^ok' <<<"$said" || true) checks hold at $size"
  done
done
exit $status
