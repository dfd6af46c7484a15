/* SPDX-License-Identifier: MIT */
/* What all charts share. Each kind of chart is a function in `heddle.charts`, in a file of its own:
 * it draws a chart of the page's data into a figure. All colours come from the style sheet, so that
 * light, dark and print need no redrawing. */
var heddle = {charts: {}};

(function () {
  "use strict";
  var d3 = window.d3;
  var NAME = 46; /* characters of a name beside its row */
  var LOG_FROM = 8; /* values that lie further apart get a logarithmic scale */

  /* ---- numbers ---- */
  var steps = {
    ns: [[1e9, "s"], [1e6, "ms"], [1e3, "\u00b5s"], [1, "ns"]],
    us: [[1e6, "s"], [1e3, "ms"], [1, "\u00b5s"], [1e-3, "ns"]],
    ms: [[1e3, "s"], [1, "ms"], [1e-3, "\u00b5s"], [1e-6, "ns"]],
    s: [[1, "s"], [1e-3, "ms"], [1e-6, "\u00b5s"], [1e-9, "ns"]],
    bytes: [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]],
    per_s: [[1e9, "G/s"], [1e6, "M/s"], [1e3, "k/s"], [1, "/s"]],
    percent: [[1, "%"]], ratio: [[1, "\u00d7"]], count: [[1, ""]]
  };

  function tick(value, unit) {
    var scale = steps[unit] || [[1, unit]], step = scale[scale.length - 1], i;
    if (value === 0) {
      return "0";
    }
    for (i = 0; i < scale.length; i++) {
      if (value >= scale[i][0] * 0.9999) {
        step = scale[i];
        break;
      }
    }
    var space = step[1] === "\u00d7" || step[1] === "" ? "" : "\u00a0";
    return parseFloat((value / step[0]).toPrecision(3)) + space + step[1];
  }

  /* ---- scales ---- */
  /* The range of numbers, of which some may be missing. */
  function extent(values) {
    var low = Infinity, high = 0, positive = true;
    values.forEach(function (value) {
      if (value === null || value === undefined) {
        return;
      }
      low = Math.min(low, value);
      high = Math.max(high, value);
      positive = positive && value > 0;
    });
    return {low: low, high: high, log: positive && high / low >= LOG_FROM};
  }

  function logTicks(low, high, room) {
    var most = Math.max(2, Math.floor(room / 62));
    var ticks = [], decade, i, sets = [[1, 2, 5], [1, 3], [1]];
    for (i = 0; i < sets.length; i++) {
      ticks = [];
      for (decade = Math.floor(Math.log(low) / Math.LN10); Math.pow(10, decade) <= high; decade++) {
        sets[i].forEach(function (m) {
          var value = m * Math.pow(10, decade);
          if (value >= low * 0.999 && value <= high * 1.001) {
            ticks.push(value);
          }
        });
      }
      if (ticks.length <= most) {
        return ticks;
      }
    }
    var every = Math.ceil(ticks.length / most);
    return ticks.filter(function (ignored, k) { return k % every === 0; });
  }

  function makeScale(range, x0, x1) {
    if (range.log) {
      return d3.scale.log().domain([range.low / 1.25, range.high * 1.25]).range([x0, x1]);
    }
    return d3.scale.linear().domain([0, (range.high || 1) * 1.06]).range([x0, x1]);
  }

  function makeTicks(scale, range, room, apart) {
    var domain = scale.domain();
    return range.log ? logTicks(domain[0], domain[1], room * 62 / apart)
                     : scale.ticks(Math.max(2, Math.floor(room / apart)));
  }

  /* ---- names and signs ---- */
  var shapes = {heddle: "circle", pthread: "square", native: "diamond", python: "triangle-up",
                go: "triangle-down"};
  var several = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross"];
  var COLOURS = 10;

  /* The path of a subject's sign. In a chart of one subject's parts the parts take turns. */
  function sign(who, size) {
    var shape = who.kind === "part" ? several[who.place % several.length]
                                    : shapes[who.kind] || "circle";
    return d3.svg.symbol().type(shape).size(size)();
  }

  /* The class that gives a line its colour. */
  function colour(who) {
    return who.kind === "heddle" || who.kind === "pthread" ? "own-" + who.kind
                                                           : "own-" + who.place % COLOURS;
  }

  function label(row) {
    return row.name + (row.other ? " *" : "");
  }

  function cut(text, room) {
    return text.length <= room ? text : text.slice(0, room - 1) + "\u2026";
  }

  function nameWidth(svg, rows) {
    var widest = 0;
    var probe = svg.append("text").attr("class", "name heddle");
    rows.forEach(function (row) {
      probe.text(cut(label(row), NAME));
      widest = Math.max(widest, probe.node().getComputedTextLength());
    });
    probe.remove();
    return widest;
  }

  /* An empty drawing in place of what the figure had; w and h in pixels. */
  function canvas(figure, h) {
    var plot = d3.select(figure).select(".plot");
    plot.selectAll("*").remove();
    var w = Math.max(plot.node().clientWidth, 240);
    var svg = plot.append("svg").attr("role", "img");
    if (h) {
      svg.attr("viewBox", "0 0 " + w + " " + h);
    }
    return {svg: svg, width: w, plot: plot};
  }

  /* Rows with their names on the left, or above each row where the page is narrow. */
  function layOut(figure, rows, top, right) {
    var c = canvas(figure, 0);
    var names = nameWidth(c.svg, rows) + 14;
    var narrow = names > c.width * 0.34 || c.width < 320;
    var row = narrow ? 40 : 28;
    var box = {svg: c.svg, width: c.width, plot: c.plot, narrow: narrow, row: row, top: top,
               left: narrow ? 6 : names, right: c.width - right,
               bottom: top + row * rows.length + 4};
    c.svg.attr("viewBox", "0 0 " + c.width + " " + (box.bottom + 22));
    return box;
  }

  function describe(figure, box, words) {
    box.svg.append("title").text(d3.select(figure).select("figcaption").text() + ": " + words);
  }

  function drawTicks(box, scale, ticks, name) {
    var group = box.svg.append("g");
    ticks.forEach(function (value) {
      var x = scale(value), g = group.append("g").attr("class", "tick");
      g.append("line").attr({x1: x, x2: x, y1: box.top, y2: box.bottom});
      g.append("text").attr({x: x, y: box.bottom + 15, "text-anchor": "middle"})
        .text(name(value));
    });
  }

  function drawAxis(box, scale, ticks, unit, log) {
    drawTicks(box, scale, ticks, function (value) { return tick(value, unit); });
    if (log) {
      box.svg.append("text").attr({"class": "note", x: box.width, y: box.bottom + 15,
                                   "text-anchor": "end"}).text("log scale");
    }
  }

  /* The rows' groups, with names, values and what a pointer that rests on them is told. */
  function drawRows(box, data, hint) {
    var rows = box.svg.append("g").selectAll("g").data(data).enter().append("g")
      .attr("class", function (row) { return row.kind || ""; })
      .attr("transform", function (ignored, i) {
        return "translate(0," + (box.top + box.row * i + (box.narrow ? 27 : box.row / 2)) + ")";
      });
    rows.append("rect").attr({x: 0, y: -box.row / 2, width: box.width, height: box.row,
                              fill: "none", "pointer-events": "all"});
    rows.append("text").attr("class", function (row) { return "name " + (row.kind || ""); })
      .attr(box.narrow ? {x: box.left, y: -12} : {x: box.left - 10, y: 4, "text-anchor": "end"})
      .text(function (row) { return cut(label(row), box.narrow ? 60 : NAME); });
    rows.append("text").attr({"class": "value", x: box.width, y: 4, "text-anchor": "end"})
      .text(function (row) { return row.label || ""; });
    rows.append("title").text(hint);
    return rows;
  }

  /* Who is who, as text that wraps. A pointer on a name brings its marks to the front. */
  function drawLegend(figure, who) {
    var plot = d3.select(figure).select(".plot");
    plot.selectAll(".legend").remove();
    if (who.length < 2) {
      return;
    }
    var items = plot.insert("div", "svg").attr("class", "legend").selectAll("span").data(who)
      .enter().append("span").attr("class", function (w) { return colour(w); })
      .on("mouseenter", function (w) {
        plot.classed("focus", true).selectAll(".series")
          .classed("on", function (s) { return s.name === w.name; });
      })
      .on("mouseleave", function () { plot.classed("focus", false); });
    items.append("svg").attr({"class": "mini", viewBox: "-7 -7 14 14"}).append("path")
      .attr("d", function (w) { return sign(w, 80); });
    items.append("span").text(function (w) { return w.name; });
  }

  heddle.tick = tick;
  heddle.extent = extent;
  heddle.makeScale = makeScale;
  heddle.makeTicks = makeTicks;
  heddle.sign = sign;
  heddle.colour = colour;
  heddle.label = label;
  heddle.canvas = canvas;
  heddle.layOut = layOut;
  heddle.describe = describe;
  heddle.drawAxis = drawAxis;
  heddle.drawTicks = drawTicks;
  heddle.drawRows = drawRows;
  heddle.drawLegend = drawLegend;
}());
