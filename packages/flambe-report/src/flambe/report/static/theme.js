// Colours as the system has them, or as chosen here. Loaded before the page is drawn, so that nothing flashes.
"use strict";
const themes = ["auto", "light", "dark"];
const theme = () => localStorage.getItem("flambe-theme") || "auto";
const applyTheme = () => { document.documentElement.dataset.theme = theme(); };
applyTheme();
addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  const name = () => { button.setAttribute("aria-label", "Colours: " + theme()); button.textContent = { auto: "◐", light: "☀", dark: "☾" }[theme()]; };
  name();
  button.addEventListener("click", () => {
    localStorage.setItem("flambe-theme", themes[(themes.indexOf(theme()) + 1) % themes.length]);
    applyTheme();
    name();
    dispatchEvent(new Event("theme"));
  });
});
