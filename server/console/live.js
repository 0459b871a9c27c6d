/* Polls /metrics while it can be seen, and feeds the charts. */
import { call } from "./api.js";
import { lineChart } from "./chart.js";
import { $, bytes, count, ms } from "./dom.js";
import { bytesSaved, parse, quantile, total } from "./metrics.js";

const EVERY_MS = 2000;
const LENGTH = 60;  /* samples: two minutes */
const WINDOW = 10;  /* samples that a quantile is taken over */

const rate = (value) => `${value < 10 ? value.toFixed(1) : count(value)}/s`;

const charts = {
  requests: lineChart({ title: "Requests computed", write: rate, least_top: 1, length: LENGTH,
    series: [{ name: "all", class: "a" }, { name: "refused or failed", class: "c" }] }),
  latency: lineChart({ title: "Latency in the server, last 20 s", write: (value) => `${ms(value)} ms`,
    least_top: 10, length: LENGTH,
    series: [{ name: "p50", class: "a" }, { name: "p95", class: "b" }, { name: "p99", class: "c" }] }),
  saved: lineChart({ title: "Bytes kept off the link, estimated", write: bytes, least_top: 1000, length: LENGTH,
    series: [{ name: "since start", class: "a" }] }),
  queue: lineChart({ title: "Queue", write: count, least_top: 4, length: LENGTH,
    series: [{ name: "waiting", class: "b" }, { name: "computing", class: "a" }] }),
};

const DURATION = "cleave_request_duration_seconds";
const readings = []; /* the last WINDOW + 1 */

function draw(samples, model) {
  readings.push({ at: performance.now(), samples });
  if (readings.length > WINDOW + 1) readings.shift();
  const before = readings.at(-2), after = readings.at(-1);
  const seconds = before && (after.at - before.at) / 1000;
  const grown = (name, fits) => before
    ? Math.max(0, total(samples, name, fits) - total(before.samples, name, fits)) / seconds : 0;
  const bad = (labels) => !labels.code.startsWith("2");
  charts.requests.push([grown("cleave_requests_total"), grown("cleave_requests_total", bad)]);
  charts.latency.push([0.5, 0.95, 0.99].map((q) => {
    const value = quantile(readings[0].samples, samples, DURATION, q);
    return value == null ? null : value * 1000;
  }));
  charts.saved.push([bytesSaved(samples, model)]);
  charts.queue.push([total(samples, "cleave_queue_depth"), total(samples, "cleave_inflight_requests")]);
  const build = samples.find((one) => one.name === "cleave_build_info")?.labels;
  if (build) $("version").textContent = `cleaved ${build.version}, ${build.isa} kernels`;
}

/* Starts the polling; `getModel` says whose bytes are counted. */
export function startLive(getModel) {
  $("charts").append(...Object.values(charts).map((chart) => chart.element));
  let paused = false, waiting = null;
  const tick = async () => {
    waiting = null;
    try {
      draw(parse(await (await call("/metrics", { quiet: true })).text()), getModel());
      $("live-status").textContent = "";
    } catch (problem) {
      $("live-status").textContent = `No metrics: ${problem.message}`;
    }
    schedule(EVERY_MS);
  };
  const schedule = (after_ms) => {
    if (!paused && !document.hidden) waiting ??= setTimeout(tick, after_ms);
  };
  $("pause").addEventListener("click", () => {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", paused);
    $("pause").textContent = paused ? "Go on" : "Pause";
    clearTimeout(waiting);
    waiting = null;
    schedule(0);
  });
  document.addEventListener("visibilitychange", () => schedule(0));
  schedule(0);
}
