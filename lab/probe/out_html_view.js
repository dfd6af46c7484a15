/* SPDX-License-Identifier: MIT */
/* Moving about in the timeline: by pointer, touch, wheel, keys and buttons. What is in view is
 * written to the canvas's data-from and data-to, in nanoseconds. */
(function () {
  "use strict";
  var figure = document.querySelector("figure.timeline");
  if (!figure || !document.getElementById("data")) {
    return;
  }
  var LEAST = 2000; /* ns that a screen shows at least */
  var canvas = figure.querySelector(".stage canvas"), strip = figure.querySelector(".strip canvas");
  var told = figure.querySelector(".told"), now = figure.querySelector(".now");
  var model = heddle.load(), view = {from: 0, to: model.length};
  var colours = heddle.readColours(false), box, image = null, asked = false;
  var hidden = model.states.map(function () { return false; });
  var pick = null, at = null, cut = null, pointers = {}, before = null;

  /* ---- what is in view ---- */
  function show(from, to) {
    var width = Math.min(Math.max(to - from, LEAST), model.length);
    var middle = (from + to) / 2;
    view.from = Math.min(Math.max(middle - width / 2, 0), model.length - width);
    view.to = view.from + width;
    refresh();
  }

  function zoom(factor, around) {
    show(around - (around - view.from) * factor, around + (view.to - around) * factor);
  }

  function move(part) {
    var by = (view.to - view.from) * part;
    by = Math.min(Math.max(by, -view.from), model.length - view.to);
    show(view.from + by, view.to + by);
  }

  function middle() {
    return (view.from + view.to) / 2;
  }

  function timeAt(x) {
    return view.from + (x - box.left) / (box.width - box.left) * (view.to - view.from);
  }

  /* ---- drawing ---- */
  function paint() {
    var g, scale;
    asked = false;
    heddle.draw(canvas, model, box, view, colours, hidden, pick, at, cut);
    canvas.setAttribute("data-from", Math.round(view.from));
    canvas.setAttribute("data-to", Math.round(view.to));
    if (!image) {
      image = heddle.drawStrip(strip, model, box, view, colours, hidden);
    }
    g = strip.getContext("2d");
    g.putImageData(image, 0, 0);
    scale = (box.width - box.left) / model.length;
    g.strokeStyle = colours.pick;
    g.lineWidth = 2;
    g.strokeRect(box.left + view.from * scale + 1, 1,
                 Math.max((view.to - view.from) * scale - 2, 2), 32);
    if (!pick) {
      now.textContent = view.to - view.from >= model.length * 0.999
        ? "All of it: " + heddle.duration(model.length)
        : heddle.duration(view.to - view.from) + " from " +
          heddle.moment(view.from, (view.to - view.from) / 100) + " on, of " +
          heddle.duration(model.length);
    }
  }

  function refresh() {
    if (!asked) {
      asked = true;
      window.requestAnimationFrame(paint);
    }
  }

  function measure() {
    var width = canvas.parentNode.clientWidth;
    if (width > 0) {
      box = heddle.layOut(model, width);
      image = null;
      refresh();
    }
  }

  /* ---- words about a span ---- */
  function words(row, i) {
    var track = box.rows[row].track, thread = track.gil ? model.people[track.who[i]] : track;
    var lines = [track.gil ? track.name + ": " + thread.name : thread.name];
    lines.push(model.states[track.state[i]] + " for " +
               heddle.duration(track.end[i] - track.begin[i]) +
               (track.cpu[i] >= 0 ? " on CPU " + track.cpu[i] : ""));
    lines.push("from " + heddle.moment(track.begin[i], 1000) + " on");
    return lines;
  }

  function tell(row, i, x, y) {
    var track = box.rows[row].track, lines = words(row, i), sign = document.createElement("i");
    told.textContent = "";
    lines.forEach(function (line, k) {
      var element = document.createElement(k ? "div" : "b");
      element.textContent = line;
      told.appendChild(element);
    });
    sign.style.background = colours.states[track.state[i]];
    told.children[1].insertBefore(sign, told.children[1].firstChild);
    model.place(track.place[i], 5).forEach(function (line) {
      var code = document.createElement("code");
      code.textContent = line;
      told.appendChild(code);
    });
    told.hidden = false;
    told.style.left = Math.max(0, Math.min(x + 14, box.width - told.offsetWidth - 2)) + "px";
    told.style.top = (y + 18 + told.offsetHeight > box.height + 60 && y > told.offsetHeight + 12
      ? y - told.offsetHeight - 12 : y + 18) + "px";
  }

  function hush() {
    told.hidden = true;
    at = null;
    refresh();
  }

  function rowAt(y) {
    var i;
    for (i = 0; i < box.rows.length; i++) {
      if (y >= box.rows[i].y - 2 && y <= box.rows[i].y + box.rows[i].h + 2) {
        return i;
      }
    }
    return -1;
  }

  function point(x, y) {
    var row = rowAt(y), slack = (view.to - view.from) / (box.width - box.left) * 1.5, i = -1;
    at = x >= box.left ? timeAt(x) : null;
    if (row >= 0 && at !== null) {
      i = heddle.spanAt(box.rows[row].track, at, slack);
    }
    if (i >= 0) {
      tell(row, i, x, y);
    } else {
      told.hidden = true;
    }
    refresh();
  }

  /* Where to look for spans near the chosen one: the middle of what is seen of it. */
  function focus() {
    var track = pick && pick.index >= 0 ? box.rows[pick.row].track : null;
    return track ? (Math.max(track.begin[pick.index], view.from) +
                    Math.min(track.end[pick.index], view.to)) / 2 : middle();
  }

  function choose(row, i) {
    var track = box.rows[row].track, width = view.to - view.from, begin = track.begin[i];
    pick = {row: row, index: i};
    if (i < 0) {
      now.textContent = track.name + ": no span here";
    } else {
      now.textContent = words(row, i).concat(model.place(track.place[i], 1).slice(0, 1)).join(", ");
      if (begin >= view.to || track.end[i] <= view.from) {
        show(begin - width / 3, begin + width * 2 / 3);
      }
    }
    refresh();
  }

  /* The span beside the chosen one, of the same track. */
  function step(by) {
    var row = pick ? pick.row : 0, track = box.rows[row].track, i;
    if (!track.begin.length) {
      return;
    }
    i = pick && pick.index >= 0 ? pick.index + by
      : heddle.firstAfter(track, focus()) - (by < 0 ? 1 : 0);
    choose(row, Math.min(Math.max(i, 0), track.begin.length - 1));
  }

  function chooseTrack(by) {
    var row = pick ? Math.min(Math.max(pick.row + by, 0), box.rows.length - 1) : 0;
    choose(row, heddle.spanAt(box.rows[row].track, focus(), (view.to - view.from) / 2));
  }

  /* Of a thread by its number, or of all. */
  function worst(tid) {
    var best = null;
    model.threads.forEach(function (thread) {
      if (thread.worst_ns && (tid === null || thread.tid === tid) &&
          (!best || thread.worst_ns > best.worst_ns)) {
        best = thread;
      }
    });
    if (!best) {
      return;
    }
    show(best.worst - best.worst_ns * 0.6, best.worst + best.worst_ns * 1.6);
    choose(model.tracks.indexOf(best),
           heddle.spanAt(best, best.worst + best.worst_ns / 2, best.worst_ns));
  }

  /* ---- pointer and touch ---- */
  function place(event) {
    var rect = canvas.getBoundingClientRect();
    return {x: event.clientX - rect.left, y: event.clientY - rect.top};
  }

  function grips() {
    return Object.keys(pointers).map(function (id) { return pointers[id]; });
  }

  function remember() {
    before = {from: view.from, to: view.to, grips: grips().map(function (p) { return p.x; })};
  }

  canvas.addEventListener("pointerdown", function (event) {
    var p = place(event);
    if (event.button > 0) {
      return;
    }
    pointers[event.pointerId] = p;
    p.still = true;
    if (canvas.setPointerCapture) {
      try {
        canvas.setPointerCapture(event.pointerId);
      } catch (ignored) { /* a pointer that a script made up */ }
    }
    if (event.shiftKey && event.pointerType === "mouse") {
      cut = [p.x, p.x];
      canvas.classList.add("cutting");
    } else {
      canvas.classList.add("moving");
    }
    remember();
  });

  canvas.addEventListener("pointermove", function (event) {
    var p = place(event), held = pointers[event.pointerId], each, list;
    if (!held) {
      point(p.x, p.y);
      return;
    }
    held.still = held.still && Math.abs(p.x - held.x) < 4;
    held.x = p.x;
    held.y = p.y;
    if (cut) {
      cut[1] = p.x;
      refresh();
      return;
    }
    list = grips();
    each = (before.to - before.from) / (box.width - box.left);
    told.hidden = true;
    if (list.length === 1 && !held.still) {
      show(before.from + (before.grips[0] - p.x) * each, before.to + (before.grips[0] - p.x) * each);
    } else if (list.length === 2 && before.grips.length === 2) {
      pinch(list, each);
    }
  });

  /* What was under two fingers stays under them. */
  function pinch(list, each) {
    var a = before.from + (before.grips[0] - box.left) * each;
    var b = before.from + (before.grips[1] - box.left) * each;
    var apart = Math.max(Math.abs(list[1].x - list[0].x), 8);
    var wide = Math.abs(b - a) / apart * (box.width - box.left);
    var centre = (list[0].x + list[1].x) / 2;
    var from = (a + b) / 2 - (centre - box.left) / (box.width - box.left) * wide;
    show(from, from + wide);
  }

  function release(event) {
    var held = pointers[event.pointerId], from, to;
    delete pointers[event.pointerId];
    canvas.classList.remove("moving");
    canvas.classList.remove("cutting");
    if (cut) {
      from = timeAt(Math.min(cut[0], cut[1]));
      to = timeAt(Math.max(cut[0], cut[1]));
      if (Math.abs(cut[1] - cut[0]) > 4) {
        show(from, to);
      }
      cut = null;
      refresh();
    } else if (held && held.still && event.type === "pointerup" && rowAt(held.y) >= 0) {
      point(held.x, held.y);
      if (at !== null) {
        choose(rowAt(held.y), heddle.spanAt(box.rows[rowAt(held.y)].track, at,
                                            (view.to - view.from) / 300));
      }
    }
    remember();
  }
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", hush);
  canvas.addEventListener("dblclick", function (event) {
    zoom(0.25, timeAt(Math.max(place(event).x, box.left)));
  });

  canvas.addEventListener("wheel", function (event) {
    var sideways = event.shiftKey ? event.deltaY : event.deltaX;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.008),
           timeAt(Math.max(place(event).x, box.left)));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      move(sideways / box.width);
    }
  }, {passive: false});

  function jump(event) {
    var rect = strip.getBoundingClientRect(), width = view.to - view.from, to;
    if (event.type === "pointermove" && !(event.buttons & 1)) {
      return;
    }
    to = (event.clientX - rect.left - box.left) / (box.width - box.left) * model.length;
    if (width >= model.length * 0.999) { /* the whole: to jump there is to look closer */
      width = model.length / 8;
    }
    to = Math.min(Math.max(to, width / 2), model.length - width / 2);
    show(to - width / 2, to + width / 2);
  }
  strip.addEventListener("pointerdown", jump);
  strip.addEventListener("pointermove", jump);

  /* ---- keys and buttons ---- */
  var acts = {
    "in": function () { zoom(0.5, middle()); }, "out": function () { zoom(2, middle()); },
    left: function () { move(-0.25); }, right: function () { move(0.25); },
    all: function () { pick = null; show(0, model.length); },
    worst: function () { worst(null); },
    up: function () { chooseTrack(-1); }, down: function () { chooseTrack(1); },
    next: function () { step(1); }, previous: function () { step(-1); },
    begin: function () { show(0, view.to - view.from); },
    end: function () { show(model.length - (view.to - view.from), model.length); },
    nothing: function () { pick = null; hush(); }
  };
  var keys = {"+": "in", "=": "in", "-": "out", "_": "out", ArrowLeft: "left", ArrowRight: "right",
              "0": "all", w: "worst", ArrowUp: "up", ArrowDown: "down", n: "next", p: "previous",
              Home: "begin", End: "end", Escape: "nothing"};

  canvas.addEventListener("keydown", function (event) {
    var act = keys[event.key];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      acts[act]();
    }
  });

  function each(selector, act) {
    Array.prototype.forEach.call(document.querySelectorAll(selector), act);
  }
  each(".buttons button", function (button) {
    var act = button.getAttribute("data-act");
    button.addEventListener("click", function () { acts[act](); });
    if (act === "worst") {
      button.hidden = !model.threads.some(function (thread) { return thread.worst_ns; });
    }
  });
  each("button.show", function (button) {
    button.addEventListener("click", function () {
      worst(+button.getAttribute("data-worst"));
      figure.scrollIntoView({block: "start"});
    });
  });
  each(".states-legend button", function (button) {
    button.addEventListener("click", function () {
      var state = +button.getAttribute("data-state");
      hidden[state] = !hidden[state];
      button.setAttribute("aria-pressed", hidden[state] ? "false" : "true");
      image = null;
      refresh();
    });
  });

  /* ---- size, colours, paper ---- */
  function recolour(paper) {
    colours = heddle.readColours(paper);
    image = null;
  }
  window.addEventListener("resize", measure);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () {
    recolour(false);
    refresh();
  });
  window.addEventListener("beforeprint", function () {
    each("details", function (details) { details.open = true; });
    at = pick = null;
    recolour(true);
    paint();
  });
  window.addEventListener("afterprint", function () {
    recolour(false);
    refresh();
  });
  measure();
}());
