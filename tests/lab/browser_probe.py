# SPDX-License-Identifier: MIT
"""The pages of probes in a browser: the timeline is drawn, and moves by keys, pointer, touch and
buttons."""

import os
import re
import subprocess
import zlib

import browser

from harness import check, check_eq, check_in, test

PROGRAM = None  # writes the pages

# What is done to the timeline, and what is seen of it, one after the other; `canvas` is its canvas,
# view() what it shows, and frames pass between steps.
PROBE = """<script>
(function () {
  var canvas = document.querySelector(".stage canvas"), seen = {}, at = 0;
  function key(name) {
    canvas.dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true}));
  }
  function pointer(type, x, y, more) {
    var r = canvas.getBoundingClientRect(), init = {bubbles: true, pointerId: 1, button: 0,
      pointerType: "mouse", clientX: r.left + x, clientY: r.top + y};
    Object.keys(more || {}).forEach(function (k) { init[k] = more[k]; });
    canvas.dispatchEvent(new PointerEvent(type, init));
  }
  function wheel(dy, more) {
    var r = canvas.getBoundingClientRect(), init = {bubbles: true, cancelable: true, deltaY: dy,
      clientX: r.left + 500, clientY: r.top + 40};
    Object.keys(more || {}).forEach(function (k) { init[k] = more[k]; });
    return canvas.dispatchEvent(new WheelEvent("wheel", init));
  }
  function view() {
    return [+canvas.getAttribute("data-from"), +canvas.getAttribute("data-to")];
  }
  function text(what) { return document.querySelector(what).textContent; }
  /* How many colours the tracks have. */
  function colours() {
    var d = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    var found = {}, i;
    for (i = 0; i < d.length; i += 4) { found[d[i] + "," + d[i + 1] + "," + d[i + 2]] = 1; }
    return Object.keys(found).length;
  }
  var steps = [%s];
  function next() {
    if (at < steps.length) {
      steps[at++]();
      setTimeout(next, 40);
      return;
    }
    var root = document.documentElement, paper = getComputedStyle(document.body);
    seen.wrong = window.wrong;
    seen.width = window.innerWidth;
    seen.overflow = root.scrollWidth - root.clientWidth;
    seen.background = paper.backgroundColor;
    seen.ink = paper.color;
    seen.height = root.scrollHeight;
    window.parent.postMessage(JSON.stringify(seen), "*");
  }
  setTimeout(next, 100);
}());
</script>"""

WHOLE = ["seen.whole = view()", "seen.colours = colours()",
         "seen.canvas = canvas.getBoundingClientRect().width",
         "seen.status = text('.now')"]


def make(kind):
    path = os.path.join(browser.DIRECTORY, "probe-%s.html" % kind)
    subprocess.run([PROGRAM, kind, "html", path], check=True, timeout=60)
    return path


def look(place, kind, size, dark, steps):
    return browser.look_at(place, make(kind), size, dark,
                           PROBE % ", ".join("function () { %s; }" % s for s in steps))


def is_sound(seen, size, dark):
    check_eq(seen["wrong"], [])
    check_eq(seen["width"], browser.WIDTHS[size])
    check(seen["overflow"] <= 0, "the page is %d px wider than the screen" % seen["overflow"])
    paper, ink = browser.brightness(seen["background"]), browser.brightness(seen["ink"])
    check(paper < 150 < 450 < ink if dark else ink < 150 < 600 < paper, "%d on %d" % (ink, paper))


def is_drawn(place, kind, size, dark, colours):
    """The whole of it, and a screenshot for people."""
    seen = look(place, kind, size, dark, WHOLE)
    is_sound(seen, size, dark)
    check_eq(seen["whole"][0], 0)
    check(seen["colours"] >= colours, "%d colours in the timeline" % seen["colours"])
    check(seen["canvas"] > browser.WIDTHS[size] * 0.7, "it is %d px wide" % seen["canvas"])
    check_in("All of it", seen["status"])
    name = "probe-%s-%s%s.png" % (kind, size, "-dark" if dark else "")
    browser.picture(place, make(kind), size, dark, name, min(seen["height"], browser.HIGHEST))


@test
def a_timeline_is_drawn_on_a_desktop(place):
    is_drawn(place, "gil", "desktop", False, 8)


@test
def a_timeline_is_drawn_on_a_phone_in_the_dark(place):
    is_drawn(place, "gil", "phone", True, 8)


@test
def a_timeline_of_many_threads_is_drawn(place):
    is_drawn(place, "many", "desktop", True, 12)


@test
def a_timeline_without_a_lock_is_drawn(place):
    is_drawn(place, "threads", "phone", False, 6)


@test
def pages_of_evil_names_and_of_nothing_are_sound(place):
    for kind in ("evil", "empty"):
        is_sound(look(place, kind, "phone", False, ["seen.title = document.title"]), "phone", False)


@test
def keys_move_zoom_and_choose(place):
    seen = look(place, "gil", "desktop", False, [
        "seen.whole = view()", "key('+')", "seen.near = view(); key('ArrowRight')",
        "seen.right = view(); key('Home')", "seen.home = view(); key('-')",
        "seen.out = view(); key('w')", "seen.worst = view(); seen.said = text('.now'); key('p')",
        "seen.before = text('.now'); key('0')", "seen.all = view(); key('ArrowDown')",
        "seen.track = text('.now'); key('ArrowDown')", "seen.below = text('.now')"])
    is_sound(seen, "desktop", False)
    whole = seen["whole"][1]
    check_eq(seen["near"], [whole // 4, whole - whole // 4])
    check_eq(seen["right"], [whole * 3 // 8, whole * 7 // 8])
    check_eq(seen["home"], [0, whole // 2])
    check_eq(seen["out"], seen["whole"])
    check(seen["worst"][1] - seen["worst"][0] < whole / 50, "%s" % seen["worst"])
    check_in("io, waits for 10", seen["said"])
    check_in("echo (app.py:40)", seen["said"])
    check_in("io, blocked", seen["before"])
    check_eq(seen["all"], seen["whole"])
    check_in("GIL: ", seen["track"])
    check_in("python3", seen["below"])


@test
def pointer_wheel_and_buttons_move_and_zoom(place):
    seen = look(place, "gil", "desktop", False, [
        "document.querySelector('[data-act=in]').click()",
        "seen.near = view(); pointer('pointerdown', 500, 60); pointer('pointermove', 600, 60)",
        "seen.dragged = view(); pointer('pointerup', 600, 60)",
        "pointer('pointerdown', 300, 60, {shiftKey: true}); pointer('pointermove', 400, 60)",
        "pointer('pointerup', 400, 60)", "seen.cut = view(); seen.kept = wheel(-60)",
        "seen.scrolled = view(); seen.taken = !wheel(-60, {ctrlKey: true})",
        "seen.wheeled = view(); document.querySelector('[data-worst=\"4243\"]').click()",
        "seen.shown = text('.now'); document.querySelector('[data-act=all]').click()",
        "seen.all = view(); seen.before = colours()",
        "document.querySelector('.states-legend [data-state=\"3\"]').click()",
        "seen.after = colours(); pointer('pointermove', 600, 130)",
        "seen.told = text('.told'); seen.hidden = document.querySelector('.told').hidden"])
    is_sound(seen, "desktop", False)
    check(seen["dragged"][0] < seen["near"][0], "%s after %s" % (seen["dragged"], seen["near"]))
    check_eq(seen["dragged"][1] - seen["dragged"][0], seen["near"][1] - seen["near"][0])
    check(seen["cut"][1] - seen["cut"][0] < (seen["near"][1] - seen["near"][0]) / 4, seen["cut"])
    check_eq(seen["scrolled"], seen["cut"], "the wheel alone belongs to the page")
    check(seen["kept"] and seen["taken"], "%s %s" % (seen["kept"], seen["taken"]))
    check(seen["wheeled"][1] - seen["wheeled"][0] < seen["cut"][1] - seen["cut"][0])
    check_in("worker-1, waits for 5", seen["shown"])
    check_eq(seen["all"][0], 0)
    check(seen["after"] < seen["before"], "%d colours, then %d" % (seen["before"], seen["after"]))
    check(not seen["hidden"], "nothing is told of what is under the pointer")
    check_in("price (app.py:", seen["told"])


@test
def two_fingers_zoom(place):
    touch = "{pointerType: 'touch', pointerId: %d}"
    seen = look(place, "gil", "phone", True, [
        "seen.whole = view(); pointer('pointerdown', 180, 60, %s)" % (touch % 1),
        "pointer('pointerdown', 220, 60, %s)" % (touch % 2),
        "pointer('pointermove', 140, 60, %s)" % (touch % 1),
        "pointer('pointermove', 260, 60, %s)" % (touch % 2),
        "seen.near = view(); pointer('pointerup', 140, 60, %s)" % (touch % 1),
        "pointer('pointerup', 260, 60, %s)" % (touch % 2), "seen.still = view()"])
    is_sound(seen, "phone", True)
    ratio = (seen["whole"][1] - seen["whole"][0]) / (seen["near"][1] - seen["near"][0])
    check(2.9 < ratio < 3.1, "three times as far apart, %.2f times as near" % ratio)
    check_eq(seen["still"], seen["near"])


def rectangles(pdf):
    """How many are drawn."""
    count = 0
    for stream in re.finditer(rb"stream\r?\n", pdf):
        try:
            count += zlib.decompressobj().decompress(pdf[stream.end():]).count(b" re\n")
        except zlib.error:
            pass  # a stream of another kind
    return count


@test
def a_timeline_prints(place):
    path = os.path.join(browser.DIRECTORY, "probe.pdf")
    browser.run(place, make("gil"), "desktop", True, 1000, "--no-pdf-header-footer",
                "--print-to-pdf=" + path)
    with open(path, "rb") as f:
        data = f.read()
    check_eq(data[:5], b"%PDF-")
    check(b"/Subtype /Image" in data or rectangles(data) > 300, "no timeline on the paper")
