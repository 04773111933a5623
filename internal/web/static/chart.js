// One sensor's chart: its curve up to now, the forecast drawn on into the
// future with its band, the range that was usual, the time of alarms, gaps.
// uPlot draws lines and axes; what it does not know is drawn by hooks.
import { align, bandWidth, holdRange, stepOf, unroll } from './rows.js';
import { fixed } from './format.js';
import { clock, clockSeconds, day, offsetAt } from './time.js';

const dash = [6, 4];
const bandInk = '29', alarmInk = '1f'; // 16 % and 12 %, as two hex digits behind a colour
const increments = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 864000];

// ink reads a colour of the theme.
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

export class Chart {
  #plot;
  #view = [0, 1];
  #range = null;
  #state = null;
  #gaps = [];

  // hooks: zoomed(from, to) when a stretch was chosen, pointed(index) when the
  // pointer moves along the curve (null: left).
  constructor(host, hooks) {
    this.host = host;
    this.hooks = hooks;
    const family = getComputedStyle(host).fontFamily;
    this.font = `11px ${family}`;
    this.#plot = new uPlot(this.#options(), [[], [], [], [], []], host);
  }

  #options() {
    const line = { points: { show: false }, spanGaps: false };
    const none = { stroke: 'transparent', width: 0, points: { show: false } };
    const axis = { font: this.font, stroke: () => ink('muted'), ticks: { show: false } };
    return {
      width: this.host.clientWidth, height: this.host.clientHeight, padding: [6, 20, 0, 0],
      legend: { show: false },
      cursor: {
        sync: { key: 'machine', scales: ['x', null] }, y: false, drag: { x: true, y: false, setScale: false }, points: { size: 6 },
        bind: { dblclick: () => null }, // machine.js ends the zoom for all charts at once
        dataIdx: (u, series, index) => (u.data[series][index] ?? null) === null ? null : index, // a dot only where there is a value
      },
      scales: { x: { time: false, range: () => this.#view }, y: { range: () => this.#range ?? [0, 1] } },
      axes: [
        { ...axis, grid: { show: false }, size: 24, gap: 4, splits: () => this.#xSplits(), values: (_, at) => at.map((x) => this.#xLabel(x)) },
        { ...axis, grid: { stroke: () => (this.#state ? ink('line') : 'transparent'), width: 1 }, size: 52, gap: 6, space: 28, values: (_, at) => (this.#state ? yLabels(at) : at.map(() => '')) },
      ],
      series: [
        {},
        { ...line, stroke: () => ink(this.#state?.stale ? 'faint' : 'history'), width: 1.5, points: { show: () => this.#state?.points.t.length === 1 } },
        { ...line, stroke: () => ink('forecast'), width: 1.5, dash },
        none, none,
      ],
      bands: [{ series: [4, 3], fill: () => ink('forecast') + bandInk }],
      hooks: {
        drawClear: [() => this.#under()],
        draw: [() => this.#over()],
        setSelect: [(u) => this.#select(u)],
        setCursor: [(u) => this.hooks.pointed(u.cursor.left >= 0 ? u.cursor.idx : null, u.data)],
      },
    };
  }

  // show draws a state: {points, forecast, sensor, usual, alarms, now, from, to,
  // stale}. Times are seconds since 1970.
  show(state) {
    this.#state = state;
    const ahead = state.stale ? null : unroll(state.forecast, state.sensor, state.points);
    this.step = stepOf(state.points.t);
    const { columns, gaps } = align(state.points, this.step, ahead);
    this.#gaps = gaps;
    const last = state.points.t.at(-1);
    if (last !== undefined && this.step > 0 && state.now - last > 2.5 * this.step) this.#gaps.push([last, state.now]);
    this.#view = [state.from, state.to];
    this.#range = holdRange(this.#range, ...extent(columns, state), bandWidth(state.points, ahead));
    this.ahead = ahead;
    this.#plot.setData(columns);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (width && (width !== this.#plot.width || height !== this.#plot.height)) this.#plot.setSize({ width, height });
  }

  destroy() {
    this.#plot.destroy();
  }

  #select(u) {
    const { left, width } = u.select;
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    if (width > 4) this.hooks.zoomed(u.posToVal(left, 'x'), u.posToVal(left + width, 'x'));
  }

  // Below the lines: the times of alarms, and the range that was usual.
  #under() {
    const { ctx, bbox } = this.#plot, s = this.#state;
    if (!s) return;
    ctx.save();
    this.#clip();
    for (const alarm of s.alarms) {
      const left = this.#x(alarm.from), right = this.#x(Math.min(alarm.to, s.now));
      ctx.fillStyle = ink(alarm.priority) + alarmInk;
      ctx.fillRect(left, bbox.top, Math.max(right - left, uPlot.pxRatio), bbox.height);
    }
    if (s.usual && s.usual[1] >= this.#range[0] && s.usual[0] <= this.#range[1]) {
      const top = this.#plot.valToPos(s.usual[1], 'y', true), bottom = this.#plot.valToPos(s.usual[0], 'y', true);
      ctx.fillStyle = ink('forecast') + bandInk;
      ctx.fillRect(bbox.left, top, this.#x(s.now) - bbox.left, Math.max(bottom - top, uPlot.pxRatio));
    }
    ctx.restore();
  }

  // Above the lines: the now line, alarm marks, and what a gap is.
  #over() {
    const { ctx, bbox } = this.#plot, s = this.#state, px = uPlot.pxRatio;
    if (!s) return;
    ctx.save();
    this.#clip();
    ctx.strokeStyle = ink('control');
    ctx.lineWidth = px;
    const x = Math.round(this.#x(s.now)) + px / 2;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    for (const alarm of s.alarms) this.#mark(alarm);
    ctx.fillStyle = ink('faint');
    ctx.font = `${11 * px}px ${getComputedStyle(this.host).fontFamily}`;
    ctx.textAlign = 'center';
    for (const [from, to] of this.#gaps) {
      const left = Math.max(this.#x(from), bbox.left), right = Math.min(this.#x(to), bbox.left + bbox.width);
      if (right - left > 60 * px) ctx.fillText('no data', (left + right) / 2, bbox.top + bbox.height / 2);
    }
    ctx.restore();
  }

  // mark is the alarm's shape at the top of its time: colour alone says nothing.
  #mark({ from, to, priority }) {
    const { ctx, bbox } = this.#plot, px = uPlot.pxRatio, size = 8 * px;
    if (to < this.#view[0] || from > this.#view[1]) return;
    const x = Math.max(this.#x(from), bbox.left) + 3 * px, y = bbox.top + 3 * px;
    ctx.fillStyle = ink(priority === 'medium' ? 'medium-text' : priority);
    ctx.beginPath();
    const corners = { high: [[0, 0], [1, 0], [1, 1], [0, 1]], medium: [[0.5, 0], [1, 1], [0, 1]], low: [[0.5, 0], [1, 0.5], [0.5, 1], [0, 0.5]] }[priority];
    for (const [cx, cy] of corners) ctx.lineTo(x + cx * size, y + cy * size);
    ctx.fill();
  }

  #x(seconds) {
    return this.#plot.valToPos(seconds, 'x', true);
  }

  #clip() {
    const { ctx, bbox } = this.#plot;
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
  }

  // The time axis: round times of the plant's clock, now, and the horizon.
  #xSplits() {
    const s = this.#state, [from, to] = this.#view;
    if (!s) return [];
    const perPixel = (to - from) / Math.max(1, this.#plot.bbox.width / uPlot.pxRatio);
    const step = increments.find((i) => i >= perPixel * 96) ?? increments.at(-1);
    this.labelStep = step;
    const offset = offsetAt(from * 1000) / 1000, splits = [];
    for (let x = Math.ceil((from + offset) / step) * step - offset; x < to; x += step) {
      if (x - from > perPixel * 14 && x < s.now - perPixel * 78) splits.push(x);
    }
    if (s.now > from && s.now <= to) splits.push(s.now);
    if (s.horizon > s.now + perPixel * 62) splits.push(s.horizon);
    return splits;
  }

  #xLabel(x) {
    const s = this.#state, seconds = this.#view[1] - this.#view[0] < 600;
    const text = (at) => (seconds ? clockSeconds : clock)(at * 1000);
    if (x === s.now) return (s.stale ? 'last ' : 'now ') + text(x);
    if (x === s.horizon) return '+' + short(x - s.now);
    if (this.labelStep >= 86400) return day(x * 1000);
    const label = text(x);
    return label.startsWith('00:00') && this.labelStep >= 3600 ? day(x * 1000) : label;
  }
}

function short(seconds) {
  if (seconds < 120) return Math.round(seconds) + ' s';
  if (seconds < 7200) return Math.round(seconds / 60) + ' min';
  return Math.round(seconds / 3600) + ' h';
}

// yLabels gives all labels of an axis the same decimals, those of its step.
function yLabels(at) {
  const step = at.length > 1 ? Math.abs(at[1] - at[0]) : 1;
  let digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  if (Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6) digits++;
  return at.map((y) => (Math.abs(y) >= 1e7 ? y.toExponential(1) : fixed(y, Math.min(digits, 8))));
}

// extent is the lowest and highest of what the chart must show in its view: the
// curve, the forecast, its band, and the usual range if it is not far off.
function extent([times, ...columns], { from, to, usual }) {
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < times.length; i++) {
    if (times[i] < from || times[i] > to) continue;
    for (const column of columns) {
      const value = column[i];
      if (value === null || value === undefined) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (usual && low <= high) {
    const span = Math.max(high - low, usual[1] - usual[0]);
    if (usual[1] < high + span && usual[1] > low - span) high = Math.max(high, usual[1]);
    if (usual[0] > low - span && usual[0] < high + span) low = Math.min(low, usual[0]);
  }
  return [low, high];
}
