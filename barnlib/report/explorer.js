/* The explorer: every test item with its picture, question, reference, and each backbone's answer and confidence, filtered
   by task, question type and who is right. Fills each <div class="explorer"> from window.barnExplorer (items.js).
   Texts come from data and models: they enter the page as text nodes only. A page of items is built at a time, so that
   thousands of them cost no more than twenty. The choices are kept in the address, so that a view can be shared. */
(function () {
  "use strict";

  const PAGE = 20;
  const base = new URL(".", document.currentScript.src);
  const ANY = "";

  function element(name, properties, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties || {})) {
      if (key in made) { made[key] = value; } else { made.setAttribute(key, value); }
    }
    made.append(...children); // strings become text nodes
    return made;
  }

  function percent(confidence) {
    return confidence === null ? "–" : (100 * confidence).toFixed(confidence < 0.0995 ? 1 : 0) + " %";
  }

  /* Right answers of one backbone: of the chosen seed, or of most seeds. null where there is no answer. */
  function isRight(answers, seed) {
    const given = (seed === ANY ? answers : [answers[seed]]).filter((one) => one);
    if (given.length === 0) { return null; }
    return given.filter((one) => one.right).length * 2 > given.length;
  }

  function surestWrong(item, seed) {
    let most = -1;
    for (const answers of item.answers) {
      for (const one of seed === ANY ? answers : [answers[seed]]) {
        if (one && !one.right && one.confidence !== null) { most = Math.max(most, one.confidence); }
      }
    }
    return most;
  }

  function unpacked(data) {
    return data.items.map(([id, task, split, type, difficulty, image, question, reference, answers], number) => ({
      number, id, task, split, type, difficulty, image, question, reference,
      answers: answers.map((seeds) => seeds.map((one) => one && { text: one[0], right: one[1] === 1, confidence: one[2] })),
    }));
  }

  function distinct(values) {
    return [...new Set(values)];
  }

  function explorer(place, data) {
    const items = unpacked(data);
    const state = { task: ANY, type: ANY, split: ANY, difficulty: ANY, seed: data.seeds.length ? "0" : ANY, order: "set", words: "", page: 0 };
    const wanted = data.backbones.map(() => ANY);
    const controls = {};
    const haystacks = new Map();

    function haystack(item) {
      if (!haystacks.has(item)) {
        const said = item.answers.flat().filter((one) => one).map((one) => one.text);
        haystacks.set(item, [item.id, item.question, item.reference, ...said].join("\n").toLowerCase());
      }
      return haystacks.get(item);
    }

    function select(name, label, choices, changed) {
      const control = element("select", { id: "explorer-" + name });
      fill(control, choices);
      control.addEventListener("change", () => { changed(control.value); state.page = 0; show(); });
      controls[name] = control;
      return element("label", { htmlFor: control.id }, element("span", {}, label), control);
    }

    function fill(control, choices) {
      control.replaceChildren(...choices.map(([value, text]) => element("option", { value }, text)));
    }

    function typesOf(task) {
      const there = items.filter((item) => task === ANY || data.tasks[item.task][0] === task);
      return [[ANY, "any"], ...distinct(there.map((item) => item.type)).map((type) => [type, type.replaceAll("_", " ")])];
    }

    function among(key) {
      return [[ANY, "any"], ...distinct(items.map((item) => item[key])).map((value) => [value, String(value)])];
    }

    function matching() {
      const seed = state.seed === ANY ? ANY : Number(state.seed);
      const words = state.words.toLowerCase().split(/\s+/).filter(Boolean);
      const found = items.filter((item) =>
        (state.task === ANY || data.tasks[item.task][0] === state.task) &&
        (state.type === ANY || item.type === state.type) &&
        (state.split === ANY || item.split === state.split) &&
        (state.difficulty === ANY || item.difficulty === state.difficulty) &&
        wanted.every((want, b) => want === ANY || isRight(item.answers[b], seed) === (want === "right")) &&
        words.every((word) => haystack(item).includes(word)));
      if (state.order === "sure") {
        const most = new Map(found.map((item) => [item, surestWrong(item, seed)]));
        found.sort((one, two) => most.get(two) - most.get(one) || one.number - two.number);
      }
      return found;
    }

    function card(item) {
      const seeds = state.seed === ANY ? data.seeds.map((_, s) => s) : [Number(state.seed)];
      const rows = data.backbones.flatMap((backbone, b) => seeds.map((s) => {
        const one = item.answers[b][s];
        const mark = element("span", { className: "explorer-mark" }, one ? (one.right ? "✓ right" : "✗ wrong") : "–");
        const row = element("tr", {},
          element("th", { scope: "row" }, swatch(backbone), backbone.title + (seeds.length > 1 ? ", seed " + data.seeds[s] : "")),
          element("td", { className: "explorer-answer" }, one ? one.text || "(nothing)" : "not answered"),
          element("td", {}, mark),
          element("td", {}, one ? percent(one.confidence) : "–"));
        if (one) { row.dataset.right = one.right; }
        return row;
      }));
      const head = element("tr", {}, ...["Backbone", "Answer", "Right or wrong", "Confidence"].map((name) => element("th", { scope: "col" }, name)));
      const picture = element("img", {
        src: new URL(item.image, base).href, alt: "Picture of item " + item.id, width: 128, height: 128, loading: "lazy", decoding: "async",
      });
      const about = [data.tasks[item.task][1], item.type.replaceAll("_", " "), item.difficulty, item.split, item.id].join(" · ");
      return element("li", {},
        picture,
        element("div", { className: "explorer-said" },
          element("p", { className: "explorer-question" }, item.question),
          element("p", { className: "explorer-about" }, about),
          element("p", {}, element("span", { className: "explorer-label" }, "Reference: "), item.reference),
          element("div", { className: "explorer-scroll", tabIndex: 0, role: "region", "aria-label": "Answers to item " + item.id },
            element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)))));
    }

    function swatch(backbone) {
      const made = element("span", { className: "explorer-swatch" });
      made.style.background = backbone.colour;
      made.setAttribute("aria-hidden", "true");
      return made;
    }

    function show() {
      const found = matching();
      const pages = Math.max(1, Math.ceil(found.length / PAGE));
      state.page = Math.min(Math.max(0, state.page), pages - 1);
      const start = state.page * PAGE;
      count.textContent = found.length.toLocaleString("en") + " of " + items.length.toLocaleString("en") + " items";
      list.replaceChildren(...found.slice(start, start + PAGE).map(card));
      if (found.length === 0) { list.append(element("li", { className: "explorer-none" }, "No item meets all of these choices.")); }
      for (const turner of turners) {
        turner.where.textContent = "Page " + (state.page + 1).toLocaleString("en") + " of " + pages.toLocaleString("en");
        turner.back.disabled = state.page === 0;
        turner.next.disabled = state.page === pages - 1;
      }
      remember();
    }

    function turner() {
      const back = element("button", { type: "button" }, "← Previous");
      const next = element("button", { type: "button" }, "Next →");
      const where = element("span", {});
      const turn = (by) => { state.page += by; show(); place.scrollIntoView({ block: "start" }); };
      back.addEventListener("click", () => turn(-1));
      next.addEventListener("click", () => turn(1));
      return { back, next, where, shown: element("div", { className: "explorer-pages" }, back, where, next) };
    }

    function remember() {
      const chosen = new URLSearchParams();
      for (const [key, value] of Object.entries(state)) { if (value && !(key === "order" && value === "set")) { chosen.set(key, value); } }
      if (state.seed === ANY) { chosen.set("seed", "all"); }
      wanted.forEach((want, b) => { if (want) { chosen.set("is-" + data.backbones[b].name, want); } });
      try { history.replaceState(null, "", "#" + chosen); } catch (error) { /* an address that may not be changed is left alone */ }
    }

    function recall() {
      const chosen = new URLSearchParams(location.hash.slice(1));
      for (const key of Object.keys(state)) { if (chosen.has(key)) { state[key] = chosen.get(key); } }
      state.page = Number.parseInt(state.page, 10) || 0;
      state.seed = state.seed === "all" ? ANY : data.seeds[Number(state.seed)] === undefined ? "0" : state.seed;
      data.backbones.forEach((backbone, b) => {
        const want = chosen.get("is-" + backbone.name);
        wanted[b] = ["right", "wrong"].includes(want) ? want : ANY;
      });
      settle();
    }

    /* The controls show the state; a value that no control has is dropped from the state. */
    function settle() {
      for (const key of ["task", "split", "difficulty", "seed", "order"]) {
        if (controls[key]) { controls[key].value = state[key]; state[key] = controls[key].value; }
      }
      fill(controls.type, typesOf(state.task));
      controls.type.value = state.type;
      state.type = controls.type.value;
      if (controls.type.selectedIndex < 0) { controls.type.value = state.type = ANY; }
      data.backbones.forEach((backbone, b) => { controls["is-" + backbone.name].value = wanted[b]; });
      search.value = state.words;
    }

    const search = element("input", { id: "explorer-words", type: "search", autocomplete: "off" });
    let waiting;
    search.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { state.words = search.value; state.page = 0; show(); }, 150);
    });
    const fields = [
      select("task", "Task", [[ANY, "any"], ...data.tasks], (value) => { state.task = value; state.type = ANY; settle(); }),
      select("type", "Question type", typesOf(ANY), (value) => { state.type = value; }),
      select("difficulty", "Difficulty", among("difficulty"), (value) => { state.difficulty = value; }),
      select("split", "Split", among("split"), (value) => { state.split = value; }),
      select("seed", "Seed", [...data.seeds.map((seed, s) => [String(s), String(seed)]), [ANY, "all (right: most of them)"]], (value) => { state.seed = value; }),
      select("order", "Order", [["set", "as in the data"], ["sure", "surest wrong answer first"]], (value) => { state.order = value; }),
      ...data.backbones.map((backbone, b) => select("is-" + backbone.name, backbone.title + " is",
        [[ANY, "right or wrong"], ["right", "right"], ["wrong", "wrong"]], (value) => { wanted[b] = value; })),
      element("label", { htmlFor: search.id }, element("span", {}, "Words in question or answers"), search),
    ];
    const reset = element("button", { type: "button" }, "Show all");
    reset.addEventListener("click", () => {
      Object.assign(state, { task: ANY, type: ANY, split: ANY, difficulty: ANY, seed: "0", order: "set", words: "", page: 0 });
      wanted.fill(ANY);
      settle();
      show();
    });
    const count = element("p", { className: "explorer-count", role: "status" });
    const list = element("ol", { className: "explorer-items" });
    const turners = [turner(), turner()];
    place.replaceChildren(
      element("div", { className: "explorer-choices", role: "group", "aria-label": "Choose items" }, ...fields, reset),
      element("div", { className: "explorer-top" }, count, turners[0].shown),
      list,
      turners[1].shown);
    recall();
    show();
  }

  function start() {
    document.querySelectorAll("div.explorer").forEach((place) => {
      if (window.barnExplorer) { explorer(place, window.barnExplorer); }
    });
  }

  if (document.readyState === "loading") { document.addEventListener("DOMContentLoaded", start); } else { start(); }
})();
