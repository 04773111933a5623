// The Train and Cancel buttons of a machine's page: one click asks the API. What
// becomes of it comes back as events, which fetch the page anew.
import { fail, reason } from './failure.js';
import { refresh } from './refresh.js';

export function startTraining() {
  document.addEventListener('click', async (click) => {
    const button = click.target.closest('[data-train]');
    if (!button || button.disabled) return;
    button.disabled = true;
    const { train, machine } = button.dataset;
    const ask = { method: 'POST', headers: { Accept: 'application/json' } };
    if (machine) {
      ask.headers['Content-Type'] = 'application/json';
      ask.body = JSON.stringify({ machines: [machine] });
    }
    try {
      const reply = await fetch(train, ask);
      if (!reply.ok) throw new Error(await reason(reply));
      fail('');
    } catch (error) {
      fail(`The training could not be ${machine ? 'started' : 'cancelled'}: ${error.message}.`);
    }
    button.disabled = false;
    refresh();
  });
}
