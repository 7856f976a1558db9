// Curves as inline SVG: precision against recall, and F1 against the score threshold.

const CHART = {width: 460, height: 320, left: 48, right: 14, top: 14, bottom: 44};

function chartX(value) {
  return CHART.left + value * (CHART.width - CHART.left - CHART.right);
}

function chartY(value) {
  return CHART.height - CHART.bottom - value * (CHART.height - CHART.top - CHART.bottom);
}

function line(xs, ys, name) {
  if (xs.length === 1) return svg('circle', {class: `dot ${name}`, cx: chartX(xs[0]), cy: chartY(ys[0]), r: 4});
  const points = xs.map((x, i) => `${chartX(x).toFixed(1)},${chartY(ys[i]).toFixed(1)}`).join(' ');
  return svg('polyline', {class: `curve ${name}`, points});
}

function axes(xName, yName) {
  const parts = [];
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(
      svg('line', {class: 'grid', x1: chartX(tick), x2: chartX(tick), y1: chartY(0), y2: chartY(1)}),
      svg('line', {class: 'grid', x1: chartX(0), x2: chartX(1), y1: chartY(tick), y2: chartY(tick)}),
      svg('text', {class: 'tick', x: chartX(tick), y: chartY(0) + 17, 'text-anchor': 'middle'}, String(tick)),
      svg('text', {class: 'tick', x: chartX(0) - 8, y: chartY(tick) + 4, 'text-anchor': 'end'}, String(tick)),
    );
  }
  const middle = (chartY(0) + chartY(1)) / 2;
  parts.push(
    svg('text', {class: 'axis', x: chartX(0.5), y: CHART.height - 6, 'text-anchor': 'middle'}, xName),
    svg('text', {class: 'axis', x: 13, y: middle, 'text-anchor': 'middle', transform: `rotate(-90 13 ${middle})`}, yName),
  );
  return parts;
}

/** One chart; series: {name, style, xs, ys, ts}, the first one read out under the pointer. */
function chart(title, xName, yName, series) {
  const marker = svg('circle', {class: 'dot marker', r: 4, visibility: 'hidden'});
  const reading = h('p', {class: 'reading', 'aria-live': 'off'}, '\u00a0');
  const picture = svg(
    'svg',
    {viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: 'img', 'aria-label': summary(title, series)},
    axes(xName, yName),
    [...series].reverse().map((one) => line(one.xs, one.ys, one.style)),
    marker,
  );
  const [first] = series;
  picture.addEventListener('pointermove', (event) => {
    if (!first.xs.length) return;
    const frame = picture.getBoundingClientRect();
    const x = (event.clientX - frame.left) / frame.width * CHART.width;
    const row = first.xs.reduce((best, value, i) => (
      Math.abs(chartX(value) - x) < Math.abs(chartX(first.xs[best]) - x) ? i : best
    ), 0);
    marker.setAttribute('cx', chartX(first.xs[row]));
    marker.setAttribute('cy', chartY(first.ys[row]));
    marker.setAttribute('visibility', 'visible');
    reading.textContent = first.tell(row);
  });
  picture.addEventListener('pointerleave', () => {
    marker.setAttribute('visibility', 'hidden');
    reading.textContent = '\u00a0';
  });
  const legend = h('ul', {class: 'legend'}, series.map((one) => h('li', {class: one.style}, one.name)));
  return h('figure', {class: 'chart'}, h('figcaption', null, title), picture, legend, reading);
}

function summary(title, series) {
  return `${title}: ${series.map((one) => `${one.name}, ${count(one.xs.length, 'point')}`).join('; ')}`;
}

function series(curve, name, style, x, y) {
  const tell = (i) => `${name} · threshold ${curve.t[i].toFixed(2)} · precision ${percent(curve.p[i])} · recall ${percent(curve.r[i])} · F1 ${percent(curve.f[i])}`;
  return {name, style, xs: curve[x], ys: curve[y], tell};
}

function drawCharts(row) {
  const pooled = DATA.curves[0];
  const all = (x, y) => {
    const drawn = [series(pooled, 'all classes', 'main', x, y)];
    if (row > 0) drawn.unshift(series(DATA.curves[row], DATA.curves[row].name, 'chosen', x, y));
    else if (DATA.curveBefore) drawn.push(series(DATA.curveBefore, 'all classes, before', 'before', x, y));
    return drawn;
  };
  byId('charts').replaceChildren(
    chart('Precision and recall', 'recall', 'precision', all('r', 'p')),
    chart('F1 by score threshold', 'score threshold', 'F1', all('t', 'f')),
  );
  const chosen = DATA.curves[row];
  const best = DATA.scored && chosen.best !== null ? `; highest F1 from score ${chosen.best.toFixed(2)} on` : '';
  byId('curve-note').textContent = `${count(chosen.boxes, 'true box', 'true boxes')}${best}`;
}

function showCurves() {
  const chooser = byId('curve-class');
  chooser.append(...DATA.curves.map((curve, row) => h('option', {value: row}, row ? curve.name : 'all classes')));
  chooser.addEventListener('change', () => drawCharts(Number(chooser.value)));
  drawCharts(0);
}
