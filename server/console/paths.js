/* One photo through one operating point, with bytes and times of each step.
 * The server stands in for the device: what `encode` spends is device time,
 * but for its wait in the queue, which no device would have. */
import { call, serverTiming } from "./api.js";

const FRAME = "application/vnd.cleave.frame";

const base = (model) => `/v1/models/${model.name}`;

/* Posts and measures; `ms` is the whole round trip as this page saw it. */
async function timed(path, type, body) {
  const begun = performance.now();
  const response = await call(path, { type, body });
  const data = await response.blob();
  return { data, ms: performance.now() - begun, stages: serverTiming(response) };
}

const sum = (stages) => Object.values(stages).reduce((a, b) => a + b, 0);
const step = (side, name, ms) => ({ side, name, ms });
const link = (reply) => step("link", "network", Math.max(0, reply.ms - sum(reply.stages)));
const answer = async (reply) => JSON.parse(await reply.data.text()).top;

async function offload(model, jpeg) {
  const reply = await timed(`${base(model)}/classify`, "image/jpeg", jpeg);
  return {
    bytes: jpeg.size,
    top: await answer(reply),
    steps: [
      link(reply),
      step("server", "queue", reply.stages.queue),
      step("server", "read JPEG", reply.stages.decode),
      step("server", "network", reply.stages.infer),
    ],
  };
}

async function split(model, point, jpeg) {
  const query = `?point=${encodeURIComponent(point.id)}`;
  const device = await timed(`${base(model)}/encode${query}`, "image/jpeg", jpeg);
  const server = await timed(`${base(model)}/tail`, FRAME, device.data);
  return {
    bytes: device.data.size,
    frame: device.data,
    top: await answer(server),
    steps: [
      step("device", "read JPEG", device.stages.decode),
      step("device", "head", device.stages.infer),
      step("device", "encode", device.stages.encode),
      link(server),
      step("server", "queue", server.stages.queue),
      step("server", "decode", server.stages.decode),
      step("server", "tail", server.stages.infer),
    ],
  };
}

/* The device's whole network is the server's: its time here stands for it. */
async function local(model, jpeg) {
  const { top, steps } = await offload(model, jpeg);
  return { bytes: 0, top, steps: steps.slice(2).map((one) => ({ ...one, side: "device" })) };
}

/* {bytes, top, steps: [{side, name, ms}], frame?}; a frame for split points. */
export function run(model, point, jpeg) {
  if (point.kind === "split") return split(model, point, jpeg);
  return point.kind === "local" ? local(model, jpeg) : offload(model, jpeg);
}

/* Milliseconds of one side, or of all. */
export const spent = (steps, side) =>
  steps.filter((one) => !side || one.side === side).reduce((total, one) => total + one.ms, 0);

/* The latent in a frame, as the server draws it: {width, height, grey}. */
export async function latent(model, frame) {
  const reply = await timed(`${base(model)}/latent`, FRAME, frame);
  const data = new Uint8Array(await reply.data.arrayBuffer());
  const header = new TextDecoder().decode(data.subarray(0, 64));
  const [whole, width, height] = header.match(/^P5\n(\d+) (\d+)\n255\n/);
  return { width: Number(width), height: Number(height), grey: data.subarray(whole.length) };
}
