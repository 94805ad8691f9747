(function () {
  "use strict";
  var points = JSON.parse(document.getElementById("points").textContent);
  var element = document.getElementById("scatter");
  var HEIGHT = 420;
  var plot = null;

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  function width() {
    return Math.max(240, element.clientWidth);
  }

  function axis(label) {
    return {
      label: label,
      stroke: color("muted"),
      grid: { stroke: color("grid"), width: 1 },
      ticks: { stroke: color("line"), width: 1 },
    };
  }

  // Room around the outermost points, so that none lies on an axis.
  function padded(u, min, max) {
    var room = 0.08 * (max - min) || 0.08 * Math.abs(max) || 1;
    return [min - room, max + room];
  }

  function column(keep) {
    return points.map(function (point) {
      return keep(point) ? point.score : null;
    });
  }

  function number(digits) {
    return function (u, value) {
      return value == null ? "" : value.toFixed(digits);
    };
  }

  function planAt(u, value, series, index) {
    return index == null ? "" : points[index].plan + ": " + points[index].score.toFixed(4);
  }

  // The stages of a front's points beside them.
  function names(u) {
    var ctx = u.ctx;
    var ratio = window.devicePixelRatio || 1;
    ctx.save();
    ctx.font = 12 * ratio + "px system-ui, sans-serif";
    ctx.fillStyle = color("muted");
    ctx.textBaseline = "bottom";
    points.forEach(function (point) {
      if (!point.front) {
        return;
      }
      var x = u.valToPos(point.cost, "x", true);
      var y = u.valToPos(point.score, "y", true);
      var text = point.plan.replace("stages ", "");
      var fits = x + ctx.measureText(text).width + 8 * ratio < u.bbox.left + u.bbox.width;
      ctx.textAlign = fits ? "left" : "right";
      ctx.fillText(text, x + (fits ? 6 : -6) * ratio, y - 4 * ratio);
    });
    ctx.restore();
  }

  function draw() {
    if (plot) {
      plot.destroy();
    }
    plot = new uPlot(
      {
        width: width(),
        height: HEIGHT,
        scales: { x: { time: false, range: padded }, y: { range: padded } },
        axes: [axis("Operations relative to next-token prediction"), axis("Score")],
        series: [
          { label: "Cost", value: number(3) },
          {
            label: "Candidate",
            stroke: color("ntp"),
            paths: function () {
              return null;
            },
            points: { show: true, size: 9, fill: color("ntp") },
            value: planAt,
          },
          {
            label: "Pareto front",
            stroke: color("npp"),
            width: 2,
            spanGaps: true,
            points: { show: true, size: 9, fill: color("npp") },
            value: number(4),
          },
        ],
        hooks: { draw: [names] },
      },
      [
        points.map(function (point) {
          return point.cost;
        }),
        column(function () {
          return true;
        }),
        column(function (point) {
          return point.front;
        }),
      ],
      element
    );
  }

  if (points.length === 0) {
    return;
  }
  draw();
  window.addEventListener("resize", function () {
    plot.setSize({ width: width(), height: HEIGHT });
  });
  // The canvas has its colours painted in: paint again when they change.
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.matchMedia("print").addEventListener("change", draw);
})();
