const form = document.querySelector(".filters"), cards = [...document.querySelectorAll(".card")];
const choose = () => {
  const asked = [...form.querySelectorAll("select")].filter(select => select.value);
  for (const card of cards)
    card.hidden = !asked.every(select => JSON.parse(card.dataset[select.name]).includes(select.value));
  form.querySelector("output").textContent = `${cards.filter(card => !card.hidden).length} of ${cards.length}`;
};
form.addEventListener("change", choose);
form.addEventListener("submit", event => event.preventDefault());
choose();
