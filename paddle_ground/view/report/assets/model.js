// The data of the page and what follows from it; plus two helpers to make elements. No element is made of
// text: whatever comes from labels, answers or file names becomes a text node or an attribute's value.

if (!('DecompressionStream' in window)) {
  byId('trouble').hidden = false;
  return;
}
const DATA = await unpack(byId('report-data').textContent);
DATA.pictures = JSON.parse(byId('report-pictures').textContent);
const HAS_BEFORE = DATA.names.before !== null;
const KINDS = DATA.kinds;
const KIND_WORDS = {
  hit: ['Found', 'Right name, right place.'],
  ignored: ['Ignored', 'Inside a crowd: neither right nor wrong.'],
  missed: ['Missed', 'A true box that no box came near.'],
  false: ['False', 'Nothing is there.'],
  misplaced: ['Misplaced', 'The right name, but the box overlaps its object too little.'],
  wrong_label: ['Wrong label', 'The right place, but another class’s name.'],
  wrong_label_and_place: ['Wrong label and place', 'Near an object of another class, but overlapping it too little.'],
  duplicate: ['Duplicate', 'The object was found already, by a surer box.'],
  unparsed: ['Unparsed', 'The answer could not be read, or there is none.'],
};
const MISTAKES = KINDS.filter((kind) => kind !== 'hit' && kind !== 'ignored');

/** Read JSON that was packed by gzip and written in base64. */
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return JSON.parse(await new Response(stream).text());
}

function byId(id) {
  return document.getElementById(id);
}

/** Make an element: h('p', {class: 'note'}, 'text', child, ...). Functions are listeners, null is left out. */
function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) element.append(child);
  }
  return element;
}

function percent(value, digits = 1) {
  return value === null || value === undefined ? '–' : (100 * value).toFixed(digits);
}

function signed(value) {
  const text = percent(Math.abs(value));
  return text === '0.0' ? '±0.0' : (value < 0 ? '−' : '+') + text;
}

function count(number, one, many) {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many || one + 's'}`;
}

// --- cases -------------------------------------------------------------------------------------------------

function readBox([left, top, right, bottom, label, score, kind, iou, truth]) {
  return {box: [left, top, right, bottom], label: DATA.labels[label], color: DATA.colors[label], score, kind: KINDS[kind], iou, truth};
}

function readModel(told) {
  return told && {boxes: told.boxes.map(readBox), answers: told.answers, isRead: Boolean(told.read)};
}

const CASES = DATA.cases.map((told, row) => ({
  row,
  id: told.id,
  name: told.name,
  phrase: told.phrase || '',
  size: told.size,
  picture: DATA.pictures[told.picture],
  truth: told.truth.map(([left, top, right, bottom, label, crowd]) => (
    {box: [left, top, right, bottom], label: DATA.labels[label], color: DATA.colors[label], isCrowd: Boolean(crowd)}
  )),
  after: readModel(told.after),
  before: readModel(told.before),
}));

/**
 * Judge one model on one case, boxes below the score threshold left out. What is left out changes nothing
 * above it, since surer boxes choose first: only the true boxes that they had found are lost.
 */
function judge(item, model, threshold) {
  const kept = model.boxes.filter((one) => one.score === null || one.score >= threshold);
  const overlap = new Map();
  const near = new Set();
  const kinds = {};
  for (const one of kept) {
    kinds[one.kind] = (kinds[one.kind] || 0) + 1;
    if (one.kind === 'hit') overlap.set(one.truth, one.iou);
    if (one.kind === 'misplaced' || one.kind === 'wrong_label') near.add(one.truth);
  }
  const fates = item.truth.map((one, row) => {
    if (one.isCrowd) return 'crowd';
    if (overlap.has(row)) return 'found';
    return near.has(row) ? 'near' : 'missed';
  });
  const missed = fates.filter((fate) => fate === 'missed').length;
  if (missed) kinds.missed = missed;
  const toFind = fates.filter((fate) => fate !== 'crowd').length;
  const hits = kinds.hit || 0;
  const counted = kept.length - (kinds.ignored || 0);
  const sum = [...overlap.values()].reduce((total, iou) => total + iou, 0);
  return {
    kept,
    fates,
    kinds,
    mistakes: MISTAKES.reduce((total, kind) => total + (kinds[kind] || 0), 0),
    iou: toFind ? sum / toFind : null,
    f1: toFind + counted ? 2 * hits / (toFind + counted) : 1,
  };
}

const VIEW = {threshold: 0, layers: {truth: true, after: true, before: false, names: true}, colors: 'outcome'};

function judgeAll() {
  for (const item of CASES) {
    item.now = judge(item, item.after, VIEW.threshold);
    item.then = item.before && judge(item, item.before, VIEW.threshold);
  }
}

/** The labels that a kind of mistake is about, in one case. */
function labelsOf(item, kind) {
  if (kind === 'missed') return item.truth.filter((_, row) => item.now.fates[row] === 'missed').map((one) => one.label);
  return item.now.kept
    .filter((one) => one.kind === kind)
    .flatMap((one) => (one.truth < 0 ? [one.label] : [one.label, item.truth[one.truth].label]));
}
