/* SPDX-License-Identifier: MIT */
/* Many cases at one glance: a row a case, a mark a subject. */
(function () {
  "use strict";

  heddle.charts.cases = function (figure, chart) {
    var values = [], who = [];
    chart.rows.forEach(function (row) {
      row.marks.forEach(function (mark) {
        values.push(mark.median, mark.low, mark.high);
        if (!who.some(function (w) { return w.name === mark.name; })) {
          who.push(mark);
        }
      });
      row.label = row.marks.length === 1 ? row.marks[0].label : "";
    });
    var range = heddle.extent(values), one = who.length < 2;
    var box = heddle.layOut(figure, chart.rows, 2, one ? 74 : 60);
    var scale = heddle.makeScale(range, box.left + 4, box.right);
    heddle.describe(figure, box, chart.rows.map(function (row) { return row.name; }).join(", "));
    heddle.drawAxis(box, scale, heddle.makeTicks(scale, range, box.right - box.left, 70),
                    chart.unit, range.log);
    var rows = heddle.drawRows(box, chart.rows, function (row) {
      return row.name + ": " + row.marks.map(function (m) {
        return m.name + " " + m.label;
      }).join(", ");
    });
    rows.append("line").attr({"class": "guide", x1: box.left, x2: box.right, y1: 0, y2: 0});
    var marks = rows.selectAll(".series").data(function (row) { return row.marks; })
      .enter().append("g").attr("class", function (m) { return "series " + heddle.colour(m); });
    marks.filter(function (m) { return m.low !== null && m.high !== null; })
      .append("line").attr("class", "interval")
      .attr({x1: function (m) { return scale(m.low); }, x2: function (m) { return scale(m.high); }});
    marks.append("path").attr("class", "point")
      .attr("d", function (m) { return heddle.sign(m, 60); })
      .attr("transform", function (m) { return "translate(" + scale(m.median) + ",0)"; })
      .append("title").text(function (m) { return m.name + ": " + m.label; });
    heddle.drawLegend(figure, who);
  };
}());
