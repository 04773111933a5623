// Lays a newly fetched page over the one that is shown, changing only what
// differs, so that focus, selection, open lists and charts stay. Elements with
// an id keep their identity wherever they move; what is marked data-keep
// belongs to a script and is left alone.

export function morph(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !mine(old, name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !mine(old, name)) old.setAttribute(name, value);
  }
  if (!old.hasAttribute('data-keep')) morphChildren(old, fresh);
}

// mine tells which attributes the viewer or a script has set.
function mine(element, name) {
  return (element.tagName === 'DETAILS' && name === 'open') || (element.hasAttribute('data-keep') && name.startsWith('aria-')) ||
    (name === 'hidden' && element.hasAttribute('role')) || (name === 'disabled' && element.tagName === 'BUTTON');
}

function morphChildren(old, fresh) {
  const known = new Map();
  for (const child of old.children) if (child.id) known.set(child.id, child);
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const same = next.id ? known.get(next.id) : fits(at, next) ? at : null;
    if (same && same.nodeName === next.nodeName) {
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      if (same.nodeType === Node.ELEMENT_NODE) morph(same, next);
      else if (same.data !== next.data) same.data = next.data;
    } else {
      old.insertBefore(document.importNode(next, true), at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function fits(old, next) {
  return old && !old.id && old.nodeType === next.nodeType && old.nodeName === next.nodeName;
}
