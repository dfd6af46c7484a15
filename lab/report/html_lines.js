/* SPDX-License-Identifier: MIT */
/* Lines over a parameter of the work: a panel a part of the experiment (or a subject), all with one
 * scale, so that they can be compared. */
(function () {
  "use strict";
  var d3 = window.d3;
  var HEIGHT = 240, LEFT = 58, TOP = 22, BOTTOM = 40, GAP = 18;

  function all(chart, take) {
    var values = [];
    chart.panels.forEach(function (panel) {
      panel.series.forEach(function (series) {
        series.points.forEach(function (point) { values = values.concat(take(point)); });
      });
    });
    return values;
  }

  /* The parameter's values, each once. Far apart they get a logarithmic scale, on which a zero
   * stands a step before the least. */
  function makeX(chart, width) {
    var values = d3.set(all(chart, function (point) { return [point[0]]; })).values().map(Number)
      .sort(d3.ascending);
    var positive = values.filter(function (v) { return v > 0; });
    var most = positive[positive.length - 1];
    var log = values[0] >= 0 && positive.length > 1 && most / positive[0] >= 8 &&
      positive[Math.floor((positive.length - 1) / 2)] <= 0.4 * most;
    var zero = log && values[0] === 0 ? positive[0] / 2 : null;
    var low = zero || values[0], high = values[values.length - 1];
    var scale = (log ? d3.scale.log() : d3.scale.linear()).domain([low, high])
      .range([LEFT + 10, width - 14]);
    return {values: values, log: log, end: width,
            at: function (v) { return scale(v === 0 && zero ? zero : v); }};
  }

  /* As many of the values as have room below the axis, the ends among them. */
  function xTicks(x, names) {
    var shown = [], free = -Infinity;
    var last = x.values.length - 1, end = x.at(x.values[last]) - names(x.values[last]) / 2;
    x.values.forEach(function (value, i) {
      var half = names(value) / 2, at = x.at(value);
      if (i === last || (at - half > free && at + half + 8 < end)) {
        shown.push(value);
        free = at + half + 8;
      }
    });
    return shown;
  }

  function xName(value, unit) {
    if (unit === "bytes" && value >= 1024 && value % 1024 === 0) {
      return value % 1048576 === 0 ? value / 1048576 + "\u00a0MiB" : value / 1024 + "\u00a0KiB";
    }
    return unit === "count" && value < 1e5 ? String(value) : heddle.tick(value, unit);
  }

  function drawAxes(g, chart, x, y, ticks, width, log) {
    ticks.forEach(function (value) {
      var t = g.append("g").attr("class", "tick");
      t.append("line").attr({x1: LEFT, x2: width, y1: y(value), y2: y(value)});
      t.append("text").attr({x: LEFT - 6, y: y(value) + 4, "text-anchor": "end"})
        .text(heddle.tick(value, chart.unit));
    });
    var below = g.append("g").attr("class", "tick");
    var probe = below.append("text");
    var shown = xTicks(x, function (value) {
      return probe.text(xName(value, chart.xunit)).node().getComputedTextLength();
    });
    probe.remove();
    x.values.forEach(function (value) {
      below.append("line").attr({x1: x.at(value), x2: x.at(value), y1: HEIGHT - BOTTOM,
                                 y2: HEIGHT - BOTTOM + 4});
    });
    shown.forEach(function (value) {
      below.append("text").attr({x: x.at(value), y: HEIGHT - BOTTOM + 17, "text-anchor": "middle"})
        .text(xName(value, chart.xunit));
    });
    g.append("text").attr({"class": "note", x: width, y: HEIGHT - 6, "text-anchor": "end"})
      .text(chart.x + (x.log && log ? ", both scales log" : x.log ? ", log scale"
                       : log ? ", upright scale log" : ""));
  }

  /* Where the line would be if twice as many workers did twice as much. */
  function drawIdeal(group, chart, points, line) {
    var first = points[0], sign = chart.proportional;
    group.append("path").attr({"class": "ideal", d: line(points.map(function (p) {
      return [p[0], first[1] * Math.pow(p[0] / first[0], sign)];
    }))});
  }

  function drawSeries(g, chart, series, x, y) {
    var line = d3.svg.line().x(function (p) { return x.at(p[0]); })
      .y(function (p) { return y(p[1]); });
    var group = g.append("g").datum(series).attr("class", "series " + heddle.colour(series));
    if (series.level !== undefined) {
      group.append("line").attr({"class": "level", x1: LEFT, x2: x.end, y1: y(series.level),
                                 y2: y(series.level)})
        .append("title").text(series.name + ": " + heddle.tick(series.level, chart.unit));
      return;
    }
    if (chart.proportional) {
      drawIdeal(group, chart, series.points, line);
    }
    var ranged = series.points.filter(function (p) { return p[2] !== null && p[3] !== null; });
    if (ranged.length > 1) {
      group.append("path").attr("class", "band")
        .attr("d", d3.svg.area().x(function (p) { return x.at(p[0]); })
          .y0(function (p) { return y(p[2]); }).y1(function (p) { return y(p[3]); })(ranged));
    }
    group.append("path").attr({"class": "line", d: line(series.points)});
    var marks = group.selectAll(".point").data(series.points).enter().append("path")
      .attr({"class": "point", d: heddle.sign(series, 46)})
      .attr("transform", function (p) { return "translate(" + x.at(p[0]) + "," + y(p[1]) + ")"; });
    marks.append("title").text(function (p) {
      return series.name + ", " + chart.x + " " + xName(p[0], chart.xunit) + ": " +
        heddle.tick(p[1], chart.unit) + (p[2] === null ? "" : ", 95 % interval " +
        heddle.tick(p[2], chart.unit) + " \u2013 " + heddle.tick(p[3], chart.unit));
    });
  }

  function ideals(chart) {
    var values = [];
    chart.panels.forEach(function (panel) {
      panel.series.forEach(function (series) {
        var a = series.points[0], b = series.points[series.points.length - 1];
        if (series.level !== undefined) {
          values.push(series.level);
        } else if (chart.proportional) {
          values.push(a[1] * Math.pow(b[0] / a[0], chart.proportional));
        }
      });
    });
    return values;
  }

  heddle.charts.lines = function (figure, chart) {
    var count = chart.panels.length, c = heddle.canvas(figure, 0);
    var columns = Math.max(1, Math.min(count, 3, Math.floor(c.width / 300)));
    var width = (c.width - GAP * (columns - 1)) / columns;
    var rows = Math.ceil(count / columns);
    c.svg.attr("viewBox", "0 0 " + c.width + " " + (rows * (HEIGHT + GAP) - GAP));
    var range = heddle.extent(all(chart, function (p) { return [p[1], p[2], p[3]]; })
                              .concat(ideals(chart)));
    var y = heddle.makeScale(range, HEIGHT - BOTTOM, TOP);
    var ticks = heddle.makeTicks(y, range, HEIGHT - BOTTOM - TOP, 34);
    var x = makeX(chart, width), who = [];
    chart.panels.forEach(function (panel, i) {
      var g = c.svg.append("g").attr("transform", "translate(" + (i % columns) * (width + GAP) +
        "," + Math.floor(i / columns) * (HEIGHT + GAP) + ")");
      g.append("text").attr({"class": "panel", x: LEFT, y: 12}).text(panel.title);
      drawAxes(g, chart, x, y, ticks, width, range.log);
      panel.series.forEach(function (series) {
        drawSeries(g, chart, series, x, y);
        if (!who.some(function (w) { return w.name === series.name; })) {
          who.push(series);
        }
      });
    });
    heddle.describe(figure, c, "lines over " + chart.x);
    heddle.drawLegend(figure, who);
  };
}());
