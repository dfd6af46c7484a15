/* SPDX-License-Identifier: MIT */
/* The page: each <figure data-chart="N"> gets the N-th chart of the page's data, drawn for its
 * width. */
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent), charts = data.charts;
  var timer = 0;

  function each(selector, within, act) {
    Array.prototype.forEach.call(within.querySelectorAll(selector), act);
  }

  /* Gives everything of a subject's its name, kind and place. */
  function name(part) {
    var who = data.subjects[part.who];
    if (who) {
      part.name = who.name;
      part.kind = who.kind;
      part.place = who.place;
    }
    ["rows", "marks", "panels", "series"].forEach(function (inner) {
      (part[inner] || []).forEach(name);
    });
  }

  /* Draws what is visible, and was drawn for another width or never. */
  function draw() {
    if (!window.d3) {
      return;
    }
    each("figure[data-chart]", document, function (figure) {
      var chart = charts[+figure.getAttribute("data-chart")];
      var plot = figure.querySelector(".plot"), width = plot.clientWidth;
      if (chart && width > 0 && plot.drawnFor !== width) {
        plot.drawnFor = width;
        heddle.charts[chart.chart](figure, chart);
      }
    });
  }

  charts.forEach(name);
  each("details", document, function (details) {
    details.addEventListener("toggle", draw);
  });
  window.addEventListener("resize", function () {
    clearTimeout(timer);
    timer = setTimeout(draw, 120);
  });
  window.addEventListener("beforeprint", function () {
    each("details", document, function (details) { details.open = true; });
    draw();
  });
  draw();
}());
