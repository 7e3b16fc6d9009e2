"""The shell that every HTML page of ours shares: one self-contained file, light and dark, without scripts.

Colours are those of Okabe and Ito (2008), darkened or lightened until text has a contrast of 4.5 and drawings
one of 3 against the page (WCAG 2.2, 1.4.3 and 1.4.11).
"""

from __future__ import annotations

from html import escape

LIGHT = {
    "paper": "#ffffff",
    "tint": "#f4f6f8",
    "ink": "#1b1f24",
    "muted": "#57606a",
    "line": "#c9d1d9",
    "grid": "#e6eaee",
    "main": "#0072b2",
    "second": "#c44f00",
    "base": "#6e7781",
    "good": "#00694c",
    "bad": "#a33c00",
    "warn": "#7a5200",
}
DARK = {
    "paper": "#14171a",
    "tint": "#1c2126",
    "ink": "#e4e7ea",
    "muted": "#a3abb3",
    "line": "#3d444c",
    "grid": "#2a2f35",
    "main": "#56b4e9",
    "second": "#f0a020",
    "base": "#98a1ab",
    "good": "#3fc79a",
    "bad": "#ff9d66",
    "warn": "#e8b64c",
}

_STYLE = """
*{box-sizing:border-box}
html{background:var(--paper);color:var(--ink);-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:76rem;padding:clamp(1rem,3vw,2.5rem);overflow-wrap:break-word;
font:400 15px/1.5 -apple-system,BlinkMacSystemFont,"Segoe UI",Roboto,"Helvetica Neue",Arial,
"Liberation Sans","Noto Sans",sans-serif}
h1,h2,h3,p,table,figure,dl,ul,details{margin:0}
h1{font-size:1.7rem;line-height:1.2;font-weight:650;letter-spacing:-.01em}
h2{font-size:1.15rem;font-weight:650;line-height:1.3;margin:2.6rem 0 .9rem;padding-top:.7rem;
border-top:1px solid var(--line)}
h3{font-size:1rem;font-weight:650;margin:1.4rem 0 .4rem}
p,ul,details{max-width:46rem}
p+p,.scroll+p,.figures+p,dl+p{margin-top:.6rem}
a{color:var(--main)}
code,.code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:.87em;
overflow-wrap:anywhere}
.muted,.kicker,figcaption span{color:var(--muted)}
.small{font-size:.85rem}
.kicker{font-size:.85rem}
.lead{font-size:1.2rem;line-height:1.45;margin-top:1.2rem;
padding-left:.9rem;border-left:4px solid var(--base)}
.lead.good{border-color:var(--good)}
.lead.bad{border-color:var(--bad)}
.good b,b.good{color:var(--good)}
.bad b,b.bad{color:var(--bad)}
.warn b,b.warn{color:var(--warn)}
dl.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,9.4rem),1fr));gap:.5rem 1.5rem;
margin-top:1rem}
dt{color:var(--muted);font-size:.8rem}
dd{margin:0;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto;max-width:100%;margin-top:.8rem}
.tall{max-height:32rem;overflow-y:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;line-height:1.35}
th,td{text-align:left;vertical-align:top;padding:.32rem 1.1rem .32rem 0;border-bottom:1px solid var(--grid)}
thead th{border-bottom:1px solid var(--line);font-weight:600;color:var(--muted);font-size:.82rem;
vertical-align:bottom}
tbody th{font-weight:500}
.n{text-align:right;white-space:nowrap}
thead th.n{white-space:normal}
tr.chosen>*{background:var(--tint)}
tr.chosen>th{font-weight:650}
td.wide{min-width:12rem}
td small,th small{display:block;color:var(--muted);font-weight:400}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));gap:1.6rem 2rem;
margin-top:1rem;align-items:start}
.figures.level{align-items:end}
.beside{display:grid;grid-template-columns:minmax(0,25rem) minmax(0,1fr);gap:1rem 3rem;
align-items:start;margin-top:1rem}
@media (max-width:52rem){.beside{grid-template-columns:minmax(0,1fr)}}
.beside>*{min-width:0}
.beside .scroll,.figures .scroll,h3+.scroll{margin-top:.2rem}
.figures h3,.beside h3{margin-top:0}
dl.facts .broad{grid-column:span 2;min-width:0}
figure{max-width:25rem;break-inside:avoid}
figcaption{font-size:.85rem;line-height:1.4;margin-bottom:.4rem}
figcaption b{display:block;font-size:.95rem;font-weight:600}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font-size:11.5px;fill:var(--ink);font-variant-numeric:tabular-nums}
svg text.tick,svg text.axis{fill:var(--muted)}
svg .grid{stroke:var(--grid);stroke-width:1}
svg .frame{stroke:var(--line);stroke-width:1;fill:none}
svg .guide{stroke:var(--muted);stroke-width:1.2;stroke-dasharray:4 3;fill:none}
svg .main{stroke:var(--main);fill:var(--main)}
svg .second{stroke:var(--second);fill:var(--second)}
svg .base{stroke:var(--base);fill:var(--base)}
svg .whisker{stroke-width:2;stroke-linecap:round}
svg .line{fill:none;stroke-width:1.8;stroke-linejoin:round}
svg .band{stroke:none;fill-opacity:.2}
svg .mark{stroke-width:1.4;fill:none}
svg .cloud circle{fill-opacity:.38;stroke:none}
svg .cloud circle.beyond{fill:none;stroke:var(--main);stroke-width:1}
svg text.chosen{font-weight:650}
.absent{color:var(--muted);font-size:.9rem;font-style:italic}
table.matrix td{background:rgb(0 114 178/calc(var(--share)*.6));text-align:right;padding:.35rem .7rem;
border:1px solid var(--paper)}
table.matrix th{padding-left:.3rem;white-space:nowrap}
table.matrix td small{color:inherit}
summary{cursor:pointer;color:var(--muted);margin-top:.9rem}
details.open{max-width:none}
footer{margin-top:3rem}
@media print{body{max-width:none;padding:0;font-size:10pt}.tall{max-height:none;overflow:visible}
.scroll{overflow:visible}h2{break-after:avoid}details::details-content{content-visibility:visible;height:auto}
.figures{grid-template-columns:1fr 1fr}tr{break-inside:avoid}}
"""


def stylesheet() -> str:
    """The CSS of every page: light, and dark on screens whose reader prefers it; always light on paper."""
    light, dark = (";".join(f"--{k}:{v}" for k, v in colours.items()) for colours in (LIGHT, DARK))
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{_STYLE}"
    )


def page(title: str, body: str) -> str:
    """A whole HTML document around `body`, which must be safe HTML; `title` is escaped here.

    The content policy in its head forbids scripts and anything from outside the file.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n"
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{stylesheet()}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def svg_document(svg: str) -> str:
    """A drawing from one of our pages as a file of its own, with the page's colours and a background."""
    style = f'xmlns="http://www.w3.org/2000/svg" style="background:{LIGHT["paper"]}"'
    return svg.replace("<svg ", f"<svg {style} ", 1).replace(">", f"><style>{stylesheet()}</style>", 1)
