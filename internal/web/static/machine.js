// The live part of a machine's page: it loads the readings, keeps them growing
// with the events, and draws the charts that are in sight, at most four times a
// second.
import { Chart } from './chart.js';
import { number, withUnit } from './format.js';
import { Rows } from './rows.js';
import { clock, clockSeconds } from './time.js';
import { fillTable } from './table.js';

const redraw = 250, betweenForecasts = 400, afterNone = 5000; // ms

export function startMachine(machine) {
  const path = '/api/v1/machines/' + encodeURIComponent(machine);
  const rows = new Rows(), charts = new Map(), visible = new Set(); // section elements; charts -> Chart
  let forecast = null, alarms = [], zoom = null, timer = 0, loading = false, looking = false, described = 0;
  const box = () => document.getElementById('charts').dataset;
  const stale = () => 'stale' in box();

  const get = async (url) => {
    const answer = await fetch(url, { headers: { Accept: 'application/json' }, cache: 'no-store' });
    if (!answer.ok) throw new Error(`${url}: status ${answer.status}`);
    return answer.json();
  };

  // Each part may fail alone: without a forecast there is still a curve.
  async function load() {
    if (loading) return;
    loading = true;
    await Promise.allSettled([
      get(`${path}/readings?last=${box().rows}`).then((answer) => rows.fill(answer)),
      lookAhead(),
      loadAlarms(),
    ]);
    loading = false;
    soon();
  }

  // A forecast falls due once a minute; who watches gets one from the newest
  // reading. The page says whether there is one to ask for.
  async function lookAhead() {
    if (looking || document.hidden || stale() || !('ahead' in box())) return;
    looking = true;
    let rest = betweenForecasts;
    try {
      forecast = await get(`${path}/forecast?fresh=true&forecaster=${encodeURIComponent(box().ahead)}`);
      soon();
    } catch {
      rest = afterNone;
    }
    setTimeout(() => (looking = false), rest);
  }

  async function loadAlarms() {
    const { alarms: all } = await get('/api/v1/alarms?state=all&limit=100&machine=' + encodeURIComponent(machine));
    alarms = all.map((a) => ({
      from: Date.parse(a.raised_at) / 1000, to: a.cleared_at ? Date.parse(a.cleared_at) / 1000 : Infinity, priority: a.priority,
    }));
  }

  const soon = () => (timer ||= setTimeout(draw, redraw));

  function draw() {
    timer = 0;
    if (document.hidden || !rows.times.length) return;
    for (const [section, chart] of charts) if (visible.has(section)) drawChart(section, chart);
    if (Date.now() - described > 10_000) describe();
    fillTable(rows, sections().map((s) => s.dataset));
  }

  function drawChart(section, chart) {
    const { sensor, low, high } = section.dataset, seconds = Number(box().seconds);
    const ahead = Math.max(0, ((forecast?.sensors[0]?.values.length ?? 0) * (forecast?.step_seconds ?? 0)));
    const room = stale() ? 0 : ahead, margin = Math.max(room + seconds * 0.01, seconds * 0.08); // at least for the words under "now"
    const now = rows.last, [from, to] = zoom ?? [now - seconds, now + margin];
    chart.show({
      sensor, now, from, to, horizon: now + room, stale: stale(), forecast, alarms,
      points: rows.points(sensor), usual: low && high ? [Number(low), Number(high)] : null,
    });
    const coverage = section === sections()[0] && forecast?.coverage; // said once
    const words = chart.ahead?.upper && coverage ? `band: where ${Math.round(coverage * 100)} of 100 readings should lie` : '';
    if (!chart.pointed) section.querySelector('.band').textContent = words;
  }

  // describe says in words what the picture shows.
  function describe() {
    described = Date.now();
    for (const [section, chart] of charts) {
      const { sensor, unit } = section.dataset, { t, v } = rows.points(sensor);
      if (!t.length) continue;
      let text = `${sensor} was ${withUnit(number(v.at(-1)), unit)} at ${clock(t.at(-1) * 1000)}`;
      if (chart.ahead) text += `; ${withUnit(number(chart.ahead.values.at(-1)), unit)} is forecast for ${clockSeconds(chart.ahead.times.at(-1) * 1000)}`;
      section.querySelector('.plot').setAttribute('aria-label', text);
    }
  }

  const sections = () => [...document.querySelectorAll('#charts > .chart')];
  const inSight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) visible.add(target);
      else visible.delete(target);
      if (isIntersecting && !charts.has(target)) charts.set(target, makeChart(target));
    }
    soon();
  }, { rootMargin: '100px' });

  function makeChart(section) {
    const { sensor, unit } = section.dataset;
    const chart = new Chart(section.querySelector('.plot'), {
      zoomed: (from, to) => setZoom([from, to]),
      pointed(index, [times, history, ahead]) {
        const value = index === null ? undefined : (history[index] ?? ahead[index]);
        chart.pointed = value !== undefined && value !== null;
        if (chart.pointed) {
          const what = history[index] === undefined || history[index] === null ? ' forecast' : '';
          section.querySelector('.band').textContent = `${clockSeconds(times[index] * 1000)}${what} ${withUnit(number(value), unit)}`;
        } else soon();
      },
    });
    return chart;
  }

  function setZoom(to) {
    zoom = to;
    document.getElementById('readout').textContent = zoom ? 'Esc shows everything again' : '';
    soon();
  }

  // arrange follows a page that has new, fewer, or moved charts.
  function arrange() {
    const there = new Set(sections());
    for (const [section, chart] of charts) {
      if (there.has(section)) continue;
      chart.destroy();
      charts.delete(section);
      visible.delete(section);
      inSight.unobserve(section);
    }
    there.forEach((section) => inSight.observe(section));
    sections().slice(1).forEach((section) => !charts.get(section)?.pointed && (section.querySelector('.band').textContent = ''));
    if (!forecast) lookAhead();
    soon();
  }

  function heard({ time, values }) {
    const step = Number(box().step) || 0;
    const missed = step > 0 && Date.parse(time) / 1000 - rows.last > 1.6 * step;
    rows.add(time, values);
    rows.forget(rows.last - Number(box().seconds) * 1.5);
    if (missed) load();
    lookAhead();
    if (stale()) return;
    for (const section of sections()) {
      const value = values[section.dataset.sensor];
      if (value !== undefined) section.querySelector('.value').textContent = withUnit(number(value), section.dataset.unit);
    }
  }

  addEventListener('keydown', (key) => key.key === 'Escape' && zoom && setZoom(null));
  addEventListener('dblclick', (click) => zoom && click.target.closest?.('.plot') && setZoom(null));
  new ResizeObserver(() => charts.forEach((chart) => chart.resize())).observe(document.getElementById('charts'));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', soon);
  document.addEventListener('visibilitychange', soon);
  document.getElementById('table').addEventListener('toggle', soon);
  arrange();
  load();

  return {
    changed: arrange,
    caughtUp: load,
    event({ kind, data }) {
      if (kind === 'readings') heard(data);
      if (kind === 'alarm') loadAlarms().then(soon, () => {});
      soon();
    },
  };
}
