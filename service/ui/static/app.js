// Draws figures; everything else is htmx or plain HTML.

const darkness = matchMedia("(prefers-color-scheme: dark)");

async function draw(figure) {
  const theme = darkness.matches ? "dark" : "light";
  const results = document.querySelector("[data-ended]")?.dataset.ended ?? "";
  const shown = `${theme} ${results}`;
  if (figure.dataset.shown === shown) return;
  if ("empty" in figure.dataset && results === "0") return;
  figure.dataset.shown = shown;
  const place = figure.querySelector(".drawing");
  place.removeAttribute("role");
  try {
    const answer = await fetch(`${figure.dataset.figure}format=vega-lite&theme=${theme}`);
    if (!answer.ok) throw new Error((await answer.json()).detail);
    // `ast` runs expressions in Vega's interpreter: the Content-Security-Policy forbids eval.
    await vegaEmbed(place, await answer.json(), {
      ast: true,
      actions: false,
      defaultStyle: false,
      tooltip: { disableDefaultStyle: true },
      renderer: "svg",
    });
    delete figure.dataset.empty;
    // One picture with one name; its data are the link to csv beneath it.
    place.querySelector("svg").setAttribute("aria-hidden", "true");
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", place.dataset.title);
  } catch (error) {
    place.textContent = error.message;
  }
}

function drawAll() {
  document.querySelectorAll("[data-figure]").forEach(draw);
}

drawAll();
darkness.addEventListener("change", drawAll);
// Other figures were swapped in, or another trial has ended.
document.addEventListener("htmx:after:swap", drawAll);

// A page that nobody sees asks for nothing.
document.addEventListener("htmx:before:request", (event) => {
  const polls = event.detail.ctx.sourceElement.getAttribute("hx-trigger")?.startsWith("every");
  if (polls && document.hidden) event.preventDefault();
});
