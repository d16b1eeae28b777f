"""The style sheet of the page: light and dark, wide, narrow and printed."""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --raised: #f4f6f7; --ink: #1b2227; --muted: #55616b;
  --rule: #d9dee2; --accent: #1f6a96; --focus: #1f6a96; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12171b; --raised: #1b2228; --ink: #e3e8ec; --muted: #a4afb8; --rule: #36414a;
    --accent: #7cc0e8; --focus: #7cc0e8; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", sans-serif; }
header, main { max-width: 72rem; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 2.5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .75rem; font-weight: 650; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 0 0 .75rem; font-weight: 650; }
h3 { font-size: 1rem; line-height: 1.4; margin: 1.75rem 0 .25rem; font-weight: 650; }
section { margin-top: 2.5rem; padding-top: 1.5rem; border-top: 1px solid var(--rule); }
p, ul { max-width: 46rem; margin: 0 0 .9rem; }
ul { padding-left: 1.2rem; }
li { margin-bottom: .35rem; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
.note, figcaption, .interval, .absent { color: var(--muted); font-size: .875rem; }
.claims { font-size: 1.1rem; }
.warning { border-left: 4px solid #d2722e; padding: .5rem .9rem; background: var(--raised); }
.summary { display: flex; flex-wrap: wrap; gap: .15rem 1.5rem; margin: 0 0 1.5rem; color: var(--muted); }
.summary div { display: flex; gap: .4rem; }
.summary dd { margin: 0; color: var(--ink); }
.headline { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1rem; margin: 0 0 1.5rem; }
.headline div { background: var(--raised); border-radius: .5rem; padding: .9rem 1.1rem 1rem; }
.headline dt { color: var(--muted); font-size: .875rem; }
.headline dd { margin: 0; }
.headline .value { font-size: 2rem; line-height: 1.25; font-weight: 650; }
.headline .value .absent { font-size: 1.25rem; font-weight: 400; }
.headline .beside { color: var(--muted); font-size: .875rem; line-height: 1.45; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; max-width: none; }
nav li { margin: 0; }
nav a { display: inline-block; padding: .2rem 0; }
.scroll { overflow-x: auto; margin: 0 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--muted); font-size: .875rem; padding: 0 0 .4rem; }
th, td { text-align: right; vertical-align: top; padding: .45rem 0 .45rem 1.25rem; border-bottom: 1px solid var(--rule);
  white-space: nowrap; overflow-wrap: normal; }
th:first-child { text-align: left; padding-left: 0; }
caption span { display: block; position: sticky; left: 0; width: max-content;
  max-width: min(100%, calc(100vw - 2rem)); }
thead th { font-weight: 500; color: var(--muted); font-size: .875rem; vertical-align: bottom; }
tbody th { font-weight: 500; }
td .interval { display: block; font-size: .8125rem; }
.words td, .words th { text-align: left; white-space: normal; overflow-wrap: break-word; }
.words td:last-child { overflow-wrap: anywhere; min-width: 14rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.5rem; }
figure { margin: 0; }
.charts.small { grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); margin-top: 1.5rem; }
.charts + .note { margin-top: 1rem; }
.chart svg { display: block; width: 100%; max-width: 34rem; height: auto; color: var(--muted); }
.chart svg text { font-family: inherit !important; }
.chart figcaption { max-width: 34rem; margin-top: .4rem; }
.place .note span { white-space: nowrap; }
.channels { display: grid; grid-template-columns: repeat(12, minmax(0, 1fr)); gap: .35rem; }
.channels img { display: block; width: 100%; height: auto; border-radius: 2px; }
.channels figcaption { font-size: .75rem; line-height: 1.3; margin-top: .15rem; }
.place .note { max-width: none; margin-bottom: .4rem; }
.ramp { display: inline-block; width: 5rem; height: .7rem; margin-left: .4rem; border-radius: 2px; }
.swatch { display: inline-block; width: 1.6rem; height: .7rem; border-radius: 2px; vertical-align: baseline; }
summary { cursor: pointer; color: var(--accent); padding: .25rem 0; }
pre { white-space: pre-wrap; font: .8125rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  background: var(--raised); border-radius: .5rem; padding: 1rem; margin: .5rem 0 0; }
footer { height: 3rem; }
@media screen and (min-width: 90rem) { #quicklook { margin-left: -7rem; margin-right: -7rem; } }
@media (max-width: 52rem) {
  header, main { padding-left: 1rem; padding-right: 1rem; }
  header { padding-top: 1.5rem; }
  h1 { font-size: 1.5rem; }
  .headline { grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem; }
  .headline div { padding: .7rem .8rem; }
  .headline .value { font-size: 1.6rem; }
  .channels { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  th:first-child { position: sticky; left: 0; background: var(--paper); }
  tbody th { white-space: normal; min-width: 7rem; }
  .words thead { display: none; }
  .words tbody, .words tr, .words th, .words td { display: block; padding: 0; border: 0; }
  .words tr { padding: .5rem 0; border-bottom: 1px solid var(--rule); } }
@media print {
  :root { color-scheme: light; --paper: #fff; --raised: #f4f6f7; --ink: #000; --muted: #444; --rule: #ccc;
    --accent: #000; }
  header, main { max-width: none; padding: 0; }
  nav { display: none; }
  h2, h3, caption { break-after: avoid; }
  figure, .place, tr, .headline div { break-inside: avoid; }
  .scroll { overflow: visible; }
  th, td { white-space: normal; padding-left: .6rem; }
  details::details-content { content-visibility: visible; }
}
"""
