// Draws figures with Vega; everything else on the pages is htmx or plain HTML.

const darkScheme = matchMedia("(prefers-color-scheme: dark)");

async function draw(figure) {
  const theme = darkScheme.matches ? "dark" : "light";
  // Changes when a trial has ended; a figure of the same version is not drawn again.
  const ended = document.querySelector("[data-ended]")?.dataset.ended ?? "";
  const version = `${theme} ${ended}`;
  if (figure.dataset.shown === version) return;
  if ("empty" in figure.dataset && ended === "0") return;
  figure.dataset.shown = version;
  const drawing = figure.querySelector(".drawing");
  drawing.removeAttribute("role");
  try {
    const response = await fetch(`${figure.dataset.figure}format=vega-lite&theme=${theme}`);
    if (!response.ok) throw new Error((await response.json()).detail);
    // `ast` runs expressions in Vega's interpreter: the Content-Security-Policy forbids eval.
    await vegaEmbed(drawing, await response.json(), {
      ast: true,
      actions: false,
      defaultStyle: false,
      tooltip: { disableDefaultStyle: true },
      renderer: "svg",
    });
    // Vega refers to gradients by the address of the page, which a tab or a choice may change.
    for (const mark of drawing.querySelectorAll('[fill^="url("]'))
      mark.setAttribute("fill", mark.getAttribute("fill").replace(/url\([^#]*#/, "url(#"));
    delete figure.dataset.empty;
    const svg = drawing.querySelector("svg");
    // As wide as the page, where that does not make the text large; narrower pages scroll.
    const width = Number(svg.getAttribute("width"));
    Object.assign(svg.style, { width: "100%", height: "auto", minWidth: `${0.72 * width}px`, maxWidth: `${1.6 * width}px` });
    // For screen readers it is one image with one name; the CSV link below has its data.
    svg.setAttribute("aria-hidden", "true");
    drawing.setAttribute("role", "img");
    drawing.setAttribute("aria-label", drawing.dataset.title);
  } catch (error) {
    drawing.textContent = error.message;
  }
}

function drawAll() {
  document.querySelectorAll("[data-figure]").forEach(draw);
}

drawAll();
darkScheme.addEventListener("change", drawAll);
// htmx inserted other figures, or another trial has ended.
document.addEventListener("htmx:after:swap", drawAll);

// A hidden page does not poll.
document.addEventListener("htmx:before:request", (event) => {
  const polls = event.detail.ctx.sourceElement.getAttribute("hx-trigger")?.startsWith("every");
  if (polls && document.hidden) event.preventDefault();
});

// Copies the text of a file to the clipboard.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const response = await fetch(button.dataset.copy);
  const text = await response.text();
  try {
    if (!response.ok) throw new Error(JSON.parse(text).detail);
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch (error) {
    // Without a secure connection there is no clipboard: the link beside it has the text.
    button.textContent = "Not copied";
    button.title = error.message;
  }
});
