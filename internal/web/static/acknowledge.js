// The buttons that answer an alarm. Acknowledge takes one click; "With a note"
// and "This is normal now" ask for a name and a note first. The name is
// remembered on this device.
import { fail, reason } from './failure.js';
import { refresh } from './refresh.js';

const nameKey = 'fettle-name';

const acknowledging = {
  verb: 'acknowledge', title: 'Acknowledge the alarm of', button: 'Acknowledge', done: 'Acknowledged', said: 'acknowledged',
  failed: 'The alarm could not be acknowledged', still: 'It is still unanswered.',
};
const accepting = {
  verb: 'accept', title: 'This is normal now for', button: 'This is normal now', done: 'Accepted', said: 'accepted as normal',
  failed: 'It could not be accepted as normal', still: 'The alarm is still open.',
  explain: 'The machine’s alarms end. From when this began, how it is now counts as normal: it is judged by that, and its models learn from it. Do this after a change that was meant, such as another product or a new part, and not for a fault that is still there.',
};

export function startAcknowledge() {
  document.addEventListener('click', (click) => {
    const button = click.target.closest('[data-acknowledge], [data-accept]');
    if (!button || button.disabled) return;
    if (button.hasAttribute('data-accept')) ask(button, accepting);
    else if (button.hasAttribute('data-note')) ask(button, acknowledging);
    else send(button, acknowledging, { by: localStorage.getItem(nameKey) ?? '', note: '' });
  });
}

async function send(button, what, answer) {
  const id = button.getAttribute(`data-${what.verb}`);
  const buttons = document.querySelectorAll(`[data-${what.verb}="${id}"]`);
  buttons.forEach((b) => (b.disabled = true));
  fail('');
  try {
    const reply = await fetch(`/api/v1/alarms/${id}/${what.verb}`, {
      method: 'POST', headers: { 'Content-Type': 'application/json', Accept: 'application/json' }, body: JSON.stringify(answer),
    });
    if (!reply.ok) throw new Error(await reason(reply));
    buttons.forEach((b) => !b.hasAttribute('data-note') && (b.textContent = what.done));
    document.getElementById('announce').textContent = `Alarm of ${button.dataset.machine} ${what.said}`;
    refresh();
  } catch (error) {
    fail(`${what.failed}: ${error.message}. ${what.still}`);
    buttons.forEach((b) => (b.disabled = false));
  }
}

function ask(button, what) {
  const dialog = document.createElement('dialog');
  dialog.setAttribute('aria-labelledby', 'ask-title');
  dialog.innerHTML = `<form method="dialog"><h2 id="ask-title"></h2><p class="meta" hidden></p>
    <label>Your name<input name="by" maxlength="60" autocomplete="name"></label>
    <label>Note<textarea name="note" rows="3" maxlength="1000"></textarea></label>
    <div class="actions"><button class="button primary" value="send"></button><button class="button" value="" formnovalidate>Cancel</button></div></form>`;
  dialog.querySelector('h2').textContent = `${what.title} ${button.dataset.machine}`;
  dialog.querySelector('.primary').textContent = what.button;
  const explained = dialog.querySelector('p');
  explained.textContent = what.explain ?? '';
  explained.hidden = !what.explain;
  const form = dialog.querySelector('form');
  form.elements.by.value = localStorage.getItem(nameKey) ?? '';
  dialog.addEventListener('close', () => {
    dialog.remove();
    button.focus();
    if (dialog.returnValue !== 'send') return;
    const by = form.elements.by.value.trim();
    if (by) localStorage.setItem(nameKey, by);
    send(button, what, { by, note: form.elements.note.value.trim() });
  });
  document.body.append(dialog);
  dialog.showModal();
}
