(function () {
  "use strict";
  var runs = JSON.parse(document.getElementById("curves").textContent);
  var charts = Array.from(document.querySelectorAll(".plot")).map(function (element) {
    return {
      element: element,
      key: element.dataset.key,
      label: element.dataset.label,
      loss: element.dataset.loss || "Loss, nats per token",
    };
  });

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  // The stages of a run, each with its own part of the curve: losses of different patch sides do not compare, so no
  // line joins them.
  function stages(run) {
    var found = [];
    run.patchSide.forEach(function (p, i) {
      var last = found[found.length - 1];
      if (!last || last.patchSide !== p) {
        last = { model: run.model, color: run.color, dash: run.dash, patchSide: p, loss: [] };
        charts.forEach(function (chart) {
          last[chart.key] = [];
        });
        found.push(last);
      }
      charts.forEach(function (chart) {
        last[chart.key].push(run[chart.key][i]);
      });
      last.loss.push(run.loss[i]);
    });
    return found;
  }

  var stagesOfRuns = runs.map(stages);
  var parts = stagesOfRuns.flat();

  function drawSwitches(key) {
    return function (u) {
      var ctx = u.ctx;
      var ratio = window.devicePixelRatio || 1;
      ctx.save();
      ctx.lineWidth = ratio;
      ctx.font = 12 * ratio + "px system-ui, sans-serif";
      ctx.textBaseline = "top";
      stagesOfRuns.forEach(function (ofRun) {
        ofRun.slice(1).forEach(function (stage, i) {
          var before = ofRun[i][key];
          var x = u.valToPos(before[before.length - 1], "x", true);
          var text = stage.model + ": p = " + stage.patchSide;
          var gap = 6 * ratio;
          var fits = x + gap + ctx.measureText(text).width < u.bbox.left + u.bbox.width;
          ctx.strokeStyle = ctx.fillStyle = color(stage.color);
          ctx.setLineDash([5 * ratio, 4 * ratio]);
          ctx.beginPath();
          ctx.moveTo(x, u.bbox.top);
          ctx.lineTo(x, u.bbox.top + u.bbox.height);
          ctx.stroke();
          ctx.textAlign = fits ? "left" : "right";
          ctx.fillText(text, fits ? x + gap : x - gap, u.bbox.top + 2 * ratio);
        });
      });
      ctx.restore();
    };
  }

  function series(stage) {
    return {
      label: stage.model + (stage.patchSide ? ", p = " + stage.patchSide : ""),
      stroke: color(stage.color),
      width: stage.patchSide <= 1 ? 2 : 1.25,
      dash: stage.dash,
      spanGaps: true,
      points: { show: stage.loss.length === 1 },
      value: function (u, value) {
        return value == null ? "" : value.toFixed(3);
      },
    };
  }

  function xValue(u, value) {
    return value == null ? "" : value.toLocaleString("en", { maximumFractionDigits: 1 });
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
    var data = uPlot.join(
      parts.map(function (stage) {
        return [stage[chart.key], stage.loss];
      })
    );
    if (chart.plot) {
      chart.plot.destroy();
    }
    chart.plot = new uPlot(
      {
        width: width(chart.element),
        height: 340,
        scales: { x: { time: false } },
        axes: [axis(chart.label), axis(chart.loss)],
        series: [{ label: chart.label, value: xValue }].concat(parts.map(series)),
        hooks: { draw: [drawSwitches(chart.key)] },
      },
      data,
      chart.element
    );
  }

  function drawAll() {
    charts.forEach(draw);
  }

  drawAll();
  window.addEventListener("resize", function () {
    charts.forEach(function (chart) {
      chart.plot.setSize({ width: width(chart.element), height: 340 });
    });
  });
  // The canvas has its colours painted in: paint again when they change.
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  window.matchMedia("print").addEventListener("change", drawAll);
})();
