"use strict";

// Darkens the image where the attention weights of a word are low; without a word, shows the plain image.
function showAttention(article, word) {
  const canvas = article.querySelector("canvas");
  const words = [...article.querySelectorAll(".words button")];
  const weights = Uint8Array.from(atob(article.dataset.attention), (character) => character.charCodeAt(0));
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  words.forEach((button) => button.setAttribute("aria-pressed", String(button === word)));
  if (!word) return;
  const overlay = context.createImageData(canvas.width, canvas.height);
  const cells = canvas.width * canvas.height;
  const first = words.indexOf(word) * cells;
  for (let cell = 0; cell < cells; cell++) {
    overlay.data[4 * cell + 3] = Math.round(0.85 * (255 - weights[first + cell]));
  }
  context.putImageData(overlay, 0, 0);
}

// Pointing at a word or focusing it shows its attention. Clicking or tapping selects it until the next click.
function addListeners(article) {
  let selected = null;
  for (const word of article.querySelectorAll(".words button")) {
    for (const event of ["mouseenter", "focus"]) word.addEventListener(event, () => showAttention(article, word));
    for (const event of ["mouseleave", "blur"]) word.addEventListener(event, () => showAttention(article, selected));
    word.addEventListener("click", () => {
      selected = selected === word ? null : word;
      showAttention(article, selected);
    });
  }
}

const articles = [...document.querySelectorAll("article")];
articles.forEach(addListeners);

const score = (article) => Number(article.dataset.score);
const orders = {
  spread: () => articles,
  best: () => articles.toSorted((a, b) => score(b) - score(a)),
  worst: () => articles.toSorted((a, b) => score(a) - score(b)),
  random: () => articles.map((article) => [Math.random(), article]).sort(([a], [b]) => a - b).map(([, article]) => article),
};
const select = document.querySelector("#order");
select.addEventListener("change", () => document.querySelector("#gallery").append(...orders[select.value]()));
