/* Prometheus' text format, and what the charts make of two readings of it. */

/* [{name, labels, value}] of text format 0.0.4. */
export function parse(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const match = line.match(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/);
    if (!match) continue;
    const labels = {};
    for (const [, key, value] of (match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      labels[key] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    samples.push({ name: match[1], labels, value: Number(match[3].replace("Inf", "Infinity")) });
  }
  return samples;
}

/* The sum of a metric over every sample whose labels `fits` accepts. */
export const total = (samples, name, fits = () => true) =>
  samples.filter((one) => one.name === name && fits(one.labels))
    .reduce((sum, one) => sum + one.value, 0);

/* Quantile `q` of what a histogram counted between two readings, by linear
 * interpolation within its bucket as Prometheus' histogram_quantile does; null
 * if it counted nothing. */
export function quantile(before, after, name, q) {
  const buckets = (samples) => samples.filter((one) => one.name === `${name}_bucket`);
  const old = new Map(buckets(before).map((one) => [one.labels.le, one.value]));
  const counts = buckets(after)
    .map(({ labels, value }) => ({
      most: labels.le === "+Inf" ? Infinity : Number(labels.le),
      count: value - (old.get(labels.le) ?? 0),
    }))
    .sort((a, b) => a.most - b.most);
  const all = counts.at(-1)?.count ?? 0;
  if (all <= 0) return null;
  const i = counts.findIndex(({ count }) => count >= q * all);
  const least = i > 0 ? counts[i - 1].most : 0;
  if (counts[i].most === Infinity) return least;
  const under = i > 0 ? counts[i - 1].count : 0;
  const share = (q * all - under) / Math.max(1, counts[i].count - under);
  return least + (counts[i].most - least) * share;
}

/* Bytes that frames kept off the link, estimated: for each photo that came as
 * a frame, the card's mean JPEG less the card's mean frame. */
export function bytesSaved(samples, model) {
  const jpeg = model.points.find((one) => one.kind === "offload")?.bytes_mean;
  if (jpeg == null) return null;
  return model.points.filter((one) => one.kind === "split" && one.bytes_mean != null)
    .reduce((sum, one) => sum + (jpeg - one.bytes_mean) * total(samples, "cleave_requests_total",
      (labels) => labels.model === model.name && labels.point === one.id && labels.code === "200"), 0);
}
