// Fetches the page that is shown once more and lays it over itself: the server
// writes every word, the script only decides when to ask.
import { morph } from './morph.js';
import { setNow, tick } from './time.js';

const shortest = 2_000; // between two fetches

let wanted = false, running = false, last = 0, waiting = null;
const after = new Set();

// afterRefresh calls back whenever the page has changed.
export const afterRefresh = (call) => after.add(call);

// refresh asks for a fetch, now or as soon as the last one is two seconds old.
export function refresh() {
  wanted = true;
  if (running || document.hidden) return;
  running = true;
  setTimeout(fetchPage, Math.max(0, last + shortest - Date.now()));
}

document.addEventListener('visibilitychange', () => wanted && refresh());

async function fetchPage() {
  wanted = false;
  try {
    const answer = await fetch(location.href, { headers: { Accept: 'text/html' }, cache: 'no-store' });
    if (answer.status === 401 || answer.status === 403) return location.reload(); // it asks for a key
    if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), 'text/html'));
  } catch {
    // The live state tells that the server is away; the next event asks again.
  } finally {
    last = Date.now();
    running = false;
    if (wanted) refresh();
  }
}

function show(fresh) {
  if (fresh.body.dataset.watch !== document.body.dataset.watch) return location.reload(); // the first machine, or many more
  setNow(fresh.body.dataset.now);
  document.title = fresh.title;
  morph(document.getElementById('counts'), fresh.getElementById('counts'));
  morph(document.getElementById('public'), fresh.getElementById('public'));
  if (moves(fresh) && underHand()) {
    hold(fresh);
    return;
  }
  apply(fresh);
}

function apply(fresh) {
  waiting = null;
  morph(document.getElementById('main'), fresh.getElementById('main'));
  tick();
  after.forEach((call) => call());
}

// A list never moves under somebody's hand. While the pointer or the focus is
// in it, its rows are brought up to date where they stand; the new order comes
// when the hand has left, or at a click.
const lists = (page = document) => [...page.querySelectorAll('[data-order]')];
const order = (page) => lists(page).map((list) => [...list.children].map((row) => row.id).join(' ')).join('|');
const moves = (fresh) => order(document) !== order(fresh);

function underHand() {
  const pointed = matchMedia('(hover: hover)').matches && lists().some((list) => list.matches(':hover'));
  return pointed || lists().some((list) => list.contains(document.activeElement));
}

function hold(fresh) {
  waiting = fresh;
  morph(document.querySelector('h1'), fresh.querySelector('h1'));
  for (const row of lists().flatMap((list) => [...list.children])) {
    const newer = fresh.getElementById(row.id);
    if (newer) morph(row, newer);
    else row.classList.add('gone');
  }
  const held = document.getElementById('held');
  held.hidden = false;
  held.firstElementChild.onclick = () => waiting && apply(waiting);
  tick();
}

for (const motion of ['pointermove', 'focusin']) {
  document.addEventListener(motion, () => waiting && !underHand() && apply(waiting));
}
