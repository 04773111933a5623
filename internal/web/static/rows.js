// The readings that a page holds, as columns, oldest first. Times are seconds
// since 1970; a sensor that was silent in a row is null there.

export class Rows {
  times = [];
  columns = new Map();

  // fill takes an answer of /readings over what is there.
  fill({ times, sensors }) {
    this.times = times.map((t) => Date.parse(t) / 1000);
    this.columns = new Map(Object.entries(sensors));
  }

  get last() {
    return this.times.at(-1) ?? -Infinity;
  }

  // add lays one reading behind the others, or into the last row if it is of
  // the same time. A late one is left out: the next fill brings it.
  add(time, values) {
    const seconds = Date.parse(time) / 1000;
    if (seconds < this.last) return false;
    if (seconds > this.last) {
      this.times.push(seconds);
      for (const column of this.columns.values()) column.push(null);
    }
    for (const [sensor, value] of Object.entries(values)) {
      if (!this.columns.has(sensor)) this.columns.set(sensor, Array(this.times.length).fill(null));
      this.columns.get(sensor)[this.times.length - 1] = value;
    }
    return true;
  }

  // forget drops what is older than a time, a good stretch at once.
  forget(before) {
    const keep = this.times.findIndex((t) => t >= before);
    if (keep < this.times.length / 4) return;
    this.times.splice(0, keep);
    for (const column of this.columns.values()) column.splice(0, keep);
  }

  // points is one sensor's curve: only the rows in which it spoke.
  points(sensor) {
    const column = this.columns.get(sensor) ?? [], t = [], v = [];
    column.forEach((value, row) => {
      if (value === null) return;
      t.push(this.times[row]);
      v.push(value);
    });
    return { t, v };
  }
}

// stepOf is the usual time between points: their median, of the newest 200.
export function stepOf(t) {
  const newest = t.slice(-200);
  const gaps = newest.slice(1).map((x, i) => x - newest[i]).sort((a, b) => a - b);
  return gaps.length ? gaps[gaps.length >> 1] : 0;
}

// align merges a curve and its forecast into the columns that the chart draws:
// times, history, forecast, lower, upper. null breaks a line (a gap longer than
// 2.5 steps), undefined only says that the column has nothing at that time.
export function align({ t, v }, step, ahead) {
  const columns = [[], [], [], [], []], gaps = [];
  const push = (...values) => values.forEach((value, i) => columns[i].push(value));
  const forecastRow = (i) => [ahead.values[i], ahead.lower?.[i], ahead.upper?.[i]];
  const steps = ahead?.times.length ?? 0;
  let next = 0;
  const forecastsBefore = (time) => {
    for (; next < steps && ahead.times[next] < time; next++) push(ahead.times[next], undefined, ...forecastRow(next));
  };
  for (let i = 0; i < t.length; i++) {
    const gap = i > 0 && step > 0 && t[i] - t[i - 1] > 2.5 * step;
    if (gap) {
      gaps.push([t[i - 1], t[i]]);
      forecastsBefore(t[i - 1] + step);
      push(t[i - 1] + step, null, undefined, undefined, undefined);
    }
    forecastsBefore(t[i]);
    if (next < steps && ahead.times[next] === t[i]) push(t[i], v[i], ...forecastRow(next++));
    else push(t[i], v[i], undefined, undefined, undefined);
  }
  forecastsBefore(Infinity);
  return { columns, gaps };
}

// unroll turns a forecast's part for one sensor into points that begin where
// the curve was when it was made, so that the line goes on without a break.
export function unroll(forecast, sensor, { t, v }) {
  const part = forecast?.sensors.find((s) => s.sensor === sensor);
  if (!part) return null;
  const origin = Date.parse(forecast.origin) / 1000;
  const times = part.values.map((_, i) => origin + (i + 1) * forecast.step_seconds);
  const banded = part.lower?.length === part.values.length && part.upper?.length === part.values.length;
  const out = { times, values: [...part.values], lower: banded ? [...part.lower] : null, upper: banded ? [...part.upper] : null };
  const row = t.findLastIndex((x) => x <= origin);
  if (row >= 0 && origin - t[row] <= 2.5 * forecast.step_seconds) {
    out.times.unshift(t[row]);
    for (const list of [out.values, out.lower, out.upper]) list?.unshift(v[row]);
  }
  return out;
}

// bandWidth is how wide the curve's own noise is: the forecast's band, or, with
// none, what the jumps from point to point say a 90 % band would be.
export function bandWidth({ v }, ahead) {
  if (ahead?.upper) {
    const widths = ahead.upper.map((high, i) => high - ahead.lower[i]).slice(1).sort((a, b) => a - b);
    return widths[widths.length >> 1] ?? 0;
  }
  const newest = v.slice(-200);
  const jumps = newest.slice(1).map((x, i) => Math.abs(x - newest[i])).sort((a, b) => a - b);
  if (!jumps.length) return 0;
  return (2 * 1.645 * 1.4826 * jumps[jumps.length >> 1]) / Math.SQRT2;
}

// holdRange chooses what the vertical axis shows. It is at least four bands
// high, so that noise never looks like a fault, and it holds still: it changes
// only when something leaves it, or when it has become twice too high.
export function holdRange(held, low, high, band) {
  if (!(low <= high)) return held ?? [0, 1];
  const span = Math.max(high - low, 4 * band, Math.abs(high) * 0.002, 1e-6) * 1.16;
  const middle = (low + high) / 2;
  const fresh = [middle - span / 2, middle + span / 2];
  if (!held) return fresh;
  if (low < held[0] || high > held[1] || span < (held[1] - held[0]) * 0.5) return fresh;
  return held;
}
