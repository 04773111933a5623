// What a button says when the API does not do what it asked for.

// reason is why, in the words of the API.
export async function reason(reply) {
  try {
    const problem = await reply.json();
    return problem.detail ?? problem.title;
  } catch {
    return `the server answered ${reply.status}`;
  }
}

// fail shows a text at the top of the page; an empty one takes it away.
export function fail(text) {
  const box = document.getElementById('failure');
  if (!box) return;
  box.textContent = text;
  box.hidden = !text;
}
