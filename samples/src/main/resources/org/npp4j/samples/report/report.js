(function () {
  "use strict";
  var runs = JSON.parse(document.getElementById("curves").textContent);
  var charts = [
    { id: "chart-seconds", key: "seconds", label: "Time, s" },
    { id: "chart-images", key: "images", label: "Images" },
  ];

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  // Where a run changes its patch side: [position on the x axis, new patch side].
  function switches(run, key) {
    var found = [];
    for (var i = 1; i < run.patchSide.length; i++) {
      if (run.patchSide[i] !== run.patchSide[i - 1]) {
        found.push([run[key][i - 1], run.patchSide[i]]);
      }
    }
    return found;
  }

  function drawSwitches(key) {
    return function (u) {
      var ctx = u.ctx;
      var ratio = window.devicePixelRatio || 1;
      ctx.save();
      ctx.lineWidth = ratio;
      ctx.font = 12 * ratio + "px system-ui, sans-serif";
      ctx.textBaseline = "top";
      runs.forEach(function (run) {
        switches(run, key).forEach(function (change) {
          var x = u.valToPos(change[0], "x", true);
          ctx.strokeStyle = ctx.fillStyle = color(run.model.toLowerCase());
          ctx.setLineDash([5 * ratio, 4 * ratio]);
          ctx.beginPath();
          ctx.moveTo(x, u.bbox.top);
          ctx.lineTo(x, u.bbox.top + u.bbox.height);
          ctx.stroke();
          ctx.fillText(run.model + " from here: p = " + change[1], x + 5 * ratio, u.bbox.top + 2 * ratio);
        });
      });
      ctx.restore();
    };
  }

  function series(run) {
    return {
      label: run.model,
      stroke: color(run.model.toLowerCase()),
      width: 2,
      dash: run.model === "NTP" ? [2, 3] : undefined,
      spanGaps: true,
      points: { show: false },
      value: function (u, value) {
        return value == null ? "–" : value.toFixed(3);
      },
    };
  }

  function axis(label) {
    return {
      label: label,
      stroke: color("muted"),
      grid: { stroke: color("grid"), width: 1 },
      ticks: { stroke: color("line"), width: 1 },
    };
  }

  function width(element) {
    return Math.max(240, element.clientWidth);
  }

  function draw(chart) {
    var element = document.getElementById(chart.id);
    var data = uPlot.join(
      runs.map(function (run) {
        return [run[chart.key], run.loss];
      })
    );
    if (chart.plot) {
      chart.plot.destroy();
    }
    chart.plot = new uPlot(
      {
        width: width(element),
        height: 340,
        scales: { x: { time: false } },
        axes: [axis(chart.label), axis("Loss, nats per token")],
        series: [{ label: chart.label }].concat(runs.map(series)),
        hooks: { draw: [drawSwitches(chart.key)] },
      },
      data,
      element
    );
  }

  function drawAll() {
    charts.forEach(draw);
  }

  drawAll();
  window.addEventListener("resize", function () {
    charts.forEach(function (chart) {
      chart.plot.setSize({ width: width(document.getElementById(chart.id)), height: 340 });
    });
  });
  // The canvas has its colours painted in: paint again when they change.
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  window.matchMedia("print").addEventListener("change", drawAll);
})();
