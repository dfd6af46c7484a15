/* SPDX-License-Identifier: MIT */
/* Draws tracks into a canvas. A column of pixels that several spans share is divided among their
 * states in proportion, from the bottom up, so that a picture is true at every zoom. */
(function () {
  "use strict";
  var STATES = heddle.states.count, COLOURS = 10;
  var names = ["--st-none", "--st-holds", "--st-off", "--st-waits", "--st-on", "--st-runnable",
               "--st-blocked"];

  /* All colours come from the style sheet; on paper those of the light one. */
  heddle.readColours = function (paper) {
    var probe = document.createElement("span"), style, i;
    var read = function (name) { return style.getPropertyValue(name).trim(); };
    probe.className = paper ? "light" : "";
    document.body.appendChild(probe);
    style = getComputedStyle(probe);
    var c = {states: names.map(read), own: [], ink: read("--ink"), faint: read("--faint"),
             rule: read("--rule"), sheet: read("--sheet"), grid: read("--grid"),
             pick: read("--pick"), unknown: read("--st-unknown")};
    for (i = 0; i < COLOURS; i++) {
      c.own.push(read("--own-" + i));
    }
    document.body.removeChild(probe);
    return c;
  };

  /* A canvas of so many CSS pixels, sharp on every screen. */
  heddle.fit = function (canvas, width, height) {
    var ratio = window.devicePixelRatio || 1, g = canvas.getContext("2d");
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = height + "px";
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    return g;
  };

  /* Where things are: a column of names, an axis on top, tracks of a height that fits their number;
   * those with the GIL are higher. */
  heddle.layOut = function (model, width) {
    var many = model.threads.length, rows = [], y = 26, small = width < 520;
    var h = many <= 10 ? 26 : many <= 24 ? 20 : many <= 50 ? 15 : 11;
    model.tracks.forEach(function (track) {
      var high = track.gil ? Math.max(h, 24) : h;
      rows.push({track: track, y: y, h: high - (high > 12 ? 4 : 2)});
      y += high + (track.gil ? 6 : 0);
    });
    return {rows: rows, left: Math.min(small ? 78 : 150, width * 0.28), width: width,
            height: y + 2, font: h > 13 ? 12 : 9};
  };

  function bucketOf(model, track, i) {
    return track.gil ? model.people[track.who[i]].colour : track.state[i];
  }

  function stack(g, sums, colours, x, y, w, h) {
    var at = y + h, s, high;
    for (s = 0; s < sums.length; s++) {
      if (sums[s] > 0) {
        high = Math.min(sums[s], 1) * h;
        g.fillStyle = colours[s];
        g.fillRect(x, at - high, w, high);
        at -= high;
      }
    }
  }

  /* What is known of old times: shares of a slice. */
  function drawSlices(g, model, row, box, view, colours) {
    var slices = model.slices, scale = (box.width - box.left) / (view.to - view.from), k, x0, x1;
    var kinds = colours.length;
    for (k = 0; k < slices.count; k++) {
      x0 = Math.max(0, (slices.from + k * slices.each - view.from) * scale);
      x1 = Math.min((slices.from + (k + 1) * slices.each - view.from) * scale,
                    (model.exact - view.from) * scale, box.width - box.left);
      if (x1 > x0) {
        stack(g, row.track.shares.subarray(k * kinds, (k + 1) * kinds), colours, box.left + x0,
              row.y, x1 - x0 + 0.3, row.h);
      }
    }
  }

  /* How wide columns are: where spans are narrower than pixels, several, since single ones would
   * show patterns that come from the screen, not from the threads. */
  function columnWidth(track, first, view, room) {
    var count = heddle.firstAfter(track, view.to) - first;
    return count > room ? 8 : count > room / 3 ? 4 : 1;
  }

  function drawTrack(g, model, row, box, view, colours, hidden) {
    var track = row.track, room = box.width - box.left, i = heddle.firstAfter(track, view.from);
    var wide = columnWidth(track, i, view, room), n = Math.ceil(room / wide) + 1;
    var scale = room / (view.to - view.from) / wide, kinds = colours.length;
    var columns = new Float32Array(n * kinds), touched = new Uint8Array(n), a, b, first, last;
    var bucket;
    function add(column, part) {
      if (part > 0 && column >= 0 && column < n) {
        columns[column * kinds + bucket] += part;
        touched[column] = 1;
      }
    }
    for (; i < track.begin.length && track.begin[i] < view.to; i++) {
      if (hidden[track.state[i]]) {
        continue;
      }
      a = Math.max(0, (track.begin[i] - view.from) * scale);
      b = Math.min(room / wide, (track.end[i] - view.from) * scale);
      first = Math.floor(a);
      last = Math.floor(b);
      bucket = bucketOf(model, track, i);
      if (first === last) {
        add(first, b - a);
        continue;
      }
      add(first, first + 1 - a);
      add(last, b - last);
      if (last > first + 1) {
        g.fillStyle = colours[bucket];
        g.fillRect(box.left + (first + 1) * wide, row.y, (last - first - 1) * wide, row.h);
      }
    }
    for (i = 0; i < n; i++) {
      if (touched[i]) {
        a = i * wide;
        b = Math.min(wide, room - a); /* the last one may be narrower, and full all the same */
        stack(g, Array.prototype.map.call(columns.subarray(i * kinds, (i + 1) * kinds),
                                          function (v) { return v * wide / b; }),
              colours, box.left + a, row.y, b, row.h);
      }
    }
  }

  /* Who has it, in words, where a span has room for them; and stripes where its holder is off. */
  function drawHolders(g, model, row, box, view, c) {
    var track = row.track, scale = (box.width - box.left) / (view.to - view.from), i, a, b, name, x;
    g.font = "600 11px system-ui, sans-serif";
    g.textBaseline = "middle";
    for (i = heddle.firstAfter(track, view.from); i < track.begin.length; i++) {
      if (track.begin[i] >= view.to) {
        break;
      }
      a = box.left + Math.max(0, (track.begin[i] - view.from) * scale);
      b = box.left + Math.min(box.width - box.left, (track.end[i] - view.from) * scale);
      if (track.state[i] === heddle.states.off && b - a > 3) {
        g.strokeStyle = c.sheet;
        g.lineWidth = 1.5;
        g.beginPath();
        for (x = a; x < b; x += 6) {
          g.moveTo(x, row.y + row.h);
          g.lineTo(Math.min(x + row.h * 0.6, b), row.y);
        }
        g.stroke();
      }
      name = model.people[track.who[i]].name;
      if (b - a > 24 && g.measureText(name).width + 10 < b - a) {
        g.fillStyle = c.sheet;
        g.fillText(name, a + 5, row.y + row.h / 2 + 0.5);
      }
    }
  }

  function fitText(g, text, room) {
    var n = text.length;
    if (g.measureText(text).width <= room) {
      return text;
    }
    while (n > 1 && g.measureText(text.slice(0, n) + "\u2026").width > room) {
      n--;
    }
    return text.slice(0, n) + "\u2026";
  }

  function drawName(g, row, box, c, chosen) {
    var middle = row.y + row.h / 2 + 0.5, x = 4;
    g.font = (row.track.gil || chosen ? "600 " : "") + box.font + "px system-ui, sans-serif";
    g.textBaseline = "middle";
    g.textAlign = "left";
    if (!row.track.gil) {
      g.fillStyle = c.own[row.track.colour];
      g.beginPath();
      g.arc(8, middle, box.font > 10 ? 4 : 2.5, 0, 7);
      g.fill();
      x = box.font > 10 ? 18 : 14;
    }
    g.fillStyle = chosen ? c.pick : c.ink;
    g.fillText(fitText(g, row.track.name, box.left - x - 6), x, middle);
  }

  heddle.ticks = function (view, room) {
    var raw = (view.to - view.from) / Math.max(2, Math.floor(room / 96)), list = [], at;
    var step = Math.pow(10, Math.floor(Math.log(raw) / Math.LN10));
    step *= raw / step > 5 ? 10 : raw / step > 2 ? 5 : raw / step > 1 ? 2 : 1;
    for (at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
      list.push(at);
    }
    return {step: step, list: list};
  };

  function drawAxis(g, box, view, c) {
    var room = box.width - box.left, ticks = heddle.ticks(view, room);
    g.font = "11px system-ui, sans-serif";
    g.textBaseline = "alphabetic";
    g.textAlign = "left";
    ticks.list.forEach(function (at) {
      var x = box.left + (at - view.from) / (view.to - view.from) * room;
      var text = heddle.moment(at, ticks.step);
      g.fillStyle = c.grid;
      g.fillRect(Math.round(x), 16, 1, box.height - 16);
      if (x + g.measureText(text).width < box.width) {
        g.fillStyle = c.faint;
        g.fillText(text, x + 3, 13);
      }
    });
  }

  /* Everything of the timeline: `view` has from and to, `pick` the row and index of a span, `at` a
   * moment under the pointer, `cut` the two ends of a stretch that is being chosen. */
  heddle.draw = function (canvas, model, box, view, c, hidden, pick, at, cut) {
    var g = heddle.fit(canvas, box.width, box.height), room = box.width - box.left;
    var x = function (ns) { return box.left + (ns - view.from) / (view.to - view.from) * room; };
    var shown = c.states.map(function (name, s) { return hidden[s] ? "transparent" : name; });
    box.rows.forEach(function (row, i) {
      if (view.from < model.known) {
        g.fillStyle = c.unknown;
        g.fillRect(box.left, row.y, Math.min(x(model.known), box.width) - box.left, row.h);
      }
      if (row.track.shares && view.from < model.exact) {
        drawSlices(g, model, row, box, view, row.track.gil ? c.own : shown);
      }
      drawTrack(g, model, row, box, view, row.track.gil ? c.own : shown, hidden);
      if (row.track.gil) {
        drawHolders(g, model, row, box, view, c);
      }
      drawName(g, row, box, c, pick && pick.row === i);
    });
    drawAxis(g, box, view, c);
    if (pick && pick.index >= 0) {
      var row = box.rows[pick.row], track = row.track;
      var left = Math.max(box.left, x(track.begin[pick.index]));
      var right = Math.min(box.width, x(track.end[pick.index]));
      g.strokeStyle = c.pick;
      g.lineWidth = 2;
      if (right >= left) {
        g.strokeRect(left - 1, row.y - 1.5, Math.max(right - left, 1) + 2, row.h + 3);
      }
    }
    if (cut) {
      g.globalAlpha = 0.18;
      g.fillStyle = c.pick;
      g.fillRect(Math.min(cut[0], cut[1]), 16, Math.abs(cut[1] - cut[0]), box.height - 16);
      g.globalAlpha = 1;
    }
    if (at !== null && at >= view.from && at <= view.to) {
      g.fillStyle = c.pick;
      g.fillRect(Math.round(x(at)), 16, 1, box.height - 16);
    }
  };

  /* All of the time in a strip, the threads' states on top of each other. */
  heddle.drawStrip = function (canvas, model, box, view, c, hidden) {
    var h = 34, g = heddle.fit(canvas, box.width, h), wide = 3;
    var room = Math.floor((box.width - box.left) / wide), each = model.length / room;
    var sums = new Float32Array(room * STATES), n, x, s, k;
    function add(from, to, state, weight) {
      for (x = Math.max(0, Math.floor(from / each)); x < room && x * each < to; x++) {
        var part = (Math.min(to, (x + 1) * each) - Math.max(from, x * each)) / each;
        if (part > 0) {
          sums[x * STATES + state] += part * weight;
        }
      }
    }
    model.threads.forEach(function (track) {
      var i;
      for (i = 0; i < track.begin.length; i++) {
        add(track.begin[i], track.end[i], track.state[i], 1);
      }
      for (k = 0; track.shares && k < model.slices.count; k++) {
        for (s = 1; s < STATES; s++) {
          add(model.slices.from + k * model.slices.each,
              Math.min(model.slices.from + (k + 1) * model.slices.each, model.exact), s,
              track.shares[k * STATES + s]);
        }
      }
    });
    n = Math.max(model.threads.length, 1);
    g.fillStyle = c.unknown;
    g.fillRect(box.left, 0, room * wide, h);
    for (x = 0; x < room; x++) {
      stack(g, Array.prototype.map.call(sums.subarray(x * STATES, (x + 1) * STATES),
                                        function (v, state) { return hidden[state] ? 0 : v / n; }),
            c.states, box.left + x * wide, 0, wide, h);
    }
    g.font = "11px system-ui, sans-serif";
    g.fillStyle = c.faint;
    g.textBaseline = "middle";
    g.fillText(fitText(g, "all threads", box.left - 8), 4, h / 2);
    return g.getImageData(0, 0, canvas.width, canvas.height);
  };
}());
