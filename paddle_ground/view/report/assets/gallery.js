// The gallery: which cases are shown, in which order, a page at a time.

const PAGE_SIZE = 24;
// More names than this cover a small picture: then only those of mistakes are written.
const NAMES_ON_CARD = 8;
const GALLERY = {kind: 'all', label: '', text: '', order: 'file', page: 0, chosen: CASES};
const FILTERS = ['all', 'any', 'none', ...MISTAKES, 'unparsed'];
const FILTER_WORDS = {all: 'All', any: 'Any mistake', none: 'No mistake'};
const ORDERS = [
  ['file', 'in file order', () => 0],
  ['iou-up', 'IoU, lowest first', (a, b) => (a.now.iou ?? 2) - (b.now.iou ?? 2)],
  ['iou-down', 'IoU, highest first', (a, b) => (b.now.iou ?? -1) - (a.now.iou ?? -1)],
  ['f1-up', 'F1, lowest first', (a, b) => a.now.f1 - b.now.f1],
  ['mistakes', 'most mistakes first', (a, b) => b.now.mistakes - a.now.mistakes],
  ['gain', 'largest gain of F1 first', (a, b) => gain(b) - gain(a)],
  ['loss', 'largest loss of F1 first', (a, b) => gain(a) - gain(b)],
].filter(([name]) => HAS_BEFORE || (name !== 'gain' && name !== 'loss'));

function gain(item) {
  return item.now.f1 - item.then.f1;
}

/** Whether a case has a kind of mistake; with a label: one that is about it. */
function hasKind(item, kind, label) {
  const kinds = kind === 'any' || kind === 'none' ? MISTAKES : [kind];
  if (kind === 'all') return !label || hasLabel(item, label);
  if (kind === 'unparsed') return !item.after.isRead && (!label || hasLabel(item, label));
  const some = kinds.some((one) => item.now.kinds[one] && (!label || labelsOf(item, one).includes(label)));
  if (kind === 'none') return !some && item.after.isRead && (!label || hasLabel(item, label));
  return some;
}

function hasLabel(item, label) {
  return item.truth.some((one) => one.label === label) || item.now.kept.some((one) => one.label === label);
}

function textOf(item) {
  item.text ??= [item.name, item.phrase, ...item.after.answers.flatMap((one) => [one.prompt, one.text])].join('\n').toLowerCase();
  return item.text;
}

function choose() {
  const found = CASES.filter((item) => !GALLERY.text || textOf(item).includes(GALLERY.text));
  const order = ORDERS.find(([name]) => name === GALLERY.order)[2];
  GALLERY.chosen = found.filter((item) => hasKind(item, GALLERY.kind, GALLERY.label)).sort((a, b) => order(a, b) || a.row - b.row);
  const last = Math.max(0, Math.ceil(GALLERY.chosen.length / PAGE_SIZE) - 1);
  GALLERY.page = Math.min(GALLERY.page, last);
  for (const chip of byId('kind-chips').children) {
    const number = found.filter((item) => hasKind(item, chip.dataset.kind, GALLERY.label)).length;
    chip.querySelector('small').textContent = number.toLocaleString('en');
    chip.setAttribute('aria-pressed', String(chip.dataset.kind === GALLERY.kind));
  }
  drawPage();
}

function select(changes) {
  Object.assign(GALLERY, {page: 0}, changes);
  choose();
}

// --- controls ----------------------------------------------------------------------------------------------

function chip(kind) {
  const [words, meaning] = KIND_WORDS[kind] || [FILTER_WORDS[kind], null];
  return h('button', {type: 'button', class: 'chip', 'data-kind': kind, title: meaning, 'aria-pressed': 'false', click: () => select({kind})},
    KIND_WORDS[kind] ? h('i', {class: `key ${kind}`, 'aria-hidden': 'true'}) : null, words, h('small', null, ''));
}

function toggle(layer, words) {
  return h('label', {class: 'toggle'},
    h('input', {type: 'checkbox', id: `show-${layer}`, checked: VIEW.layers[layer], change: (event) => {
      VIEW.layers[layer] = event.target.checked;
      drawPage();
    }}), h('i', {class: `key layer ${layer}`, 'aria-hidden': 'true'}), words);
}

function labelled(id, words, element) {
  return h('span', {class: 'field'}, h('label', {for: id}, words), element);
}

function thresholdField() {
  const output = h('output', {for: 'threshold'}, '0.00');
  const set = (value) => {
    VIEW.threshold = value;
    output.textContent = value.toFixed(2);
    judgeAll();
    select({});
  };
  const slider = h('input', {type: 'range', id: 'threshold', min: 0, max: 1, step: 0.01, value: 0, input: () => set(Number(slider.value))});
  const best = DATA.best === null ? null : h('button', {type: 'button', class: 'quiet', click: () => {
    slider.value = Math.floor(100 * DATA.best) / 100;
    set(Number(slider.value));
  }}, `best F1: ${DATA.best.toFixed(2)}`);
  return labelled('threshold', 'Score from', [slider, output, best]);
}

function showControls() {
  const labels = [...new Set(DATA.labels)].sort((a, b) => a.localeCompare(b));
  byId('controls').append(
    h('div', {id: 'kind-chips', class: 'chips', role: 'group', 'aria-label': 'Kind of mistake'}, FILTERS.map(chip)),
    h('div', {class: 'fields'},
      labelled('label-filter', 'Class', h('select', {id: 'label-filter', change: (event) => select({label: event.target.value})},
        h('option', {value: ''}, 'every class'), labels.map((label) => h('option', {value: label}, label)))),
      labelled('order', 'Sort', h('select', {id: 'order', change: (event) => select({order: event.target.value})},
        ORDERS.map(([name, words]) => h('option', {value: name}, words)))),
      labelled('text-filter', 'Find', h('input', {type: 'search', id: 'text-filter', placeholder: 'file, prompt or answer', autocomplete: 'off',
        input: (event) => select({text: event.target.value.trim().toLowerCase()})})),
      DATA.scored ? thresholdField() : null),
    h('div', {class: 'fields', role: 'group', 'aria-label': 'Shown on the pictures'},
      toggle('truth', 'Ground truth'), toggle('after', HAS_BEFORE ? 'Prediction (after)' : 'Prediction'),
      HAS_BEFORE ? toggle('before', 'Before') : null, toggle('names', 'Names'),
      labelled('colors', 'Colours', h('select', {id: 'colors', change: (event) => {
        VIEW.colors = event.target.value;
        drawPage();
      }}, h('option', {value: 'outcome'}, 'by kind'), h('option', {value: 'class'}, 'by class')))));
  const all = DATA.images;
  byId('gallery-note').textContent = (CASES.length < all ? `${count(CASES.length, 'image')}, drawn evenly from ${all.toLocaleString('en')}; the numbers above count them all. ` : '')
    + 'Solid lines are predictions, in the colour of their kind; dashed ones the ground truth. Open a picture to see its boxes one by one; the arrow keys go on.';
}

// --- cards -------------------------------------------------------------------------------------------------

function numbersOf(item) {
  const change = item.then ? ` (before ${percent(item.then.f1, 0)})` : '';
  return `IoU ${percent(item.now.iou, 0)} · F1 ${percent(item.now.f1, 0)}${change}`;
}

function card(item, at) {
  const kinds = MISTAKES.filter((kind) => item.now.kinds[kind]);
  const text = item.after.answers.map((one) => one.text || one.error || '(empty)').join('\n\n') || 'No answer for this image.';
  return h('article', {class: 'card', 'data-at': at, 'data-id': item.id},
    h('button', {type: 'button', class: 'open', 'aria-label': `Open ${sentence(item)}`, click: () => openViewer(at)}, pictureOf(item, '18rem', NAMES_ON_CARD)),
    h('p', {class: 'card-name', title: item.name}, item.phrase || item.name),
    h('p', {class: 'card-numbers'}, numbersOf(item)),
    h('p', {class: 'card-kinds'},
      kinds.map((kind) => h('span', {class: 'kind'}, h('i', {class: `key ${kind}`, 'aria-hidden': 'true'}), `${item.now.kinds[kind]} ${KIND_WORDS[kind][0].toLowerCase()}`)),
      item.after.isRead ? null : h('span', {class: 'kind'}, h('i', {class: 'key unparsed', 'aria-hidden': 'true'}), 'unparsed')),
    h('details', null, h('summary', null, 'Raw answer'), h('pre', {tabindex: '0', 'aria-label': `Raw answer for ${item.name}`}, text)));
}

function drawPage() {
  const {chosen, page} = GALLERY;
  const first = page * PAGE_SIZE;
  const shown = chosen.slice(first, first + PAGE_SIZE);
  byId('cards').replaceChildren(...shown.map((item, i) => card(item, first + i)));
  byId('gallery-status').textContent = chosen.length
    ? `${(first + 1).toLocaleString('en')} to ${(first + shown.length).toLocaleString('en')} of ${count(chosen.length, 'image')}`
    : 'No image fits; choose another class or kind.';
  const last = Math.ceil(chosen.length / PAGE_SIZE) - 1;
  const go = (to, words) => h('button', {type: 'button', 'data-go': words, disabled: to < 0 || to > last || to === page, click: () => turn(to, words)}, words);
  byId('pager').replaceChildren(...(last > 0
    ? [go(0, 'First'), go(page - 1, 'Previous'), h('span', null, `Page ${page + 1} of ${last + 1}`), go(page + 1, 'Next'), go(last, 'Last')]
    : []));
}

function turn(to, words) {
  GALLERY.page = to;
  drawPage();
  byId('controls').scrollIntoView({block: 'start'});
  const again = byId('pager').querySelector(`[data-go="${words}"]:not(:disabled)`);
  if (again) again.focus({preventScroll: true});
}
