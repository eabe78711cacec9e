// Runs before anything is painted, so that the page does not flash in the wrong theme. A classic script on purpose.

(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("fundingstream.theme");
  } catch {
    // Storage may be refused; then the system's theme is taken.
  }
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  document.documentElement.dataset.theme = chosen === "dark" || chosen === "light" ? chosen : system;
})();
