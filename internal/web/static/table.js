// The last readings as a table, for whoever cannot see curves or wants numbers.
import { number } from './format.js';
import { clockSeconds } from './time.js';

const most = 50;

export function fillTable(rows, charts) {
  const box = document.getElementById('table');
  if (!box.open) return;
  const table = document.createElement('table');
  table.className = 'readings';
  const head = table.createTHead().insertRow();
  for (const text of ['Time', ...charts.map((c) => c.sensor + (c.unit ? ', ' + c.unit : ''))]) {
    const cell = document.createElement('th');
    cell.scope = 'col';
    cell.textContent = text;
    head.append(cell);
  }
  const body = table.createTBody();
  for (let row = rows.times.length - 1; row >= Math.max(0, rows.times.length - most); row--) {
    const line = body.insertRow();
    line.insertCell().textContent = clockSeconds(rows.times[row] * 1000);
    for (const { sensor } of charts) {
      const value = rows.columns.get(sensor)?.[row];
      line.insertCell().textContent = value === null || value === undefined ? '–' : number(value);
    }
  }
  box.querySelector('.scroll').replaceChildren(table);
}
