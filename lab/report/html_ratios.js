/* SPDX-License-Identifier: MIT */
/* Ratios with their intervals beside 1, and what counts as the same around it. */
(function () {
  "use strict";
  var d3 = window.d3;

  function factor(value) {
    return parseFloat(value.toPrecision(3)) + "\u00d7";
  }

  /* Steps that are round as factors: the finest set that is not crowded, without those that would
   * stand too near to their neighbour towards 1. */
  function ratioTicks(scale, low, high) {
    var sets = [[0.9, 0.95, 0.98, 1, 1.02, 1.05, 1.1], [0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.4],
                [0.35, 0.5, 0.7, 1, 1.4, 2, 2.8], [0.1, 0.25, 0.5, 1, 2, 4, 10]];
    var decades = d3.range(-9, 10).map(function (i) { return Math.pow(10, i); });
    var set = sets.filter(function (s) { return s[0] <= low * 1.1; })[0] || decades;
    var shown = [1];
    function take(values) {
      var last = scale(1);
      values.forEach(function (v) {
        if (v >= low && v <= high && Math.abs(scale(v) - last) >= 46) {
          shown.push(v);
          last = scale(v);
        }
      });
    }
    take(set.filter(function (v) { return v > 1; }));
    take(set.filter(function (v) { return v < 1; }).reverse());
    return shown;
  }

  heddle.charts.ratios = function (figure, chart) {
    var most = Math.log(1 + 2 * chart.margin);
    chart.rows.forEach(function (row) {
      [row.ratio, row.low, row.high].forEach(function (v) {
        if (v !== null && v > 0) {
          most = Math.max(most, Math.abs(Math.log(v)));
        }
      });
    });
    var box = heddle.layOut(figure, chart.rows, 18, 74), reach = Math.exp(most * 1.08);
    var scale = d3.scale.log().domain([1 / reach, reach]).range([box.left + 4, box.right])
      .clamp(true);
    heddle.describe(figure, box, chart.rows.map(function (row) {
      return row.name + " " + row.label;
    }).join(", "));
    box.svg.append("rect").attr({"class": "margin", x: scale(1 / (1 + chart.margin)), y: box.top,
                                 width: scale(1 + chart.margin) - scale(1 / (1 + chart.margin)),
                                 height: box.bottom - box.top});
    heddle.drawTicks(box, scale, ratioTicks(scale, 1 / reach, reach), factor);
    box.svg.append("line").attr({"class": "one", x1: scale(1), x2: scale(1), y1: box.top - 4,
                                 y2: box.bottom});
    box.svg.append("text").attr({"class": "note", x: scale(1) - 8, y: 11, "text-anchor": "end"})
      .text("\u2190 B less");
    box.svg.append("text").attr({"class": "note", x: scale(1) + 8, y: 11}).text("B more \u2192");
    var rows = heddle.drawRows(box, chart.rows, function (row) {
      return row.name + ": " + row.label + (row.low === null ? "" : ", 95 % interval " +
        factor(row.low) + " \u2013 " + factor(row.high)) + ", " + row.word;
    });
    rows.attr("class", function (row) { return "tone-" + row.tone; });
    rows.append("line").attr({"class": "guide", x1: box.left, x2: box.right, y1: 0, y2: 0});
    rows.filter(function (row) { return row.low !== null && row.high !== null; })
      .append("line").attr("class", "interval")
      .attr({x1: function (row) { return scale(Math.max(row.low, 1 / reach)); },
             x2: function (row) { return scale(row.high); }, y1: 0, y2: 0});
    rows.append("path").attr("class", "mark")
      .attr("d", function (row) {
        return d3.svg.symbol().type({good: "triangle-up", bad: "triangle-down"}[row.tone] ||
                                    "circle").size(76)();
      })
      .attr("transform", function (row) { return "translate(" + scale(row.ratio) + ",0)"; });
  };
}());
