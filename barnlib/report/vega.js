/* Draws every <figure class="chart"> of a page with vega-embed: as wide as its place, in the page's colour mode,
   again when either changes. A chart says in usermeta.barn how it adapts:
     columns, panel  facets beside each other at most, and the least width of one without its axis, in pixels
     dark            colours to exchange in dark mode, from light to dark */
(function () {
  "use strict";

  function fit(spec, width) {
    const barn = (spec.usermeta && spec.usermeta.barn) || {};
    spec.config = spec.config || {};
    spec.config.legend = Object.assign({ columns: Math.max(1, Math.floor(width / 150)) }, spec.config.legend);
    if (spec.facet) {
      const around = 70; // of each panel: axis, its labels and title, and the space to the next panel
      const least = (barn.panel || 130) + around;
      const columns = Math.max(1, Math.min(barn.columns || 1, Math.floor((width + 15) / least)));
      spec.columns = columns;
      spec.spec.width = Math.max(120, Math.floor((width + 15) / columns) - around);
    } else if (!spec.hconcat && !spec.vconcat && !spec.concat && !spec.repeat) {
      spec.width = width;
      spec.autosize = { type: "fit-x", contains: "padding" };
    }
    return spec;
  }

  function recolour(value, exchange) {
    if (typeof value === "string") { return Object.hasOwn(exchange, value) ? exchange[value] : value; }
    if (Array.isArray(value)) { return value.map((part) => recolour(part, exchange)); }
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, recolour(part, exchange)]));
    }
    return value;
  }

  function isDark() {
    return document.documentElement.dataset.theme === "dark";
  }

  async function draw(figure) {
    const view = figure.querySelector(".chart-view");
    const width = Math.floor(view.clientWidth);
    const state = width + (isDark() ? " dark" : " light");
    if (width === 0 || figure.dataset.drawn === state) { return; }
    figure.dataset.drawn = state;
    let spec = fit(JSON.parse(figure.querySelector("script").textContent), width);
    const dark = spec.usermeta && spec.usermeta.barn && spec.usermeta.barn.dark;
    if (isDark() && dark) { spec = recolour(spec, dark); }
    if (figure.drawing) { figure.drawing.finalize(); }
    figure.drawing = await window.vegaEmbed(view, spec, {
      mode: "vega-lite",
      renderer: "svg",
      actions: false,
      tooltip: { theme: isDark() ? "dark" : "light" },
    });
  }

  function drawAll() {
    document.querySelectorAll("figure.chart").forEach((figure) => {
      draw(figure).catch((error) => {
        figure.querySelector(".chart-view").textContent = "This chart could not be drawn: " + error.message;
        console.error(error);
      });
    });
  }

  function start() {
    drawAll();
    let waiting;
    const later = () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 120); };
    const sizes = new ResizeObserver(later);
    document.querySelectorAll("figure.chart").forEach((figure) => sizes.observe(figure));
    new MutationObserver(later).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  // The theme chooses the colour mode when the document is ready: drawn after that, a chart is drawn once.
  if (document.readyState === "complete") { start(); } else {
    document.addEventListener("DOMContentLoaded", () => setTimeout(start, 0));
  }
})();
