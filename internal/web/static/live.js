// Follows the event log: by an event stream, or, where something between the
// server and here holds a stream back until it ends, by long polls. The stream
// is read with fetch instead of EventSource, because only so the heartbeats,
// which are comments, can be seen: a stream from which not even the first of
// them comes is being held back.

const firstByte = 4_000; // the server greets at once; a held stream stays mute
const silence = 40_000; // it beats every 15 s
const pollWait = 20; // seconds the server may hold a poll
const longestPause = 30_000;

// follow calls event(e) for each event and state(s) when the connection
// changes: "live", "lost", "refused" for want of a key, "resting" while the tab
// is hidden. It goes on from the last event it saw.
export async function follow({ kinds, machine, event, state }) {
  const at = { after: null, held: false };
  const query = () => {
    const q = new URLSearchParams({ kinds });
    if (machine) q.set('machine', machine);
    if (at.after !== null) q.set('after', at.after);
    return q;
  };
  const seen = (e) => {
    if (at.after === null || e.number > at.after) at.after = e.number;
    event(e);
  };
  for (let failures = 0; ; ) {
    await shown();
    let connected = false;
    const live = () => {
      connected = true;
      failures = 0;
      state('live');
    };
    try {
      if (at.held) await poll(query(), { at, seen, live });
      else await stream(query(), { at, seen, live });
    } catch (error) {
      if (error === hidden) {
        state('resting');
        continue;
      }
      if (error === held) {
        at.held = true;
        continue;
      }
      state(error.status === 401 || error.status === 403 ? 'refused' : 'lost');
      if (!connected) failures++;
      await pause(Math.min(longestPause, 1000 * 2 ** Math.max(0, failures - 1)) * (0.75 + Math.random() / 2));
      if (at.held && !connected) at.held = false; // another way in may be open by now
    }
  }
}

const hidden = new Error('the tab is hidden');
const held = new Error('the stream is held back');
const ended = new Error('the stream ended');

async function stream(query, { seen, live }) {
  const line = connection();
  try {
    line.within(firstByte, held);
    const answer = await line.fetch('/api/v1/events?' + query, 'text/event-stream');
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw ended;
      live();
      line.within(silence, ended);
      const blocks = (rest + value).replaceAll('\r\n', '\n').split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) {
        const data = block.split('\n').filter((l) => l.startsWith('data:')).map((l) => l.slice(5).trimStart()).join('\n');
        if (data) seen(JSON.parse(data));
      }
    }
  } catch (error) {
    throw line.reason(error);
  } finally {
    line.close();
  }
}

// poll asks again and again. The first time it only asks where the log ends.
async function poll(query, { at, seen, live }) {
  for (;;) {
    const line = connection();
    try {
      query.set('wait', at.after === null ? '0s' : pollWait + 's');
      if (at.after !== null) query.set('after', at.after);
      line.within(pollWait * 1000 + 15_000, ended);
      const answer = await line.fetch('/api/v1/events?' + query, 'application/json');
      const { events, last } = await answer.json();
      live();
      const first = at.after === null;
      if (!first) events.forEach(seen);
      if (at.after === null || last > at.after) at.after = last;
    } catch (error) {
      throw line.reason(error);
    } finally {
      line.close();
    }
  }
}

// A connection is one request that ends for a reason: too slow, tab hidden.
function connection() {
  const control = new AbortController();
  let timer = 0, why = null;
  const end = (reason) => {
    why ??= reason;
    control.abort();
  };
  const onHide = () => document.hidden && end(hidden);
  document.addEventListener('visibilitychange', onHide);
  return {
    within(ms, reason) {
      clearTimeout(timer);
      timer = setTimeout(end, ms, reason);
    },
    async fetch(url, accept) {
      const answer = await fetch(url, { headers: { Accept: accept }, signal: control.signal, cache: 'no-store' });
      if (!answer.ok) throw Object.assign(new Error('status ' + answer.status), { status: answer.status });
      return answer;
    },
    reason: (error) => why ?? error,
    close() {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', onHide);
      control.abort();
    },
  };
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function shown() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => {
    document.addEventListener('visibilitychange', function check() {
      if (document.hidden) return;
      document.removeEventListener('visibilitychange', check);
      done();
    });
  });
}
