// Before anything is drawn, so that the page does not flash: the theme that was chosen, or the system's.
"use strict";
(() => {
  const known = localStorage.getItem("testudo-theme");
  if (known === "dark" || known === "light") document.documentElement.dataset.theme = known;
})();
