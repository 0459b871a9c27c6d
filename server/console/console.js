/* The console: which model, which point, which photo; and what follows. */
import { showAnswer } from "./answer.js";
import { call } from "./api.js";
import { showCard } from "./card.js";
import { $, count, h, ms } from "./dom.js";
import { markDot, showFrontier } from "./frontier.js";
import { startLive } from "./live.js";
import { run, spent } from "./paths.js";
import { watchPhotos } from "./photo.js";
import { failRow, fillRow, markRow, showTable } from "./table.js";
import { showWire } from "./wire.js";

let model, point, photo;
let turn = 0; /* of the latest run: older ones are dropped */

const say = (id, text, wrong = false) => {
  $(id).textContent = text;
  $(id).classList.toggle("wrong", wrong);
};

async function classify() {
  if (!photo) return;
  const mine = ++turn;
  say("status", `Running ${point.id} …`);
  try {
    const result = await run(model, point, photo.jpeg);
    if (mine !== turn) return;
    showAnswer(result);
    await showWire(model, point, photo, result);
    if (mine !== turn) return;
    fillRow(point, result, spent(result.steps));
    say("status", `${result.top[0].label}, by ${point.id}: ` +
      `${count(result.bytes)} bytes, ${ms(spent(result.steps))} ms.`);
  } catch (problem) {
    if (mine === turn) say("status", problem.message, true);
  }
}

function pick(chosen) {
  point = chosen;
  $("point").value = chosen.id;
  markRow(chosen);
  markDot(chosen);
  classify();
}

/* Every point, one after another, so that none slows another down. */
async function compare() {
  if (!photo) return say("compare-status", "Choose a photo first, above.", true);
  const asked = { model, photo };
  const results = [];
  $("compare").disabled = true;
  for (const one of model.points) {
    say("compare-status", `Running ${one.id} …`);
    try {
      const result = await run(model, one, photo.jpeg);
      if (asked.model !== model || asked.photo !== photo) break;
      results.push([one, result]);
      const most_ms = Math.max(...results.map(([, { steps }]) => spent(steps)));
      for (const [done, outcome] of results) fillRow(done, outcome, most_ms);
    } catch (problem) {
      failRow(one, problem.message);
      if (problem.status === 401) break;
    }
  }
  $("compare").disabled = false;
  say("compare-status", `${results.length} of ${model.points.length} points have run.`);
}

/* The split point whose accuracy is best, else whatever comes first. */
function favourite() {
  const splits = model.points.filter((one) => one.kind === "split");
  return splits.reduce((best, one) => ((one.top1 ?? 0) > (best.top1 ?? 0) ? one : best),
    splits[0] ?? model.points[0]);
}

function show(chosen) {
  model = chosen;
  $("point").replaceChildren(...model.points.map((one) => h("option", { value: one.id }, one.id)));
  showTable(model, (one) => {
    pick(one);
    $("picture").scrollIntoView();
  });
  showFrontier(model, pick);
  showCard(model);
  pick(favourite());
}

async function start() {
  let models;
  try {
    ({ models } = await (await call("/v1/models")).json());
  } catch (problem) {
    return say("status", `${problem.message}. Reload the page to try again.`, true);
  }
  $("model-choice").replaceChildren(...models.map((one) => h("option", {}, one.name)));
  $("model-field").hidden = models.length < 2;
  $("model-choice").addEventListener("change", (event) => show(models[event.target.selectedIndex]));
  $("point").addEventListener("change", (event) => pick(model.points[event.target.selectedIndex]));
  $("compare").addEventListener("click", compare);
  show(models[0]);
  say("status", "Choose a photo, or one of the samples.");
  watchPhotos((taken) => {
    photo = taken;
    showTable(model, pick);
    markRow(point);
    say("compare-status", "");
    classify();
  });
  startLive(() => model);
}

start();
