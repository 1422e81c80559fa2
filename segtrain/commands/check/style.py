"""How the page looks, in light and dark."""

CSS = """
:root { color-scheme: light dark; --page: #f6f6f4; --card: #ffffff; --ink: #1c1c1a; --quiet: #63635e; --line: #deded9;
  --code: #f1f1ee; --error: #b3261e; --warning: #8f5600; --note: #1f5fa8; --good: #1b7a3d;
  --split-1: #2a78d6; --split-2: #e0672c; --split-3: #159a6b; --split-4: #8a63d2; }
@media (prefers-color-scheme: dark) { :root { --page: #191918; --card: #232321; --ink: #ecece8; --quiet: #a3a39c;
  --line: #3a3a36; --code: #1b1b1a; --error: #ff8a80; --warning: #f0b45a; --note: #86b8f5; --good: #6fd195;
  --split-1: #5a9df0; --split-2: #f08a55; --split-3: #3fc495; --split-4: #b094ee; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 36px 0 12px; }
h3 { font-size: 16px; margin: 0; overflow-wrap: anywhere; }
p { margin: 6px 0; }
.quiet { color: var(--quiet); font-size: 14px; }
.verdict { font-weight: 600; margin-top: 10px; }
.verdict.error, .level.error { color: var(--error); } .verdict.warning, .level.warning { color: var(--warning); }
.verdict.note, .level.note { color: var(--note); } .verdict.good { color: var(--good); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 16px 18px;
  margin: 12px 0; }
.finding { border-left: 4px solid var(--line); } .finding.error { border-left-color: var(--error); }
.finding.warning { border-left-color: var(--warning); } .finding.note { border-left-color: var(--note); }
nav ol { list-style: none; margin: 0; padding: 0; } nav li { display: flex; align-items: baseline; }
nav .level { flex: 0 0 72px; }
nav a { color: inherit; text-decoration-color: var(--line); overflow-wrap: anywhere; }
nav a:hover { text-decoration-color: currentColor; }
.level { font-size: 13px; font-weight: 600; }
.label { color: var(--quiet); font-size: 14px; display: flex; justify-content: space-between; align-items: end;
  margin: 12px 0 4px; }
button { font: inherit; font-size: 13px; color: var(--ink); background: var(--card); border: 1px solid var(--line);
  border-radius: 6px;
  padding: 2px 10px; cursor: pointer; }
button:focus-visible, summary:focus-visible { outline: 2px solid var(--note); outline-offset: 2px; }
pre { background: var(--code); border: 1px solid var(--line); border-radius: 6px; margin: 0; padding: 10px 12px;
  overflow: auto;
  max-height: 360px; font: 13.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
details { margin-top: 10px; font-size: 14px; } summary { cursor: pointer; color: var(--quiet); }
details ul { margin: 6px 0 0; padding-left: 20px; max-height: 300px; overflow: auto; overflow-wrap: anywhere; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 14px;
  margin-top: 12px; }
figure { margin: 0; } figure img { display: block; width: 100%; height: auto; border-radius: 4px; }
figcaption { color: var(--quiet); font-size: 13px; margin-top: 4px; overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 14px; }
.swatch { display: inline-block; width: 13px; height: 13px; border-radius: 3px; margin-right: 7px;
  vertical-align: -1px;
  border: 1px solid var(--line); }
.dot { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 6px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; } th { color: var(--quiet); font-weight: 500; text-align: left;
  vertical-align: bottom; }
td, th { padding: 3px 14px 3px 0; white-space: nowrap; } tbody tr { border-top: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
table.classes { width: 100%; } .strip { width: 45%; min-width: 240px; } .strip svg { display: block; width: 100%;
  height: auto; }
tr.absent td { color: var(--error); }
svg text { fill: var(--quiet); font-size: 11px; } .strip text { font-size: 8.5px; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .stem { stroke: var(--quiet); stroke-width: 1.5; } svg circle { stroke: var(--card); stroke-width: 1.5; }
svg .size { fill: var(--split-1); fill-opacity: 0.6; } svg .crop { fill: none; stroke: var(--split-2);
  stroke-width: 2; }
.beside { display: flex; flex-wrap: wrap; gap: 10px 36px; align-items: flex-start; } .sizes { width: 340px;
  max-width: 100%; height: auto; }
@media (max-width: 560px) { main { padding: 18px 12px 40px; } .card { padding: 12px; }
  .pictures { grid-template-columns: 1fr; } }
"""

COPY = """
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = button.closest(".fix").querySelector("pre").textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "copied"; }
    catch { getSelection().selectAllChildren(button.closest(".fix").querySelector("pre")); }
  });
}
"""
