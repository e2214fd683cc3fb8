"""The look of the PDF: definitions at the start of report.typ, which its text uses."""

# what stands before: title, subtitle, language, fonts
PRELUDE = r"""
#let chinese = language == "zh"
#set document(title: title)
#set page(paper: "a4", margin: (x: 18mm, top: 18mm, bottom: 20mm), columns: 2, numbering: "1 / 1")
#set columns(gutter: 7mm)
#set text(lang: language, font: fonts, size: 9.5pt)
#set par(
  justify: true,
  leading: if chinese { 0.75em } else { 0.58em },
  spacing: if chinese { 0.75em } else { 0.7em },
  first-line-indent: if chinese { (amount: 2em, all: true) } else { 1em },
)
#set heading(numbering: "1.1")
#show heading: set par(first-line-indent: 0pt, justify: false)
#show heading.where(level: 1): set text(size: 12pt)
#show heading.where(level: 1): set block(above: 1.4em, below: 0.8em)
#show heading.where(level: 2): set text(size: 10pt)
#show heading.where(level: 2): set block(above: 1.2em, below: 0.7em)

// a long name may break after these signs, and a long word anywhere
#show regex("[/_=]|[A-Za-z0-9.:,-]{30}"): it => it + box()
#show link: set text(fill: rgb("#004f80"))
#show raw: set text(font: ("DejaVu Sans Mono", ..fonts))
#show raw.where(block: true): it => block(fill: luma(243), inset: 5pt, width: 100%, {
  set par(justify: false, leading: 0.55em)
  text(size: 8pt, it)
})

#set figure.caption(separator: gap)
#show figure.caption: set text(size: 8.5pt)
#show figure.caption: set par(first-line-indent: 0pt, justify: false)
#show figure.caption: set block(sticky: true)
#show figure: set block(breakable: false)
#set place(clearance: 1.3em)
#show table: set par(first-line-indent: 0pt, justify: false, leading: 0.5em)
#show table: set text(size: 8pt)
#set table(stroke: none, inset: (x: 4pt, y: 2.6pt))

// the place of a section's start, in pages, for the message that names the longest ones
#let section(name) = context {
  let at = here().position()
  let column = if at.x > page.width / 2 { 1 } else { 0 }
  [#metadata((name: name, place: at.page + (column + at.y / page.height) / 2)) <section>]
}

#let cited(number) = link(label("ref-" + str(number)), "[" + str(number) + "]")

// below this share of its size the letters of a figure are too small to read
#let least-share = 0.85
#let caption-room = 16mm

#let draft(mark, body) = block(
  breakable: false, width: 100%, fill: rgb("#fff4d6"), stroke: (left: 2pt + rgb("#d55e00")), inset: (x: 6pt, y: 5pt),
  {
    set par(first-line-indent: 0pt)
    text(size: 8pt, weight: "bold", fill: rgb("#8a3a00"), mark)
    h(0.6em)
    body
  },
)

// as wide as asked, and as high as it is then: where wide figures have shortened a column too far for it, it floats to
// the next one; only what is higher than its column shrinks a little, and what is higher than a page as far as it must
#let picture(path, width, alt) = layout(size => {
  let full = measure(image(path, width: width * size.width))
  let room(height) = (height - caption-room) / full.height
  let share = calc.min(1, calc.max(least-share, room(size.height)), room(page.height - 38mm))
  align(center, image(path, width: share * full.width, height: share * full.height, alt: alt))
})

#let breakable(body) = {
  show figure: set block(breakable: true)
  body
}

#let ruled(align, header, ..cells) = table(
  columns: header.len(),
  align: align,
  table.hline(stroke: 0.9pt),
  table.header(..header.map(strong), table.hline(stroke: 0.5pt)),
  ..cells,
  table.hline(stroke: 0.9pt),
)

#let front(abstract-word, abstract, keywords-word, keywords) = place(top + center, scope: "parent", float: true, {
  set par(first-line-indent: 0pt)
  text(size: 16pt, weight: "bold", hyphenate: false, title)
  parbreak()
  text(size: 10.5pt, fill: luma(70), subtitle)
  if abstract != "" {
    block(width: 88%, above: 1.6em, align(left)[*#abstract-word#gap*#abstract])
  }
  if keywords != "" {
    block(width: 88%, above: 0.9em, align(left)[*#keywords-word#gap*#keywords])
  }
  v(0.6em)
})

#let references(heading-word, ..items) = {
  heading(level: 1, numbering: none, heading-word)
  set par(first-line-indent: 0pt, justify: false, leading: 0.5em)
  set text(size: 8.5pt)
  for (index, item) in items.pos().enumerate() {
    let number = str(index + 1)
    [#block(below: 0.6em, grid(columns: (1.9em, 1fr), "[" + number + "]", item)) #label("ref-" + number)]
  }
}
"""
