"use strict";

// Where the network looked for a word: all that it did not look at goes dark.
function show(article, word) {
  const canvas = article.querySelector("canvas");
  const words = [...article.querySelectorAll(".words button")];
  const weights = Uint8Array.from(atob(article.dataset.attention), (letter) => letter.charCodeAt(0));
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  words.forEach((button) => button.setAttribute("aria-pressed", String(button === word)));
  if (!word) return;
  const image = context.createImageData(canvas.width, canvas.height);
  const cells = canvas.width * canvas.height;
  const first = words.indexOf(word) * cells;
  for (let cell = 0; cell < cells; cell++) {
    image.data[4 * cell + 3] = Math.round(0.85 * (255 - weights[first + cell]));
  }
  context.putImageData(image, 0, 0);
}

// Pointing at a word or moving to it with the keyboard shows it; clicking or tapping keeps it.
function listen(article) {
  let kept = null;
  for (const word of article.querySelectorAll(".words button")) {
    for (const event of ["mouseenter", "focus"]) word.addEventListener(event, () => show(article, word));
    for (const event of ["mouseleave", "blur"]) word.addEventListener(event, () => show(article, kept));
    word.addEventListener("click", () => {
      kept = kept === word ? null : word;
      show(article, kept);
    });
  }
}

const articles = [...document.querySelectorAll("article")];
articles.forEach(listen);

const score = (article) => Number(article.dataset.score);
const orders = {
  spread: () => articles,
  best: () => articles.toSorted((one, other) => score(other) - score(one)),
  worst: () => articles.toSorted((one, other) => score(one) - score(other)),
  random: () => articles.map((article) => [Math.random(), article]).sort(([one], [other]) => one - other).map(([, a]) => a),
};
const select = document.querySelector("#order");
select.addEventListener("change", () => document.querySelector("#gallery").append(...orders[select.value]()));
