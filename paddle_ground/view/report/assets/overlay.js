// A picture with its boxes: edges as SVG in the image's own pixels, names as text above it.

/** The boxes of a case that are to be shown, each with its layer, a word for its fate, and its numbers. */
function marks(item) {
  const shown = [];
  if (VIEW.layers.truth) {
    item.truth.forEach((one, row) => {
      const fate = VIEW.layers.after ? item.now.fates[row] : '';
      shown.push({...one, layer: 'truth', fate, kind: fate === 'missed' ? 'missed' : 'truth', key: `truth-${row}`});
    });
  }
  for (const [layer, judged] of [['before', item.then], ['after', item.now]]) {
    if (!VIEW.layers[layer] || !judged) continue;
    for (const one of judged.kept) {
      const row = (layer === 'after' ? item.after : item.before).boxes.indexOf(one);
      shown.push({...one, layer, fate: one.kind, key: `${layer}-${row}`});
    }
  }
  // Large ones first: small ones inside them stay on top.
  return shown.sort((a, b) => area(b.box) - area(a.box));
}

function area([left, top, right, bottom]) {
  return (right - left) * (bottom - top);
}

function describe(mark) {
  const score = mark.score === null || mark.score === undefined ? '' : `, score ${mark.score.toFixed(2)}`;
  if (mark.layer === 'truth') return `true: ${mark.label}${mark.isCrowd ? ' (crowd)' : ''}${mark.fate === 'missed' ? ' — missed' : ''}`;
  return `${mark.layer === 'before' ? 'before: ' : ''}${mark.label}${score} — ${KIND_WORDS[mark.kind][0].toLowerCase()}, IoU ${percent(mark.iou, 0)} %`;
}

function rectangle(mark) {
  const [left, top, right, bottom] = mark.box;
  const shape = {x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top)};
  const color = VIEW.colors === 'class' ? mark.color : null;
  return svg('g', {class: `mark ${mark.layer} ${mark.kind}`, 'data-key': mark.key},
    svg('title', null, describe(mark)),
    svg('rect', {class: 'halo', ...shape}),
    svg('rect', {class: 'edge', ...shape, stroke: color}));
}

function nameTag(mark, size) {
  const [left, top, , bottom] = mark.box;
  const text = mark.layer === 'truth' && mark.kind === 'missed' ? `${mark.label} · missed` : mark.label + (mark.isCrowd ? ' (crowd)' : '');
  const score = mark.score === null || mark.score === undefined ? '' : ` ${mark.score.toFixed(2)}`;
  const tag = h('span', {class: `name-tag ${mark.layer} ${mark.kind}`, 'data-key': mark.key}, text + score);
  // True names stand above their box, predicted ones below it: both can be read.
  const below = mark.layer !== 'truth';
  const y = Math.min(100, Math.max(0, 100 * (below ? bottom : top) / size[1]));
  tag.style.left = `${Math.min(92, Math.max(0, 100 * left / size[0]))}%`;
  tag.style.top = `${y}%`;
  tag.classList.add(below ? (y > 93 ? 'above' : 'below') : (y < 7 ? 'below' : 'above'));
  if (VIEW.colors === 'class') {
    tag.style.background = mark.color;
    tag.style.color = isLight(mark.color) ? '#000' : '#fff';
  }
  return tag;
}

/** WCAG's relative luminance: black text from where it has more contrast than white. */
function isLight(color) {
  const linear = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179;
}

/** The marks whose names are written: a true box that was found has its name at the box that found it. */
function named(shown, most) {
  const told = shown.filter((mark) => !(mark.layer === 'truth' && mark.fate === 'found'));
  return told.length > most ? told.filter((mark) => mark.fate !== 'hit') : told;
}

/** A case's picture, no higher than a CSS length, its shape kept; `most`: see `named`. */
function pictureOf(item, highest, most) {
  const [width, height] = item.size;
  const shown = marks(item);
  const frame = h('div', {class: 'picture'},
    item.picture
      ? h('img', {src: item.picture, alt: '', decoding: 'async', width, height})
      : h('div', {class: 'no-picture'}, 'no picture'),
    svg('svg', {viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': sentence(item)}, shown.map(rectangle)),
    VIEW.layers.names ? named(shown, most).map((mark) => nameTag(mark, item.size)) : []);
  frame.style.aspectRatio = `${width} / ${height}`;
  frame.style.maxWidth = `calc(${highest} * ${(width / height).toFixed(4)})`;
  return frame;
}

/** What the overlay shows, for those who don't see it. */
function sentence(item) {
  const parts = [count(item.truth.length, 'true box', 'true boxes'), `${item.now.kept.length} predicted`];
  for (const kind of MISTAKES) {
    if (item.now.kinds[kind]) parts.push(`${item.now.kinds[kind]} ${KIND_WORDS[kind][0].toLowerCase()}`);
  }
  return `${item.name}: ${parts.join(', ')}`;
}
