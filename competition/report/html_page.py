"""The look and the behaviour of the HTML report; without the script it can be read whole."""

STYLE = r"""
@page { size: A4; margin: 18mm }
body { max-width: 52rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; color: #1a1a1a; background: #fff; line-height: 1.6;
  font-family: "Noto Sans CJK SC", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", Arial, sans-serif;
  overflow-wrap: break-word }
h1 { margin: 0; line-height: 1.25 } h2 { margin-top: 2.2rem; border-bottom: 2px solid #0072b2; padding-bottom: .2rem }
h2, h3 { break-after: avoid; line-height: 1.3 } p.subtitle { margin-top: .3rem }
p.subtitle, figcaption { color: #555 }
a { color: #005a9c } a:focus-visible, button:focus-visible, [tabindex]:focus-visible { outline: 3px solid #d55e00 }
a.skip { position: absolute; left: -100vw } a.skip:focus { left: 1rem; top: .5rem; background: #fff; padding: .3rem }
nav { border: 1px solid #ccc; border-radius: .4rem; padding: .2rem 1rem; font-size: .95rem }
nav ol { list-style: none; padding-left: 0; columns: 16rem }
section.abstract h2 { border: 0; font-size: 1.05rem; margin: 1.2rem 0 0 } section.abstract p { margin: .3rem 0 }
figure { margin: 1.4rem 0 } figure.picture { break-inside: avoid; text-align: center }
figcaption { font-size: .9rem } figure.table figcaption { break-after: avoid; padding-bottom: .4rem }
img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem }
div.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem; border-bottom: 2px solid }
thead th { border-top: 2px solid; border-bottom: 1px solid } tr { break-inside: avoid }
th, td { padding: .25rem 1.2rem .25rem 0; text-align: left; vertical-align: top; min-width: 4.5em }
tbody th { font-weight: inherit } tbody tr + tr > * { border-top: 1px solid #e4e4e4 }
.number { text-align: right; font-variant-numeric: tabular-nums }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; text-align: inherit;
  cursor: pointer }
th button::after { content: "\a0\2195"; opacity: .65 } th[aria-sort=ascending] button::after { content: "\a0\2191" }
th[aria-sort=descending] button::after { content: "\a0\2193" }
pre { background: #f3f3f3; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem }
.draft { background: #fff4d6; border-left: 4px solid #d55e00; padding: .5rem .8rem }
.draft strong { color: #8a3a00; font-size: .85rem; margin-right: .5em }
ol.references { font-size: .9rem; padding-left: 0; list-style: none } ol.references li { margin: .4rem 0 }
:target { background: #fff4d6 }
button.zoom { border: 0; padding: 0; background: none; cursor: zoom-in; max-width: 100% }
dialog { width: 96vw; height: 96vh; max-width: none; max-height: none; box-sizing: border-box; padding: .6rem;
  border: 0; background: #fff; color: #1a1a1a } dialog::backdrop { background: rgb(0 0 0 / 70%) }
dialog[open] { display: flex; flex-direction: column; gap: .4rem }
dialog button { align-self: end; font: inherit; padding: .3rem .9rem }
dialog img { flex: 1; min-height: 0; width: 100%; object-fit: contain; cursor: zoom-out }
@media screen and (max-width: 40rem) { figure.picture :is(img, button) { width: 100% !important } }
@media screen and (prefers-color-scheme: dark) {
  body, a.skip:focus { color: #e6e6e6; background: #16181c } a { color: #8cc8ff } h2 { border-color: #4aa3df }
  p.subtitle, figcaption { color: #b8b8b8 } nav { border-color: #555 } pre { background: #24272d }
  tbody tr + tr > * { border-top-color: #3a3d44 } .draft, :target { background: #3a2f14 }
  .draft strong { color: #ffc27a }
  figure.picture img { padding: .5rem; box-sizing: border-box }
}
@media print {
  body { padding: 0; font-size: 10pt } a.skip, th button::after { display: none } a { color: inherit }
  div.scroll { overflow: visible } td, tbody th { overflow-wrap: anywhere; min-width: 0 } thead th { min-width: 0 }
  thead button { display: contents } .draft, pre { print-color-adjust: exact }
}
"""

# the words of the buttons stand in the dialog's attributes
SCRIPT = r"""
"use strict";

// the number at the start of a text, such as 92.6 of "92.6 % (91-93)"; NaN if there is none
function numberOf(text) {
  const plain = text.replace(/\u2212/g, "-").replace(/(\d),(?=\d{3}(\D|$))/g, "$1");
  const found = plain.match(/^[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i);
  return found ? Number(found[0]) : NaN;
}

function sortBy(table, column, descending) {
  const body = table.tBodies[0], language = document.documentElement.lang;
  const text = row => row.cells[column].textContent.trim();
  const rows = [...body.rows], filled = rows.filter(text), empty = rows.filter(row => !text(row));
  const numeric = filled.every(row => !Number.isNaN(numberOf(text(row))));
  const compare = numeric
    ? (one, other) => numberOf(text(one)) - numberOf(text(other))
    : (one, other) => text(one).localeCompare(text(other), language, { numeric: true });
  filled.sort((one, other) => descending ? compare(other, one) : compare(one, other));
  body.append(...filled, ...empty);
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  for (const [column, head] of heads.entries()) {
    if (!head.textContent) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sortBy(table, column, descending);
    });
  }
}

function makeZoomable(image, dialog) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "zoom";
  // a width in percent is one of the figure, not of the button
  button.style.width = image.style.width;
  button.setAttribute("aria-label", dialog.dataset.enlarge + ": " + image.alt);
  image.replaceWith(button);
  button.append(image);
  image.style.width = "100%";
  button.addEventListener("click", () => {
    const large = dialog.querySelector("img");
    large.src = image.src;
    large.alt = image.alt;
    dialog.showModal();
  });
}

const dialog = document.querySelector("dialog");
dialog.addEventListener("click", () => dialog.close());
document.querySelectorAll("figure.picture img").forEach(image => makeZoomable(image, dialog));
document.querySelectorAll("table").forEach(table => table.tBodies[0].rows.length > 1 && makeSortable(table));
"""
