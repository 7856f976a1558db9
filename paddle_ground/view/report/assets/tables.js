// Everything in numbers: headline, details, mistakes, classes, confusion.

const METRIC_WORDS = {
  ap: ['AP', 'COCO’s average precision, IoU 0.50 to 0.95'],
  ap50: ['AP50', 'average precision at IoU 0.5'],
  precision: ['Precision', 'found, of all predicted boxes'],
  recall: ['Recall', 'found, of all true boxes'],
  f1: [`F1@${DATA.iou}`, 'of precision and recall'],
  f1_miou: ['F1@mIoU', 'mean of F1 at IoU 0.50 to 0.95'],
  mean_iou: ['Mean IoU', 'of the boxes that were found'],
  parse_rate: ['Parsed', 'answers that could be read'],
};
const TILES = ['ap', 'ap50', 'f1', 'parse_rate'];

function change(row) {
  const [difference, low, high] = row.change;
  const side = low > 0 ? 'better' : high < 0 ? 'worse' : 'same';
  return {side, text: signed(difference), range: `${signed(low)} … ${signed(high)}`};
}

function tile(row) {
  const [name, meaning] = METRIC_WORDS[row.name];
  const note = row.change
    ? [h('span', {class: change(row).side}, change(row).text), ` from ${percent(row.before)}`]
    : [`${percent(row.low)} … ${percent(row.high)}`];
  return h('div', {class: 'tile'},
    h('p', {class: 'tile-name', title: meaning}, name),
    h('p', {class: 'tile-value'}, percent(row.value), h('small', null, ' %')),
    h('p', {class: 'tile-note'}, note));
}

/** A value with its interval, on a line from 0 to 100 %. */
function intervalPicture(row) {
  const at = (value) => 2 + 156 * value;
  return svg('svg', {class: 'interval', viewBox: '0 0 160 18', width: 160, height: 18, 'aria-hidden': 'true'},
    svg('line', {class: 'grid', x1: at(0), x2: at(1), y1: 9, y2: 9}),
    row.before === undefined ? null : svg('circle', {class: 'dot before', cx: at(row.before), cy: 9, r: 4}),
    svg('line', {class: 'range', x1: at(row.low), x2: at(row.high), y1: 9, y2: 9}),
    svg('circle', {class: 'dot main', cx: at(row.value), cy: 9, r: 4}));
}

function showHeadline() {
  byId('about').append(
    h('b', null, DATA.names.after), ' against ', h('b', null, DATA.truth), ': ',
    `${count(DATA.images, 'image')}, ${count(DATA.truthBoxes, 'true box', 'true boxes')}.`,
    HAS_BEFORE ? ' Before: ' : '', HAS_BEFORE ? h('b', null, DATA.names.before) : '', HAS_BEFORE ? '.' : '');
  byId('tiles').append(...DATA.headline.filter((row) => TILES.includes(row.name)).map(tile));
  const columns = HAS_BEFORE ? ['Metric', 'Before', 'After', 'Change', 'Interval of the change', 'Interval'] : ['Metric', 'Value', 'Interval'];
  const rows = DATA.headline.map((row) => {
    const [name, meaning] = METRIC_WORDS[row.name];
    const cells = [h('th', {scope: 'row'}, name, h('small', null, meaning))];
    if (HAS_BEFORE) cells.push(h('td', null, percent(row.before)));
    cells.push(h('td', {class: 'strong'}, percent(row.value)));
    if (HAS_BEFORE) {
      const told = change(row);
      cells.push(h('td', {class: `strong ${told.side}`}, told.text), h('td', null, told.range));
    }
    cells.push(h('td', {class: 'picture-cell'}, intervalPicture(row), h('span', null, `${percent(row.low)} … ${percent(row.high)}`)));
    return h('tr', null, cells);
  });
  byId('headline').append(table('', columns, rows), h('p', {class: 'note'},
    `In percent. Intervals hold 95 % of ${count(DATA.bootstrap[0], 'drawing')} of the images, with replacement (bootstrap, seed ${DATA.bootstrap[1]})`,
    HAS_BEFORE ? '; those of a change draw the same images for both. Green and red: the interval leaves out zero.' : '.'));
  showDetails();
}

function showDetails() {
  const write = {'%': (value) => percent(value), n: (value) => value.toLocaleString('en'), x: (value) => value.toFixed(2)};
  const cell = (value, unit) => h('td', null, value === null ? '–' : write[unit](value) + (unit === '%' ? ' %' : ''));
  const rows = DATA.details.map(([words, unit, after, before]) => h('tr', null,
    h('th', {scope: 'row'}, words), HAS_BEFORE ? cell(before, unit) : null, cell(after, unit)));
  byId('details').append(table('', HAS_BEFORE ? ['Metric', 'Before', 'After'] : ['Metric', 'Value'], rows));
}

/** A table of words, then numbers: the first columns stand left. */
function table(caption, columns, rows, words = 1) {
  return h('table', null,
    caption ? h('caption', null, caption) : null,
    h('thead', null, h('tr', null, columns.map((name, at) => h('th', {scope: 'col', class: at < words ? 'word' : null}, name)))),
    h('tbody', null, rows));
}

// --- mistakes ----------------------------------------------------------------------------------------------

function showMistakes(choose) {
  const told = DATA.mistakes;
  const rows = [...MISTAKES.map((kind) => [kind, told.after[kind], told.before && told.before[kind]]), ['unparsed', ...told.unparsed]];
  const [gains, gainsBefore] = told.gains;
  const gain = (of, kind, style) => h('td', {class: style}, kind in of ? signed(of[kind]).replace('±', '') : '–');
  const longest = Math.max(1, ...rows.flatMap(([, after, before]) => [after, before || 0]));
  const bar = (value, style) => svg('svg', {class: 'bar', viewBox: '0 0 300 10', preserveAspectRatio: 'none', 'aria-hidden': 'true'},
    svg('rect', {class: style, width: 300 * value / longest, height: 10}));
  byId('mistake-bars').append(h('table', {class: 'bars'},
    h('thead', null, h('tr', null, ['Kind', '', ...(HAS_BEFORE ? ['Before', 'After', 'Gain before', 'Gain after'] : ['Boxes', 'Gain'])]
      .map((name) => h('th', {scope: 'col'}, name)))),
    h('tbody', null, rows.map(([kind, after, before]) => h('tr', {'data-kind': kind},
      h('th', {scope: 'row'},
        h('button', {type: 'button', class: 'link', click: () => choose(kind)}, h('i', {class: `key ${kind}`, 'aria-hidden': 'true'}), KIND_WORDS[kind][0]),
        h('small', null, KIND_WORDS[kind][1])),
      h('td', {class: 'bar-cell'}, HAS_BEFORE ? bar(before, 'before') : null, bar(after, `after ${kind}`)),
      HAS_BEFORE ? h('td', null, before.toLocaleString('en')) : null,
      h('td', {class: 'strong'}, after.toLocaleString('en'), kind === 'unparsed' ? h('small', null, 'images') : null),
      HAS_BEFORE ? gain(gainsBefore, kind) : null, gain(gains, kind, 'strong'))))),
    h('p', {class: 'note'}, `Gain: points of AP at IoU ${DATA.iou} if every mistake of the kind were mended and all others stayed (TIDE’s dAP). Gains don’t add up.`));
}

// --- classes -----------------------------------------------------------------------------------------------

const CLASS_COLUMNS = [
  ['Class', 0, null], ['AP', 1, percent], ['AP before', 2, percent], ['AP50', 3, percent], ['Precision', 4, percent],
  ['Recall', 5, percent], ['F1', 6, percent], ['True', 7, String], ['Predicted', 8, String],
].filter(([name]) => HAS_BEFORE || name !== 'AP before');
const CLASS_ORDER = {column: 7, falling: true};

function showClasses(choose) {
  const search = byId('class-search');
  search.addEventListener('input', () => drawClasses(choose));
  drawClasses(choose);
}

function drawClasses(choose) {
  const wanted = byId('class-search').value.trim().toLowerCase();
  const {column, falling} = CLASS_ORDER;
  const rows = DATA.classes.filter((row) => row[0].toLowerCase().includes(wanted)).sort((a, b) => {
    const order = column === 0 ? a[0].localeCompare(b[0]) : (a[column] ?? -1) - (b[column] ?? -1);
    return (falling ? -order : order) || a[0].localeCompare(b[0]);
  });
  byId('class-note').textContent = `${rows.length} of ${count(DATA.classes.length, 'class', 'classes')}`;
  const head = CLASS_COLUMNS.map(([name, at]) => h('th', {scope: 'col', 'aria-sort': at === column ? (falling ? 'descending' : 'ascending') : 'none'},
    h('button', {type: 'button', class: 'sort', 'data-column': at, click: () => sortClasses(at, choose)}, name)));
  const body = rows.map((row) => h('tr', null, CLASS_COLUMNS.map(([, at, write]) => (at === 0
    ? h('th', {scope: 'row'}, h('button', {type: 'button', class: 'link', click: () => choose(row[0])}, row[0]))
    : h('td', null, write(row[at]))))));
  byId('class-table').replaceChildren(h('table', null, h('thead', null, h('tr', null, head)), h('tbody', null, body)));
}

function sortClasses(column, choose) {
  CLASS_ORDER.falling = CLASS_ORDER.column === column ? !CLASS_ORDER.falling : column !== 0;
  CLASS_ORDER.column = column;
  drawClasses(choose);
  byId('class-table').querySelector(`[data-column="${column}"]`).focus();
}

// --- confusion ---------------------------------------------------------------------------------------------

function showConfusion() {
  const told = DATA.confusion;
  const names = [...told.names, null];
  const cells = new Map(told.cells.map(([truth, predicted, number]) => [JSON.stringify([truth, predicted]), number]));
  const most = Math.max(1, ...told.cells.filter(([truth, predicted]) => truth !== predicted).map(([, , number]) => number));
  const shade = (number) => Math.ceil(5 * Math.sqrt(Math.min(1, number / most)));
  const cell = (truth, predicted) => {
    const number = cells.get(JSON.stringify([truth, predicted])) || 0;
    if (truth === null && predicted === null) return h('td', {class: 'void'});
    const style = number === 0 ? 'zero' : truth === predicted ? 'right' : `shade-${shade(number)}`;
    return h('td', {class: style, title: `true: ${truth ?? 'nothing there'}, predicted: ${predicted ?? 'missed'}: ${number}`}, number ? String(number) : '·');
  };
  const rows = names.map((truth) => h('tr', null, h('th', {scope: 'row'}, truth ?? '(nothing there)'), names.map((predicted) => cell(truth, predicted))));
  byId('confusion-table').append(table('', ['true \\ predicted', ...names.map((name) => name ?? '(missed)')], rows));
  byId('confusion-table').firstChild.classList.add('matrix');
  byId('confusion-note').textContent = `Boxes are matched by place alone (IoU ${DATA.iou}), then their names are compared.`
    + (told.all > told.names.length ? ` The ${told.names.length} of ${told.all} classes that are mixed up or occur most.` : '');
  const pairs = told.pairs.slice(0, 12).map(([truth, predicted, number]) => h('tr', null,
    h('td', {class: 'word'}, truth ?? '(nothing there)'), h('td', {class: 'word'}, predicted ?? '(missed)'), h('td', null, String(number))));
  byId('confusion-pairs').append(pairs.length
    ? table('Most frequent mistakes', ['True', 'Predicted', 'Boxes'], pairs, 2)
    : h('p', {class: 'note'}, 'No box was mistaken for another.'));
}
