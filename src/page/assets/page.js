// What a page does beyond being read and sending forms: news, keys, ages. Without it everything else works.
"use strict";
(() => {
  const body = document.body;
  const words = body.dataset;
  const byId = (id) => document.getElementById(id);

  // Ages, by the server's clock: this machine's may be wrong.
  let aheadMs = 0;
  const lasting = (ms) => {
    const minutes = Math.floor(ms / 60000);
    if (minutes < 1) return "<1 min";
    if (minutes < 60) return `${minutes} min`;
    const hours = Math.floor(minutes / 60);
    return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d`;
  };
  const showAges = () => {
    for (const place of document.querySelectorAll(".ago")) {
      const time = place.parentElement.querySelector("time");
      const ms = Date.now() + aheadMs - Date.parse(time ? time.dateTime : "");
      place.textContent = ms >= 0 ? `(${words.ago.replace("{}", lasting(ms))})` : "";
    }
  };
  fetch("/healthz", { method: "HEAD", cache: "no-store" }).then((answer) => {
    const now = Date.parse(answer.headers.get("date") || "");
    if (now) aheadMs = now - Date.now();
  }).catch(() => {}).finally(showAges);
  setInterval(showAges, 30000);

  // News. What is new waits until somebody asks for it: nothing moves under the pointer.
  const waiting = new Map();
  const button = byId("news");
  const fragment = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  };
  const showWaiting = () => {
    if (!button) return;
    const number = waiting.size;
    button.hidden = number === 0;
    button.textContent = number === 1 ? words.newsOne : words.newsMany.replace("{}", number);
  };
  const count = () => {
    const place = byId("count");
    if (place) place.textContent = document.querySelectorAll(".incident:not(.over)").length;
  };
  const listen = () => {
    const source = new EventSource(words.listens);
    source.addEventListener("incident", (event) => {
      const line = fragment(event.data);
      const known = line && byId(line.id);
      if (known) {
        if (Number(known.dataset.revision) > Number(line.dataset.revision)) return;
        if (known.classList.contains("chosen")) line.classList.add("chosen");
        const focused = known.contains(document.activeElement);
        known.replaceWith(line);
        if (focused) line.querySelector("a").focus();
        count();
      } else if (line) {
        waiting.set(line.id, line);
        showWaiting();
      }
      showAges();
    });
    source.addEventListener("ended", (event) => {
      waiting.delete(event.data);
      showWaiting();
      const line = byId(event.data);
      if (line && !line.classList.contains("over")) {
        line.classList.add("over");
        const mark = document.createElement("span");
        mark.textContent = words.ended;
        line.querySelector(".facts").prepend(mark);
        count();
      }
    });
    source.addEventListener("revision", () => {
      if (!button) return;
      button.hidden = false;
      button.textContent = words.newer;
    });
    source.addEventListener("missed", () => location.reload());
    source.addEventListener("open", () => { byId("lost").hidden = true; });
    source.addEventListener("error", () => {
      const lost = byId("lost");
      lost.textContent = words.lost;
      lost.hidden = false;
      // A browser gives up after an answer that is none; this does not.
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
    });
    addEventListener("pagehide", () => source.close(), { once: true });
  };
  if (words.listens) listen();
  if (button) {
    button.addEventListener("click", () => {
      const list = byId("incidents");
      if (!list) {
        location.assign(location.pathname);
        return;
      }
      const nothing = byId("nothing");
      if (nothing) nothing.remove();
      list.prepend(...waiting.values());
      waiting.clear();
      showWaiting();
      count();
      showAges();
      list.querySelector("a").focus();
    });
  }

  // A form is sent once.
  addEventListener("submit", (event) => {
    const sender = event.submitter;
    if (event.target.method !== "post" || !sender) return;
    setTimeout(() => { sender.disabled = true; });
    addEventListener("pageshow", () => { sender.disabled = false; }, { once: true });
  });

  // Keys.
  const choose = (step) => {
    const lines = [...document.querySelectorAll(".incident")];
    if (!lines.length) return;
    const at = lines.findIndex((line) => line.classList.contains("chosen"));
    const next = Math.min(Math.max(at + step, 0), lines.length - 1);
    if (at >= 0) lines[at].classList.remove("chosen");
    lines[next].classList.add("chosen");
    lines[next].querySelector("a").focus();
    lines[next].scrollIntoView({ block: "nearest" });
  };
  const chosen = () => document.querySelector(".incident.chosen .title");
  const act = (key) => {
    const line = chosen();
    if (line) {
      location.assign(`${line.pathname}#act-${key}`);
      return;
    }
    const place = document.querySelector(`[data-key="${key}"]`);
    if (!place) return;
    const name = place.form && place.form.elements.by;
    if (place.tagName === "A") place.click();
    else if (name && !name.value) name.focus();
    else if (place.form) place.form.requestSubmit(place);
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    const keys = {
      j: () => choose(1),
      k: () => choose(-1),
      a: () => act("a"),
      s: () => act("s"),
      "?": () => document.querySelector(".keys").scrollIntoView(),
    };
    const done = keys[event.key];
    if (done) {
      event.preventDefault();
      done();
    }
  });
  // Whoever came here by a key from the list goes to the action.
  const wished = location.hash.match(/^#act-([as])$/);
  if (wished) {
    const place = document.querySelector(`[data-key="${wished[1]}"]`);
    if (place && place.tagName === "A") location.replace(place.href);
    else if (place) (place.form.elements.by && !place.form.elements.by.value ? place.form.elements.by : place).focus();
  }
})();
