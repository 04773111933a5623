// The Silence button of a machine's page asks how long, why and by whom; End ends
// a silence. What becomes of it comes back as an event.
import { fail, reason } from './failure.js';
import { refresh } from './refresh.js';

const nameKey = 'fettle-name'; // as acknowledge.js keeps it

export function startSilence() {
  document.addEventListener('click', (click) => {
    const silence = click.target.closest('[data-silence]'), end = click.target.closest('[data-end-silence]');
    if (silence) ask(silence);
    if (end) send(end, `/api/v1/silences/${end.dataset.endSilence}`, { method: 'DELETE' }, 'The silence could not be ended');
  });
}

async function send(button, path, request, failed) {
  button.disabled = true;
  fail('');
  try {
    const reply = await fetch(path, { ...request, headers: { 'Content-Type': 'application/json', Accept: 'application/json' } });
    if (!reply.ok) throw new Error(await reason(reply));
    refresh();
  } catch (error) {
    fail(`${failed}: ${error.message}.`);
  }
  button.disabled = false;
}

function ask(button) {
  const { silence: machine } = button.dataset;
  const dialog = document.createElement('dialog');
  dialog.setAttribute('aria-labelledby', 'silence-title');
  dialog.innerHTML = `<form method="dialog"><h2 id="silence-title"></h2>
    <p class="meta">Nobody is told of its alarms by e-mail or webhook, and nothing is learned from it. The page shows them as ever.</p>
    <label>For<select name="for"><option value="1h">1 hour</option><option value="8h">8 hours</option><option value="24h">24 hours</option><option value="168h">7 days</option></select></label>
    <label>Because<select name="kind"><option value="silence">we know already</option><option value="service">somebody works on it</option></select></label>
    <label>Reason<input name="why" maxlength="200" required></label>
    <label>Your name<input name="by" maxlength="60" autocomplete="name"></label>
    <div class="actions"><button class="button primary" value="send">Silence</button><button class="button" value="" formnovalidate>Cancel</button></div></form>`;
  dialog.querySelector('h2').textContent = `Silence ${machine}`;
  const form = dialog.querySelector('form');
  form.elements.by.value = localStorage.getItem(nameKey) ?? '';
  dialog.addEventListener('close', () => {
    dialog.remove();
    button.focus();
    if (dialog.returnValue !== 'send') return;
    const wish = Object.fromEntries(['for', 'kind', 'why', 'by'].map((name) => [name, form.elements[name].value.trim()]));
    if (wish.by) localStorage.setItem(nameKey, wish.by);
    send(button, `/api/v1/machines/${encodeURIComponent(machine)}/silences`, { method: 'POST', body: JSON.stringify(wish) }, `${machine} could not be silenced`);
  });
  document.body.append(dialog);
  dialog.showModal();
}
