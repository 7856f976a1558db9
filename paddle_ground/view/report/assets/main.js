// Put everything in its place, and join the parts: a kind or a class that is chosen above filters the gallery.

function showInGallery(changes) {
  const filter = byId('label-filter');
  const label = 'label' in changes ? changes.label : '';
  filter.value = label;
  select({kind: 'all', ...changes, label: filter.value});
  byId('gallery').scrollIntoView({block: 'start'});
}

function showTheme() {
  const button = byId('theme');
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
  const name = () => {
    button.textContent = isDark() ? 'Light' : 'Dark';
    button.setAttribute('aria-label', `Use ${isDark() ? 'light' : 'dark'} colours`);
  };
  button.addEventListener('click', () => {
    root.dataset.theme = isDark() ? 'light' : 'dark';
    name();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', name);
  name();
}

showTheme();
showHeadline();
showMistakes((kind) => showInGallery({kind}));
showCurves();
showClasses((label) => showInGallery({label}));
showConfusion();
judgeAll();
showControls();
choose();
