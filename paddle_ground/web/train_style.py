"""How plans, states and curves of trainings look. Knows nothing but classes."""

STYLE = """
.plan { display: grid; gap: 10px; font-size: 14px; }
.plan p { margin: 0; } .small { color: var(--body-text-color-subdued); font-size: 12px; }
.plan table { width: 100%; border-collapse: collapse; }
.plan table, .plan tr, .plan td { border: 0 !important; background: none !important; }
.plan td { padding: 2px 0 !important; }
.plan td:last-child { text-align: right; padding-left: 12px !important; }
.plan td i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 7px; }
.plan .bar { display: flex; height: 16px; border-radius: 4px; overflow: hidden; }
.plan .bar { background: var(--border-color-primary); } .plan .bar i { height: 100%; }
.plan .verdict.good b { color: #15803d; } .plan .verdict.bad b { color: #b91c1c; }
.plan .finding { padding: 6px 10px; border-left: 4px solid; overflow-wrap: anywhere; }
.plan .finding.bad { border-color: #dc2626; background: rgba(220, 38, 38, 0.09); }
.plan .finding.warn { border-color: #d97706; background: rgba(217, 119, 6, 0.09); }
.plan ol { margin: 0; padding-left: 20px; } .plan code { font-size: 12px; overflow-wrap: anywhere; }
.m0 { background: #4f46e5; } .m1 { background: #0891b2; } .m2 { background: #db2777; }
.m3 { background: #d97706; } .m4 { background: #16a34a; } .m5 { background: #7c3aed; }
.m6 { background: #9ca3af; }
.chart .grid { stroke: var(--border-color-primary); stroke-width: 1; }
.chart .line { fill: none; stroke: currentColor; stroke-width: 2; }
.chart .line.faint { stroke-opacity: 0.3; stroke-width: 1; }
.chart circle.dot { fill: currentColor; fill-opacity: 1; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 12px; padding-left: 6px; }
.legend .faint { opacity: 0.6; } .legend span::before { content: "\\25CF  "; }
.log { display: flex; flex-direction: column-reverse; max-height: 340px; overflow: auto; padding: 10px; }
.log { background: var(--background-fill-secondary); border-radius: var(--radius-lg); }
/* The newest line is where one looks: a column from the bottom up stays there while lines come. */
.log pre { margin: 0; font: 12px/1.5 var(--font-mono); white-space: pre-wrap; overflow-wrap: anywhere; }
.caption { margin: 0 0 6px; }
.bottom { align-items: flex-end; }
.c0 { color: #4f46e5; } .c1 { color: #ea580c; } .c2 { color: #16a34a; } .c3 { color: #db2777; }
.c4 { color: #0891b2; }
"""
