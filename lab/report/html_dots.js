/* SPDX-License-Identifier: MIT */
/* Distributions of one metric, a row a subject; and what a life is made of. */
(function () {
  "use strict";
  var d3 = window.d3;
  var VIOLIN_FROM = 12; /* with fewer processes the outline of a distribution says nothing */

  /* The outline of the values' density in pixels, by a Gaussian kernel (its width: Silverman's
   * rule), mirrored at the row's line. */
  function violin(pixels, half, left) {
    var sd = d3.deviation(pixels) || 0, n = pixels.length;
    var width = Math.max(1.5, 0.9 * sd * Math.pow(n, -0.2));
    var low = Math.max(left, d3.min(pixels) - 3 * width), high = d3.max(pixels) + 3 * width, points = [], most = 0;
    d3.range(low, high + 0.001, (high - low) / 60).forEach(function (x) {
      var sum = d3.sum(pixels, function (p) { return Math.exp(-0.5 * Math.pow((x - p) / width, 2)); });
      most = Math.max(most, sum);
      points.push([x, sum]);
    });
    return d3.svg.area().x(function (p) { return p[0]; })
      .y0(function (p) { return -half * p[1] / most; })
      .y1(function (p) { return half * p[1] / most; })(points);
  }

  function drawReference(box, x, text) {
    var group = box.svg.append("g").attr("class", "reference");
    var late = x > box.width * 0.6;
    group.append("line").attr({x1: x, x2: x, y1: 4, y2: box.bottom});
    group.append("text").attr({x: late ? x - 5 : x + 5, y: 12,
                               "text-anchor": late ? "end" : "start"}).text(text);
  }

  function allValues(chart) {
    var values = chart.reference ? [chart.reference.value] : [];
    chart.rows.forEach(function (row) {
      values = values.concat(row.samples, [row.median, row.low, row.high]);
    });
    return values;
  }

  function drawSamples(rows, scale, left) {
    rows.filter(function (row) { return row.samples.length >= VIOLIN_FROM; })
      .append("path").attr("class", "violin")
      .attr("d", function (row) { return violin(row.samples.map(scale), 11, left); });
    rows.filter(function (row) { return row.low !== null && row.high !== null; })
      .append("line").attr("class", "interval")
      .attr({x1: function (row) { return scale(row.low); },
             x2: function (row) { return scale(row.high); }, y1: 0, y2: 0});
    rows.selectAll(".sample")
      .data(function (row) { return row.samples.length > 1 ? row.samples : []; })
      .enter().append("circle").attr("class", "sample")
      .attr({cx: function (value) { return scale(value); },
             cy: function (ignored, i) { return [0, 4, -4, 2, -2][i % 5] * 1.2; }, r: 2.4});
  }

  heddle.charts.dots = function (figure, chart) {
    var range = heddle.extent(allValues(chart));
    var box = heddle.layOut(figure, chart.rows, chart.reference ? 18 : 2, 74);
    var scale = heddle.makeScale(range, box.left + 4, box.right);
    heddle.describe(figure, box, chart.rows.map(function (r) {
      return r.name + " " + r.label;
    }).join(", "));
    heddle.drawAxis(box, scale, heddle.makeTicks(scale, range, box.right - box.left, 70),
                    chart.unit, range.log);
    if (chart.reference) {
      drawReference(box, scale(chart.reference.value), chart.reference.label);
    }
    var rows = heddle.drawRows(box, chart.rows, function (row) {
      return heddle.label(row) + ": " + row.label +
        (row.range ? ", 95 % interval " + row.range : "") + ", " + row.n + " process" +
        (row.n === 1 ? "" : "es");
    });
    rows.append("line").attr({"class": "guide", x1: box.left, x2: box.right, y1: 0, y2: 0});
    drawSamples(rows, scale, box.left);
    rows.append("path").attr("class", "mark")
      .attr("d", function (row) { return heddle.sign(row, 86); })
      .attr("transform", function (row) { return "translate(" + scale(row.median) + ",0)"; });
  };

  /* ---- what a life is made of ---- */
  function drawParts(box, chart) {
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

  heddle.charts.phases = function (figure, chart) {
    var box = heddle.layOut(figure, chart.rows, 24, 74);
    var totals = chart.rows.map(function (row) { return d3.sum(row.values); });
    var range = {high: d3.max(totals), log: false};
    var scale = heddle.makeScale(range, box.left + 4, box.right);
    heddle.describe(figure, box, chart.rows.map(function (r) {
      return r.name + " " + r.label;
    }).join(", "));
    heddle.drawAxis(box, scale, heddle.makeTicks(scale, range, box.right - box.left, 90),
                    chart.unit, false);
    drawParts(box, chart);
    var rows = heddle.drawRows(box, chart.rows, function (row) {
      return row.name + ": " + chart.parts.map(function (part, i) {
        return part + " " + heddle.tick(row.values[i], chart.unit);
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
  };
}());
