// The little curves of the fleet's page: each machine's score over its last
// readings, with a line at 1, above which it is anomalous.

const asked = 150; // verdicts fetched at first
const points = 24;

export function startFleet() {
  const scores = new Map(); // machine -> its newest scores
  const queue = [];
  let fetching = false;

  const onScroll = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting && !scores.has(target.dataset.spark)) {
        scores.set(target.dataset.spark, []);
        queue.push(target.dataset.spark);
      }
    }
    fetchAll();
  });

  // One request after the other: a long list must not keep the server busy.
  async function fetchAll() {
    if (fetching) return;
    fetching = true;
    for (let machine; (machine = queue.shift()) !== undefined; ) {
      try {
        const answer = await fetch(`/api/v1/machines/${encodeURIComponent(machine)}/verdicts?last=${asked}`);
        if (!answer.ok) continue;
        const { verdicts } = await answer.json();
        scores.set(machine, verdicts.map((v) => v.score));
        draw(machine);
      } catch {
        scores.delete(machine); // the next look at the row asks again
      }
    }
    fetching = false;
  }

  function draw(machine) {
    for (const cell of document.querySelectorAll('[data-spark]')) {
      if (cell.dataset.spark === machine) spark(cell, scores.get(machine));
    }
  }

  function changed() {
    for (const cell of document.querySelectorAll('[data-spark]')) {
      onScroll.observe(cell);
      if (!cell.firstChild && scores.get(cell.dataset.spark)?.length) spark(cell, scores.get(cell.dataset.spark));
    }
  }

  changed();
  return {
    changed,
    event({ kind, machine, data }) {
      const known = scores.get(machine);
      if (kind !== 'verdict' || !known?.length) return;
      known.push(data.score);
      if (known.length > asked) known.shift();
      draw(machine);
    },
  };
}

// spark draws scores as 24 points, each the worst of its share of them.
function spark(cell, scores) {
  const count = Math.min(points, scores.length);
  if (count < 2) return;
  const worst = Array.from({ length: count }, (_, i) =>
    Math.max(...scores.slice(Math.floor((i * scores.length) / count), Math.floor(((i + 1) * scores.length) / count))));
  const top = Math.max(2, ...worst);
  const y = (score) => (28 - 26 * (score / top) - 1).toFixed(1);
  const path = worst.map((score, i) => `${((112 * i) / (count - 1)).toFixed(1)},${y(score)}`).join(' ');
  if (!cell.firstChild) {
    const svg = make('svg', { class: 'spark', viewBox: '0 0 112 28', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    svg.append(make('line', { class: 'one', x1: 0, x2: 112 }), make('polyline', { class: 'trace' }));
    cell.replaceChildren(svg);
  }
  const [line, trace] = cell.firstChild.children;
  line.setAttribute('y1', y(1));
  line.setAttribute('y2', y(1));
  trace.setAttribute('points', path);
}

function make(name, attributes) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
