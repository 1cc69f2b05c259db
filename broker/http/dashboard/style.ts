/** Style of the dashboard: light and dark, from a wall screen down to a phone. */

export const DASHBOARD_STYLE = `
:root {
  color-scheme: light dark; --line: #8883; --soft: #8882; --dim: #707680; --good: #1f9d61;
  --bad: #d1495b; --busy: #3a7bd5; --card: #ffffff; --page: #f5f6f8;
}
@media (prefers-color-scheme: dark) {
  :root { --card: #1c2026; --page: #13161a; --dim: #98a0ab; }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.2rem; max-width: 72rem; background: var(--page);
  font: 15px/1.45 system-ui, sans-serif;
}
header { display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: baseline; }
h1 { margin: 0; font-size: 1.5rem; letter-spacing: -.02em; }
#link, .soft { color: var(--dim); font-size: .85rem; }
#link { margin-left: auto; }
#share {
  display: flex; height: .6rem; margin: 1rem 0 .7rem; border-radius: 1rem; overflow: hidden;
}
#share i { display: block; min-width: 2px; }
#counts { display: flex; flex-wrap: wrap; gap: .6rem; }
.count, .rollout, table {
  background: var(--card); border: 1px solid var(--line); border-radius: .7rem;
}
.count { padding: .5rem .9rem; border-left-width: .3rem; overflow-wrap: anywhere; }
.count b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.rollout {
  display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin-top: .6rem; padding: .6rem .9rem;
}
.rollout p, .gate, .waves { flex-basis: 100%; margin: 0; }
.waves { display: flex; flex-wrap: wrap; gap: .3rem; padding: .2rem 0; list-style: none; }
.waves li { padding: .1rem .6rem; border: 1px solid var(--line); border-radius: .5rem; }
.waves li.open { border-color: var(--busy); }
.waves .soft { margin-left: .5rem; }
.gate p { display: flex; flex-wrap: wrap; gap: .2rem .6rem; }
.gate table { border: 0; font-size: .85rem; }
.gate td { padding: .15rem .8rem .15rem 0; border: 0; }
.gate td:nth-child(2) { min-width: 0; }
table { width: 100%; border-collapse: separate; border-spacing: 0; overflow: hidden; }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: .78rem; }
td, th { padding: .5rem .8rem; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:last-child td { border-bottom: 0; }
td { overflow-wrap: anywhere; }
td:nth-child(2) { min-width: 7rem; }
.name { font-weight: 600; }
.dot {
  display: inline-block; width: .6em; height: .6em; margin-right: .5em; border-radius: 50%;
  border: 1px solid var(--dim);
}
.dot.on { background: var(--good); border-color: var(--good); }
.tag { padding: .05rem .5rem; border-radius: 1rem; background: var(--soft); white-space: nowrap; }
.tag.busy { background: var(--busy); color: #fff; }
.tag.good { background: var(--good); color: #fff; }
.tag.bad { background: var(--bad); color: #fff; }
.bar { height: .4rem; margin-top: .4rem; border-radius: 1rem; background: var(--soft); }
.bar i { display: block; height: 100%; border-radius: 1rem; background: var(--busy); }
.why { color: var(--bad); }
form { margin: 2rem 0; display: flex; gap: .5rem; }
input, button {
  padding: .5rem .7rem; font: inherit; border: 1px solid var(--line); border-radius: .5rem;
}
input { flex: 1; min-width: 0; max-width: 32rem; background: var(--card); color: inherit; }
#find { display: block; width: 100%; margin: 1rem 0 .6rem; }
[hidden] { display: none !important; }
@media (max-width: 40rem) {
  body { padding: .8rem; }
  thead { display: none; }
  tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  td { display: block; padding: .15rem .8rem; border: 0; }
  td:empty { display: none; }
}
`;
