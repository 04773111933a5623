// What every page does: keep the clock, follow the log, say when it cannot, and
// fetch the page anew when something changed. The machine's and the fleet's
// page bring their own part.
import { startAcknowledge } from './acknowledge.js';
import { follow } from './live.js';
import { afterRefresh, refresh } from './refresh.js';
import { startSilence } from './silence.js';
import { clock, now, tick } from './time.js';
import { startTraining } from './training.js';

const { page, machine, watch } = document.body.dataset;

// A part takes the events, and is told when the connection is back.
async function partOf() {
  if (page === 'machine') return (await import('./machine.js')).startMachine(machine);
  if (page === 'fleet') return (await import('./fleet.js')).startFleet();
  return {};
}

let liveSince = false, lastLive = now();

function showState(part, state) {
  const label = document.getElementById('live'), bar = document.getElementById('offline');
  document.body.dataset.live = state;
  if (state === 'live') {
    lastLive = now();
    if (liveSince) return;
    liveSince = true;
    label.textContent = 'Live';
    bar.hidden = true;
    part.caughtUp?.();
    refresh();
    return;
  }
  liveSince = false;
  if (state === 'resting') return;
  label.textContent = 'Not live';
  const text = `Not live since ${clock(lastLive)}, ` + (state === 'refused' ? 'a key is needed: load the page again' : 'retrying');
  if (bar.textContent !== text) bar.textContent = text;
  bar.hidden = false;
}

// New alarms are said aloud, at most one sentence in ten seconds; that one
// cleared is no news.
const fresh = [];
let lastSaid = 0;

function hear(event) {
  const alarm = event.data;
  if (event.kind !== 'alarm' || alarm.state !== 'raised' || fresh.some((a) => a.id === alarm.id)) return;
  fresh.push(alarm);
  if (fresh.length > 1) return;
  setTimeout(() => {
    const high = fresh.filter((a) => a.priority === 'high');
    const said = high.length ? high : fresh;
    document.getElementById('announce').textContent =
      `${said.length} new ${high.length ? 'high ' : ''}${said.length === 1 ? 'alarm' : 'alarms'}, first ${said[0].machine}`;
    fresh.length = 0;
    lastSaid = now();
  }, Math.max(500, lastSaid + 10_000 - now()));
}

function startCopying() {
  document.addEventListener('click', async (click) => {
    const button = click.target.closest('[data-copy]');
    if (!button) return;
    const code = document.getElementById(button.dataset.copy);
    getSelection().selectAllChildren(code); // so that at least Ctrl+C works where the clipboard is closed
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Selected';
    }
  });
}

startAcknowledge();
startCopying();
startTraining();
startSilence();
setInterval(tick, 1000);
tick();
if (watch) {
  const part = await partOf();
  afterRefresh(() => part.changed?.());
  setInterval(refresh, 10_000); // silence and age come without an event
  follow({
    kinds: watch, machine,
    state: (state) => showState(part, state),
    event: (event) => {
      hear(event);
      part.event?.(event);
      if (event.kind !== 'readings' || page === 'fleet') refresh();
    },
  });
}
