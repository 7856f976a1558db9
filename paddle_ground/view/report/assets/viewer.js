// One case, large: its picture, its boxes as a list, what was asked and what was answered.

const VIEWER = byId('viewer');
let viewed = -1;

function answersOf(model, title) {
  const parts = model.answers.map((answer) => h('div', {class: 'answer'},
    h('dl', null,
      h('dt', null, 'Prompt'), h('dd', null, answer.prompt),
      h('dt', null, 'Status'), h('dd', null, answer.status + (answer.repairs ? ` (${answer.repairs.join(', ')})` : '')),
      answer.error ? [h('dt', null, 'Error'), h('dd', null, answer.error)] : []),
    h('pre', {tabindex: '0', 'aria-label': `${title} of sample ${answer.line}`}, answer.text || '(empty)')));
  if (!parts.length) parts.push(h('p', {class: 'note'}, 'No answer for this image.'));
  return [h('h3', null, title), ...parts];
}

function boxList(item) {
  const rows = marks(item).sort((a, b) => a.layer.localeCompare(b.layer)).map((mark) => {
    const row = h('tr', {'data-key': mark.key},
      h('td', {class: 'word'}, h('i', {class: `key ${mark.kind} ${mark.layer}`, 'aria-hidden': 'true'}), mark.layer === 'truth' ? 'True' : mark.layer === 'after' ? 'Predicted' : 'Before'),
      h('td', {class: 'word'}, mark.label),
      h('td', {class: 'word'}, mark.layer === 'truth' ? {found: 'found', near: 'not found', missed: 'missed', crowd: 'crowd', '': ''}[mark.fate] : KIND_WORDS[mark.kind][0].toLowerCase()),
      h('td', null, mark.layer === 'truth' ? '' : percent(mark.iou, 0)),
      h('td', null, mark.score === null || mark.score === undefined ? '' : mark.score.toFixed(2)));
    row.addEventListener('pointerenter', () => light(mark.key));
    row.addEventListener('pointerleave', () => light(null));
    return row;
  });
  return rows.length ? table('', ['Box', 'Name', 'Fate', 'IoU', 'Score'], rows, 3) : h('p', {class: 'note'}, 'No boxes to show.');
}

function light(key) {
  for (const mark of VIEWER.querySelectorAll('.mark')) mark.classList.toggle('lit', mark.dataset.key === key);
  VIEWER.querySelector('.picture').classList.toggle('dimmed', key !== null);
}

function openViewer(at) {
  viewed = at;
  drawViewer();
  if (!VIEWER.open) VIEWER.showModal();
}

function step(by) {
  const next = viewed + by;
  if (next < 0 || next >= GALLERY.chosen.length) return;
  viewed = next;
  drawViewer();
}

function drawViewer() {
  const item = GALLERY.chosen[viewed];
  const last = GALLERY.chosen.length - 1;
  const focused = document.activeElement && document.activeElement.dataset.step;
  const button = (by, text, off) => h('button', {type: 'button', 'data-step': by, disabled: off, click: () => step(by)}, text);
  const picture = pictureOf(item, '78vh', Infinity);
  VIEWER.replaceChildren(
    h('header', null,
      h('h2', {id: 'viewer-title'}, item.name),
      h('span', {class: 'note'}, `${viewed + 1} of ${GALLERY.chosen.length}`),
      button(-1, '← Previous', viewed === 0),
      button(1, 'Next →', viewed === last),
      h('button', {type: 'button', class: 'close', click: () => VIEWER.close()}, 'Close')),
    h('div', {class: 'viewer-body'},
      h('div', {class: 'viewer-picture'}, picture, h('p', {class: 'note'}, numbersOf(item), ` · ${item.size[0]} × ${item.size[1]} px`)),
      h('div', {class: 'viewer-text'},
        item.phrase ? [h('h3', null, 'Phrase'), h('p', null, item.phrase)] : [],
        h('h3', null, 'Boxes'), boxList(item),
        answersOf(item.after, HAS_BEFORE ? 'Raw answer, after' : 'Raw answer'),
        item.before ? answersOf(item.before, 'Raw answer, before') : [])));
  const again = focused && VIEWER.querySelector(`[data-step="${focused}"]:not(:disabled)`);
  if (again) again.focus();
}

VIEWER.addEventListener('keydown', (event) => {
  if (event.key === 'ArrowLeft') step(-1);
  if (event.key === 'ArrowRight') step(1);
});
// A click beside the dialog closes it.
VIEWER.addEventListener('click', (event) => {
  if (event.target === VIEWER) VIEWER.close();
});
VIEWER.addEventListener('close', () => {
  const card = byId('cards').querySelector(`[data-at="${viewed}"] .open`);
  if (card) card.focus();
});
