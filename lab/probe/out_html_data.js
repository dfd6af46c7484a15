/* SPDX-License-Identifier: MIT */
/* The timeline's data, unpacked: see out_html_time.c for how it is packed. Times are nanoseconds
 * since the beginning. A track is a thread, or who has the GIL; its spans do not overlap. */
var heddle = {};

(function () {
  "use strict";
  var NONE = 0, HOLDS = 1, OFF = 2, WAITS = 3, STATES = 7, COLOURS = 10;

  function bytesOf(text) {
    var raw = atob(text), bytes = new Uint8Array(raw.length), i;
    for (i = 0; i < raw.length; i++) {
      bytes[i] = raw.charCodeAt(i);
    }
    return bytes;
  }

  function reader(bytes) {
    var at = 0;
    return function () {
      var value = 0, scale = 1, byte;
      do {
        byte = bytes[at++];
        value += (byte & 127) * scale;
        scale *= 128;
      } while (byte & 128);
      return value;
    };
  }

  function newTrack(name, more) {
    var track = {name: name, begin: [], end: [], state: [], cpu: [], place: [], who: [],
                 shares: null};
    Object.keys(more).forEach(function (key) { track[key] = more[key]; });
    return track;
  }

  function push(track, span) {
    track.begin.push(span.begin);
    track.end.push(span.end);
    track.state.push(span.state);
    track.cpu.push(span.cpu);
    track.place.push(span.place);
    track.who.push(span.who);
  }

  /* What two seem to have had at once, by the errors of samples, is the first's. */
  function pushHolder(lane, span) {
    var last = lane.end.length ? lane.end[lane.end.length - 1] : 0;
    if (span.end > last) {
      push(lane, {begin: Math.max(span.begin, last), end: span.end, state: span.state,
                  cpu: span.cpu, place: span.place, who: span.who});
    }
  }

  /* The last of `people` stands for all threads that have no track. */
  function readSpans(data, people, lanes) {
    var next = reader(bytesOf(data.spans)), at = 0, i, code, gil, span;
    for (i = 0; i < data.count; i++) {
      at += next();
      span = {begin: at * data.unit, end: 0, state: 0, cpu: -1, place: 0, who: 0};
      span.end = span.begin + next() * data.unit;
      code = next();
      span.state = code % 8;
      span.cpu = Math.floor(code / 8) % 32 - 1;
      gil = Math.floor(code / 256); /* which one it has, from 1 on */
      span.who = next();
      span.place = next();
      push(people[span.who], span);
      if (gil) {
        pushHolder(lanes[gil - 1], span);
      }
    }
  }

  /* shares[slice * STATES + state] of each track, between 0 and 1. */
  function readSlices(data, people) {
    var bytes = bytesOf(data.slices.shares), at = 0;
    people.forEach(function (track) {
      var k, s, mask;
      track.shares = new Float32Array(data.slices.count * STATES);
      for (k = 0; k < data.slices.count; k++) {
        mask = bytes[at++];
        for (s = HOLDS; s < STATES; s++) {
          if (mask & (1 << s)) {
            track.shares[k * STATES + s] = bytes[at++] / 255;
          }
        }
      }
    });
  }

  /* Of the GIL: whose it was, by the threads' colours. Only one that is not shared has it. */
  function shareHolders(data, people, lane) {
    lane.shares = new Float32Array(data.slices.count * COLOURS);
    people.forEach(function (track) {
      var k;
      for (k = 0; k < data.slices.count; k++) {
        lane.shares[k * COLOURS + track.colour] += track.shares[k * STATES + HOLDS] +
                                                   track.shares[k * STATES + OFF];
      }
    });
  }

  /* Lines of text, the innermost frame first. */
  function placeLines(data, place, most) {
    var lines = [], frame, file;
    while (place > 0 && lines.length < most) {
      frame = data.places[place - 1];
      file = data.names[frame[2]];
      lines.push(data.names[frame[1]] + (file ? " (" + file + (frame[3] ? ":" + frame[3] : "") + ")"
                                              : ""));
      place = frame[0];
    }
    if (place > 0) {
      lines.push("\u2026");
    }
    return lines;
  }

  heddle.load = function () {
    var data = JSON.parse(document.getElementById("data").textContent);
    var threads = data.threads.map(function (thread) { return newTrack(thread.name, thread); });
    var people = threads.concat(newTrack("one of the other threads", {colour: COLOURS - 1}));
    var lanes = data.gils.map(function (name) { return newTrack(name, {gil: true}); });
    readSpans(data, people, lanes);
    if (data.slices) {
      readSlices(data, people);
      if (lanes.length === 1) {
        shareHolders(data, people, lanes[0]);
      }
    }
    return {
      length: Math.max(data.length, 1), states: data.states, threads: threads, people: people,
      tracks: lanes.concat(threads), slices: data.slices,
      known: data.known || 0, exact: data.exact || 0,
      place: function (number, most) { return placeLines(data, number, most); }
    };
  };

  heddle.states = {none: NONE, holds: HOLDS, off: OFF, waits: WAITS, count: STATES};

  /* The index of the first span of a track that ends after a moment. */
  heddle.firstAfter = function (track, ns) {
    var low = 0, high = track.end.length, middle;
    while (low < high) {
      middle = (low + high) >> 1;
      if (track.end[middle] > ns) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  };

  /* The index of the span of a track at a moment, or -1; spans near by count, `slack` ns wide. */
  heddle.spanAt = function (track, ns, slack) {
    var i = heddle.firstAfter(track, ns - slack), best = -1, distance = Infinity, apart;
    for (; i < track.begin.length && track.begin[i] <= ns + slack; i++) {
      apart = ns < track.begin[i] ? track.begin[i] - ns : ns >= track.end[i] ? ns - track.end[i]
                                                                             : -1;
      if (apart < distance) {
        distance = apart;
        best = i;
      }
    }
    return best;
  };

  var units = [[1e9, "s"], [1e6, "ms"], [1e3, "\u00b5s"], [1, "ns"]];

  /* 5.00 ms */
  heddle.duration = function (ns) {
    var i = 0;
    while (i < 3 && ns < units[i][0] * 0.9995) {
      i++;
    }
    return parseFloat((ns / units[i][0]).toPrecision(3)) + "\u00a0" + units[i][1];
  };

  /* A moment, as exactly as steps of `step` need it: 1.2345 s. */
  heddle.moment = function (ns, step) {
    var unit = ns >= 1e9 || step >= 1e8 ? 0 : ns >= 1e6 || step >= 1e5 ? 1 : 2;
    var digits = Math.max(0, Math.ceil(Math.log(units[unit][0] / step) / Math.LN10 - 0.001));
    return (ns / units[unit][0]).toFixed(Math.min(digits, 9)) + "\u00a0" + units[unit][1];
  };
}());
