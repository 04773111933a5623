// Time as the plant's clock shows it, not the viewer's: the server puts its
// zone and its now into the page.
import { duration } from './format.js';

const told = document.body.dataset;
let skew = Date.parse(told.now) - Date.now();

// now is the server's wall clock in milliseconds; the viewer's may be wrong.
export const now = () => Date.now() + skew;

export function setNow(text) {
  const at = Date.parse(text);
  // The text is cut to the second, so a difference below one tells nothing.
  if (Math.abs(at - now()) > 1500) skew = at - Date.now();
}

const zone = knownZone(told.zone);
const offsetMinutes = Number(told.offset) || 0;

function knownZone(name) {
  if (!name) return null;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return name;
  } catch {
    return null;
  }
}

const formats = new Map();

function format(style, ms) {
  if (!formats.has(style)) {
    const two = '2-digit';
    const fields = {
      minutes: { hour: two, minute: two },
      seconds: { hour: two, minute: two, second: two },
      day: { month: two, day: two },
    }[style];
    formats.set(style, new Intl.DateTimeFormat('en-GB', { ...fields, hourCycle: 'h23', timeZone: zone ?? 'UTC' }));
  }
  return formats.get(style).formatToParts(zone ? ms : ms + offsetMinutes * 60_000);
}

const part = (parts, type) => parts.find((p) => p.type === type).value;
const joined = (parts) => parts.map((p) => p.value).join('');

export const clock = (ms) => joined(format('minutes', ms));
export const clockSeconds = (ms) => joined(format('seconds', ms));

export function day(ms) {
  const parts = format('day', ms);
  return part(parts, 'month') + '-' + part(parts, 'day');
}

// offsetAt is the plant's milliseconds east of UTC at a time.
export function offsetAt(ms) {
  if (!zone) return offsetMinutes * 60_000;
  const text = new Intl.DateTimeFormat('en', { timeZone: zone, timeZoneName: 'longOffset' }).format(ms);
  const found = /GMT([+-])(\d\d):(\d\d)/.exec(text);
  if (!found) return 0;
  return (found[1] === '-' ? -1 : 1) * (Number(found[2]) * 60 + Number(found[3])) * 60_000;
}

// tick keeps what counts seconds up to date: ages ("12 s") and the header's
// clock.
export function tick() {
  for (const element of document.querySelectorAll('time[data-age]')) {
    const text = duration(now() - Date.parse(element.dateTime));
    if (element.textContent !== text) element.textContent = text;
  }
  const head = document.getElementById('clock');
  const text = head.textContent.replace(/^\d\d:\d\d/, clock(now()));
  if (head.textContent !== text) head.textContent = text;
}
