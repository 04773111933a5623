// Numbers and durations, written exactly as the server writes them
// (internal/web/format.go); a test compares the two.

export function decimals(size) {
  if (size >= 100) return 0;
  if (size >= 10) return 1;
  return size >= 1 ? 2 : 3;
}

export function fixed(value, digits) {
  const text = rounded(Math.abs(value), digits);
  let [whole, fraction] = text.split('.');
  if (whole.length > 4) whole = whole.replace(/\B(?=(\d{3})+$)/g, '\u2009');
  const sign = value < 0 && Number(text) !== 0 ? '−' : '';
  return sign + whole + (fraction ? '.' + fraction : '');
}

// rounded rounds halves to even, as the server does; toFixed rounds them up,
// and sensors that send quarters would show two values in turn.
function rounded(size, digits) {
  const text = size.toFixed(digits), exact = size.toFixed(digits + 30);
  const half = /50{29}$/.test(exact) && /[13579]$/.test(text);
  return half ? exact.slice(0, -30).replace(/\.$/, '') : text;
}

export function number(value) {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e9)) {
    return value.toExponential(2).replace(/e([+-])(\d)$/, 'e$10$2').replaceAll('-', '−');
  }
  return fixed(value, decimals(size));
}

export function withUnit(text, unit) {
  return unit ? text + ' ' + unit : text;
}

export function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const minutes = Math.floor(seconds / 60), hours = Math.floor(seconds / 3600), days = Math.floor(seconds / 86400);
  if (seconds < 60) return `${seconds} s`;
  if (minutes < 60) return `${minutes} min`;
  if (hours < 24) return two(hours, 'h', minutes % 60, 'min');
  return two(days, 'd', hours % 24, 'h');
}

function two(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}
