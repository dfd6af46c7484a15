/* SPDX-License-Identifier: MIT */
/* Draws the charts. Each <figure data-chart="N"> holds the N-th chart of the page's data. All
 * colours come from the style sheet, so that light, dark and print need no redrawing; the width
 * does, and a new one draws again. */
(function () {
  "use strict";
  if (!window.d3) {
    return;
  }
  var d3 = window.d3;
  var charts = JSON.parse(document.getElementById("data").textContent);
  var shapes = {heddle: "circle", pthread: "square", native: "diamond", python: "triangle-up",
                go: "triangle-down"};
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
  function extent(chart) {
    var low = Infinity, high = 0, positive = true;
    function take(value) {
      if (value === null || value === undefined) {
        return;
      }
      low = Math.min(low, value);
      high = Math.max(high, value);
      positive = positive && value > 0;
    }
    chart.rows.forEach(function (row) {
      row.samples.forEach(take);
      [row.median, row.low, row.high].forEach(take);
    });
    if (chart.reference) {
      take(chart.reference.value);
    }
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

  /* ---- what all charts share ---- */
  function nameWidth(svg, rows) {
    var widest = 0;
    var probe = svg.append("text").attr("class", "name heddle");
    rows.forEach(function (row) {
      probe.text(label(row));
      widest = Math.max(widest, probe.node().getComputedTextLength());
    });
    probe.remove();
    return widest;
  }

  function label(row) {
    return row.name + (row.other ? " *" : "");
  }

  /* Rows with their names on the left, or above each row where the page is narrow. */
  function layOut(figure, chart, top) {
    var plot = d3.select(figure).select(".plot");
    plot.selectAll("*").remove();
    var width = Math.max(plot.node().clientWidth, 240);
    var svg = plot.append("svg").attr("role", "img");
    var names = nameWidth(svg, chart.rows) + 14;
    var narrow = names > width * 0.34 || width < 440;
    var row = narrow ? 40 : 28;
    var box = {svg: svg, width: width, narrow: narrow, row: row, top: top,
               left: narrow ? 6 : names, right: width - 74,
               bottom: top + row * chart.rows.length + 4};
    svg.attr("viewBox", "0 0 " + width + " " + (box.bottom + 22));
    svg.append("title").text(d3.select(figure).select("figcaption").text() + ": " +
      chart.rows.map(function (r) { return r.name + " " + r.label; }).join(", "));
    return box;
  }

  function drawAxis(box, scale, ticks, unit, log) {
    var group = box.svg.append("g");
    ticks.forEach(function (value) {
      var x = scale(value), g = group.append("g").attr("class", "tick");
      g.append("line").attr({x1: x, x2: x, y1: box.top, y2: box.bottom});
      g.append("text").attr({x: x, y: box.bottom + 15, "text-anchor": "middle"})
        .text(tick(value, unit));
    });
    if (log) {
      box.svg.append("text").attr({"class": "note", x: box.width, y: box.bottom + 15,
                                   "text-anchor": "end"}).text("log scale");
    }
  }

  /* The rows' groups, with names, values and what a pointer that rests on them is told. */
  function drawRows(box, chart, hint) {
    var rows = box.svg.append("g").selectAll("g").data(chart.rows).enter().append("g")
      .attr("class", function (row) { return row.kind; })
      .attr("transform", function (ignored, i) {
        return "translate(0," + (box.top + box.row * i + (box.narrow ? 27 : box.row / 2)) + ")";
      });
    rows.append("rect").attr({x: 0, y: -box.row / 2, width: box.width, height: box.row,
                              fill: "none", "pointer-events": "all"});
    rows.append("text").attr("class", function (row) { return "name " + row.kind; })
      .attr(box.narrow ? {x: box.left, y: -12} : {x: box.left - 10, y: 4, "text-anchor": "end"})
      .text(label);
    rows.append("text").attr({"class": "value", x: box.width, y: 4, "text-anchor": "end"})
      .text(function (row) { return row.label; });
    rows.append("title").text(hint);
    return rows;
  }

  /* ---- one metric ---- */
  function drawDots(figure, chart) {
    var range = extent(chart);
    var box = layOut(figure, chart, chart.reference ? 18 : 2);
    var scale = makeScale(range, box.left + 4, box.right);
    var domain = scale.domain();
    drawAxis(box, scale, range.log ? logTicks(domain[0], domain[1], box.right - box.left)
                                   : scale.ticks(Math.max(2, Math.floor((box.right - box.left) / 90))),
             chart.unit, range.log);
    if (chart.reference) {
      drawReference(box, scale(chart.reference.value), chart.reference.label);
    }
    var rows = drawRows(box, chart, function (row) {
      return label(row) + ": " + row.label + (row.range ? ", 95 % interval " + row.range : "") +
        ", " + row.samples.length + " processes";
    });
    rows.append("line").attr({"class": "guide", x1: box.left, x2: box.right, y1: 0, y2: 0});
    rows.filter(function (row) { return row.low !== null && row.high !== null; })
      .append("line").attr("class", "interval")
      .attr({x1: function (row) { return scale(row.low); },
             x2: function (row) { return scale(row.high); }, y1: 0, y2: 0});
    rows.selectAll(".sample")
      .data(function (row) { return row.samples.length > 1 ? row.samples : []; })
      .enter().append("circle").attr("class", "sample")
      .attr({cx: function (value) { return scale(value); },
             cy: function (ignored, i) { return [0, 4, -4, 2, -2][i % 5] * 1.2; }, r: 2.4});
    rows.append("path").attr("class", "mark")
      .attr("d", function (row) {
        return d3.svg.symbol().type(shapes[row.kind] || "circle").size(86)();
      })
      .attr("transform", function (row) { return "translate(" + scale(row.median) + ",0)"; });
  }

  function drawReference(box, x, text) {
    var group = box.svg.append("g").attr("class", "reference");
    var late = x > box.width * 0.6;
    group.append("line").attr({x1: x, x2: x, y1: 4, y2: box.bottom});
    group.append("text").attr({x: late ? x - 5 : x + 5, y: 12,
                               "text-anchor": late ? "end" : "start"}).text(text);
  }

  /* ---- what a life is made of ---- */
  function drawPhases(figure, chart) {
    var box = layOut(figure, chart, 24);
    var totals = chart.rows.map(function (row) { return d3.sum(row.values); });
    var scale = makeScale({high: d3.max(totals), log: false}, box.left + 4, box.right);
    drawAxis(box, scale, scale.ticks(Math.max(2, Math.floor((box.right - box.left) / 90))),
             chart.unit, false);
    drawLegend(box, chart);
    var rows = drawRows(box, chart, function (row) {
      return row.name + ": " + chart.parts.map(function (part, i) {
        return part + " " + tick(row.values[i], chart.unit);
      }).join(", ");
    });
    rows.selectAll(".bar").data(function (row) {
      var from = 0;
      return row.values.map(function (value) {
        from += value;
        return [from - value, value];
      });
    }).enter().append("rect")
      .attr("class", function (ignored, i) { return "bar part-" + i; })
      .attr({x: function (part) { return scale(part[0]); }, y: -7, height: 14,
             width: function (part) { return scale(part[1]) - scale(0); }});
  }

  function drawLegend(box, chart) {
    var x = box.left + 4;
    chart.parts.forEach(function (part, i) {
      if (!chart.rows.some(function (row) { return row.values[i] > 0; })) {
        return;
      }
      var group = box.svg.append("g");
      group.append("rect").attr({"class": "part-" + i, x: x, y: 3, width: 11, height: 11});
      var text = group.append("text").attr({x: x + 16, y: 13}).text(part);
      x += 34 + text.node().getComputedTextLength();
    });
  }

  /* ---- the page ---- */
  function draw() {
    Array.prototype.forEach.call(document.querySelectorAll("figure[data-chart]"), function (figure) {
      var chart = charts[+figure.getAttribute("data-chart")];
      if (chart) {
        (chart.chart === "phases" ? drawPhases : drawDots)(figure, chart);
      }
    });
  }

  var drawnAt = 0, timer = 0;
  function drawAgain() {
    if (window.innerWidth !== drawnAt) {
      drawnAt = window.innerWidth;
      draw();
    }
  }
  window.addEventListener("resize", function () {
    clearTimeout(timer);
    timer = setTimeout(drawAgain, 120);
  });
  window.addEventListener("beforeprint", function () {
    Array.prototype.forEach.call(document.querySelectorAll("details"), function (details) {
      details.open = true;
    });
  });
  drawAgain();
}());
