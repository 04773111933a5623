// The Acknowledge buttons: one click answers an alarm. "With a note" asks for a
// name and a note first; the name is remembered on this device.
import { fail, reason } from './failure.js';
import { refresh } from './refresh.js';

const nameKey = 'fettle-name';

export function startAcknowledge() {
  document.addEventListener('click', (click) => {
    const button = click.target.closest('[data-acknowledge]');
    if (!button || button.disabled) return;
    if (button.hasAttribute('data-note')) ask(button);
    else send(button, { by: localStorage.getItem(nameKey) ?? '', note: '' });
  });
}

async function send(button, answer) {
  const buttons = document.querySelectorAll(`[data-acknowledge="${button.dataset.acknowledge}"]`);
  buttons.forEach((b) => (b.disabled = true));
  fail('');
  try {
    const reply = await fetch(`/api/v1/alarms/${button.dataset.acknowledge}/acknowledge`, {
      method: 'POST', headers: { 'Content-Type': 'application/json', Accept: 'application/json' }, body: JSON.stringify(answer),
    });
    if (!reply.ok) throw new Error(await reason(reply));
    buttons.forEach((b) => !b.hasAttribute('data-note') && (b.textContent = 'Acknowledged'));
    document.getElementById('announce').textContent = `Alarm of ${button.dataset.machine} acknowledged`;
    refresh();
  } catch (error) {
    fail(`The alarm could not be acknowledged: ${error.message}. It is still unanswered.`);
    buttons.forEach((b) => (b.disabled = false));
  }
}

function ask(button) {
  const dialog = document.createElement('dialog');
  dialog.setAttribute('aria-labelledby', 'ask-title');
  dialog.innerHTML = `<form method="dialog"><h2 id="ask-title"></h2>
    <label>Your name<input name="by" maxlength="60" autocomplete="name"></label>
    <label>Note<textarea name="note" rows="3" maxlength="1000"></textarea></label>
    <div class="actions"><button class="button primary" value="send">Acknowledge</button><button class="button" value="" formnovalidate>Cancel</button></div></form>`;
  dialog.querySelector('h2').textContent = `Acknowledge the alarm of ${button.dataset.machine}`;
  const form = dialog.querySelector('form');
  form.elements.by.value = localStorage.getItem(nameKey) ?? '';
  dialog.addEventListener('close', () => {
    dialog.remove();
    button.focus();
    if (dialog.returnValue !== 'send') return;
    const by = form.elements.by.value.trim();
    if (by) localStorage.setItem(nameKey, by);
    send(button, { by, note: form.elements.note.value.trim() });
  });
  document.body.append(dialog);
  dialog.showModal();
}
