const filter = document.getElementById("filter");
const rows = [...document.querySelectorAll("[data-promise]")];
const columns = [...document.querySelectorAll("[data-kind]")];

function sift() {
  const wanted = filter.elements.wanted.value.trim().toLowerCase();
  const kind = filter.elements.kind.value;
  const standing = filter.elements.standing.value;
  for (const row of rows) {
    const kinds = row.dataset.kinds.split(" ");
    row.hidden = !row.dataset.promise.includes(wanted)
      || (kind !== "" && !kinds.includes(kind))
      || (standing === "open" && row.dataset.open === "");
  }
  for (const cell of columns) cell.hidden = kind !== "" && cell.dataset.kind !== kind;
  const cards = rows.filter((row) => row.matches(".promise"));
  const left = cards.filter((card) => !card.hidden).length;
  filter.elements.count.value = `${left} of ${cards.length} shown`;
}

// A link to what the filter hides takes the filter away.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.closest("[hidden], .group:not(:has(.promise:not([hidden])))")) {
    filter.reset();
    sift();
    target.scrollIntoView();
  }
}

const links = new Map([...document.querySelectorAll("#contents a")].map((a) => [a.hash.slice(1), a]));
const headings = [...links.keys()].map((id) => document.getElementById(id));
const contents = document.getElementById("contents");
const here = document.getElementById("here");
const narrow = matchMedia("(max-width: 60rem)");

function follow() {
  let current = headings[0];
  for (const heading of headings) {
    if (heading.getClientRects().length > 0 && heading.getBoundingClientRect().top < 120) current = heading;
  }
  for (const [id, link] of links) {
    if (id === current.id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  here.textContent = links.get(current.id).textContent;
}

function unfold() {
  contents.open = !narrow.matches;
}

filter.addEventListener("input", sift);
filter.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", reveal);
addEventListener("scroll", follow, { passive: true });
narrow.addEventListener("change", unfold);
contents.addEventListener("click", (event) => {
  if (narrow.matches && event.target.closest("a")) contents.open = false;
});
sift();
unfold();
follow();
