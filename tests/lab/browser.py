#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Looks at the pages in a real browser: headless Chromium. Prints TAP.

    browser.py HTML-SAMPLE PROBE-PAGE DIRECTORY [PATTERN...]     patterns choose tests by name

The pages and the screenshots stay in the directory, for people to look at. Skipped where there is
no Chromium; nothing is fetched from a network.
"""

import collections
import html.parser
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

sys.dont_write_bytecode = True

from harness import Skip, check, check_eq, check_in, main, test  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
SAMPLE = DIRECTORY = None
WIDTHS = {"desktop": 1100, "phone": 390}
HIGHEST = 14000  # of a screenshot
BYTES_MOST = 1000000

# The browser's window is never narrower than 500 pixels, so the page stands in a frame; what its
# probe saw comes as a message.
FRAME = """<!DOCTYPE html><html><head><meta charset="utf-8">
<meta name="color-scheme" content="light dark"><script>
window.addEventListener("message", function (e) {
  document.documentElement.setAttribute("data-seen", e.data);
});</script></head><body style="margin:0">
<iframe style="border:0;width:%dpx;height:%dpx" src="%s"></iframe></body></html>
"""

# Before everything else in the page: keeps what goes wrong. Frames are not made where nothing is
# shown, so what waits for one goes on without.
CATCH = """<script>window.wrong = [];
window.requestAnimationFrame = function (act) { return setTimeout(act, 5); };
window.addEventListener("error", function (e) { window.wrong.push(String(e.message)); });
console.error = function () { window.wrong.push(Array.prototype.join.call(arguments, " ")); };
</script>"""

# After everything else: what a test wants to know.
PROBE = """<script>
(function () {
  var root = document.documentElement;
  function all(what) { return Array.prototype.slice.call(document.querySelectorAll(what)); }
  var before = all("figure .plot svg").length, height = root.scrollHeight;
  all("details").forEach(function (d) { d.open = true; });
  window.dispatchEvent(new Event("beforeprint"));
  var seen = {};
  seen.wrong = window.wrong;
  seen.width = window.innerWidth;
  seen.overflow = root.scrollWidth - root.clientWidth;
  seen.figures = all("figure[data-chart]").length;
  seen.before = before;
  seen.drawn = all("figure[data-chart] .plot > svg").length;
  seen.empty = all("figure[data-chart] .plot > svg").filter(function (svg) {
    return svg.querySelectorAll("path, circle, rect.bar, line.interval").length < 1;
  }).length;
  seen.outside = all("figure[data-chart] .plot > svg text").filter(function (t) {
    var r = t.getBoundingClientRect(), f = t.closest("figure").getBoundingClientRect();
    return r.width > 0 && (r.left < f.left - 1 || r.right > f.right + 1);
  }).map(function (t) { return t.textContent; });
  seen.buttons = all(".repeat button").length;
  seen.repeats = all(".repeat").length;
  seen.background = getComputedStyle(document.body).backgroundColor;
  seen.ink = getComputedStyle(document.body).color;
  all("script").forEach(function (s) { s.remove(); });
  seen.height = height;
  seen.dom = document.body.innerHTML;
  window.parent.postMessage(JSON.stringify(seen), "*");
}());
</script>"""


def chromium():
    for name in NAMES:
        if shutil.which(name):
            return shutil.which(name)
    raise Skip("there is no Chromium (Debian: chromium)")


def run(place, page, size, dark, height, *options):
    """Standard output of the browser, which opens the page in a profile of its own."""
    profile = tempfile.mkdtemp(dir=place.root)
    frame = os.path.join(profile, "frame.html")
    with open(frame, "w") as f:
        f.write(FRAME % (WIDTHS[size], height, "file://" + page))
    line = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking",
            "--user-data-dir=" + profile, "--virtual-time-budget=2000",
            "--blink-settings=preferredColorScheme=%d" % (0 if dark else 1),
            "--window-size=%d,%d" % (WIDTHS[size], height)]
    p = subprocess.run(line + list(options) + ["file://" + frame], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100,
                       env=dict(os.environ, HOME=place.path("home")))
    check_eq(p.returncode, 0, p.stderr.decode("utf-8", "replace")[-2000:])
    return p.stdout.decode("utf-8")


def make(kind):
    """Writes the page and returns its path."""
    path = os.path.join(DIRECTORY, kind + ".html")
    subprocess.run([SAMPLE, kind, path], check=True, timeout=60)
    return path


class Element(html.parser.HTMLParser):
    """The attributes of the first element, which is the whole page."""

    def __init__(self, text):
        html.parser.HTMLParser.__init__(self)
        self.found = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if self.found is None:
            self.found = dict(attrs)


def look_at(place, path, size, dark, probe):
    """What the probe saw of the page."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    name = os.path.basename(path)
    check(len(text.encode()) < BYTES_MOST, "%s has %d bytes" % (name, len(text.encode())))
    text = text.replace("<head>", "<head>" + CATCH, 1).replace("</body>", probe + "</body>", 1)
    page = place.write(name, text)
    seen = Element(run(place, page, size, dark, 1000, "--dump-dom")).found
    check_in("data-seen", seen, "the page's probe did not run")
    return json.loads(seen["data-seen"])


def look(place, kind, size, dark):
    return look_at(place, make(kind), size, dark, PROBE)


def image(path):
    """Width, height and how many byte values a PNG has."""
    with open(path, "rb") as f:
        data = f.read()
    check_eq(data[:8], b"\x89PNG\r\n\x1a\n")
    size, at, packed = struct.unpack(">II", data[16:24]), 8, b""
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at:at + 8])
        if name == b"IDAT":
            packed += data[at + 8:at + 8 + length]
        at += length + 12
    return size[0], size[1], len(collections.Counter(zlib.decompress(packed)))


def chart_library():
    """Whether the pages have charts: the command may be built without them."""
    with open(make("report"), encoding="utf-8") as f:
        if "Michael Bostock" not in f.read():
            raise Skip("built without libjs-d3: the pages have no charts")


def brightness(colour):
    return sum(int(n) for n in colour[4:-1].split(","))


def all_is_drawn(place, kind, size, dark, parts):
    """Checks a page, and keeps a screenshot of it."""
    chart_library()
    seen = look(place, kind, size, dark)
    check_eq(seen["wrong"], [])
    check_eq(seen["width"], WIDTHS[size])
    check(seen["overflow"] <= 0, "the page is %d px wider than the screen" % seen["overflow"])
    check(seen["figures"] > 0 and seen["before"] > 0, "no figure is drawn")
    check_eq(seen["drawn"], seen["figures"])
    check_eq(seen["empty"], 0)
    check_eq(seen["outside"], [])
    check_eq(seen["buttons"], seen["repeats"])
    check(seen["repeats"] > 0, "no command to repeat")
    for word in ("NaN", "Infinity", "undefined"):
        check(word not in seen["dom"], "%s in the drawn page" % word)
    for part in parts:
        check_in('class="%s"' % part, seen["dom"])
    paper, ink = brightness(seen["background"]), brightness(seen["ink"])
    check(paper < 150 < 450 < ink if dark else ink < 150 < 600 < paper, "%d on %d" % (ink, paper))

    picture(place, make(kind), size, dark, "%s-%s%s.png" % (kind, size, "-dark" if dark else ""),
            min(seen["height"], HIGHEST))


def picture(place, page, size, dark, name, high):
    """Keeps a screenshot, which is not empty."""
    path = os.path.join(DIRECTORY, name)
    run(place, page, size, dark, high, "--screenshot=" + path)
    width, height, values = image(path)
    check_eq((width, height), (WIDTHS[size], high), name)
    check(values > 30, "%s is empty: %d values of a byte" % (name, values))


@test
def a_report_is_drawn_on_a_desktop(place):
    all_is_drawn(place, "report", "desktop", False, ("violin", "ideal", "line", "legend"))


@test
def a_report_is_drawn_on_a_phone_in_the_dark(place):
    all_is_drawn(place, "report", "phone", True, ("violin", "ideal", "line", "legend"))


@test
def a_diff_is_drawn_on_a_desktop(place):
    all_is_drawn(place, "diff", "desktop", False, ("tone-bad", "margin", "side-a", "side-b"))


@test
def a_diff_is_drawn_on_a_phone_in_the_dark(place):
    all_is_drawn(place, "diff", "phone", True, ("tone-bad", "margin"))


@test
def a_report_prints(place):
    path = os.path.join(DIRECTORY, "report.pdf")
    run(place, make("report"), "desktop", False, 1000, "--no-pdf-header-footer",
        "--print-to-pdf=" + path)
    with open(path, "rb") as f:
        data = f.read()
    check_eq(data[:5], b"%PDF-")
    check(data.count(b"/Type /Page\n") >= 1, "no page in %d bytes" % len(data))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.modules["browser"] = sys.modules["__main__"]
    import browser_probe

    SAMPLE, browser_probe.PROGRAM, DIRECTORY = map(os.path.abspath, sys.argv[1:4])
    os.makedirs(DIRECTORY, exist_ok=True)
    main([sys.argv[0], SAMPLE] + sys.argv[4:])
