"""The look of the check's page, light and dark. Takes nothing, gives CSS."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --back: #fff; --front: #1c2024; --soft: #667; --line: #d8dce2;
  --card: #f6f7f9; --bar: #3f7bd8; --error: #c0262d; --warning: #9a6200; --note: #3b6ea8; }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --front: #e6e8ea; --soft: #9aa3ad;
  --line: #343a41; --card: #1d2125; --bar: #6ea2f0; --error: #ff7b80; --warning: #f0b95a; --note: #8fbcf0; } }
body { margin: 0; background: var(--back); color: var(--front); font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 16px 20px 60px; }
h1 { font-size: 1.25rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin: 28px 0 10px; }
details { border: 1px solid var(--line); border-radius: 6px; margin: 6px 0; padding: 6px 12px; }
summary { cursor: pointer; } summary span { color: var(--soft); }
ul { margin: 6px 0; padding-left: 18px; } li { overflow-wrap: anywhere; } code { font-size: 0.9em; }
.error { color: var(--error); } .warning { color: var(--warning); } .note { color: var(--note); }
.charts, .sheet { display: grid; gap: 14px; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); }
figure { margin: 0; padding: 10px; background: var(--card);
  border: 1px solid var(--line); border-radius: 6px; }
figcaption { font-size: 0.85rem; overflow-wrap: anywhere; } figcaption p { margin: 2px 0; }
.chart, .card svg { display: block; width: 100%; height: auto; } .card svg { margin-bottom: 6px; }
.chart text { fill: var(--soft); font-size: 11px; } .bar { fill: var(--bar); }
.dot { fill: var(--bar); fill-opacity: 0.6; }
.mark { stroke: var(--error); stroke-dasharray: 4 3; } .empty { color: var(--soft); }
.card text { paint-order: stroke; stroke: #000c; } .card g:hover rect { fill: #fff3; }
"""
